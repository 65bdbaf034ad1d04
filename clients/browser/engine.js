// Socket.IO by its real client (servers/demo/static/socket.io.esm.min.js), on either engine: what socketio.js and
// socketio_polling.js have in common. The twin of clients/engine.py.
//
// The client's own retries are off: a connect_error ends them, and their pauses are not ours. So each connection is a new
// one, after the pauses of all subscribers, and the auth is a function that gives our cursor.
// The engine has a heartbeat of its own, which a page cannot ask for more often: a server that vanished without a word is
// found after the interval and the timeout that it named, not after the 10 s of the other subscribers.
// The client never ends a request that it has made: six to a server that fell silent, and the browser has no connection
// left to ask by. So they are ended here. It shows each to whoever keeps its cookies.
// What a batch is comes from the packet's own text, as on the other transports.

import { io } from "/static/socket.io.esm.min.js";

import { ANSWER_TIMEOUT_MS } from "./fetching.js";
import { OpenConnection } from "./open_connection.js";
import { ConnectionLost, Refused, Subscriber, inFlight, isFinal, nowMs } from "./subscriber.js";
import { byteLength, engineAnswerHeadBytes, engineRequestHeadBytes, frameHeadBytes, handshakeBytes } from "./wire_sizes.js";

const BEFORE = '42["batch",';
const PUBLISH = /^42[0-9]*\["publish",/;
/** Between the packets of a poll's answer, or of a POST. */
const SEPARATOR = "\x1e";
/** The packets' types, in the order of their numbers. */
const TYPES = ["open", "close", "ping", "pong", "message", "upgrade", "noop"];
const PATH = "/socket.io/";

/** The requests of one session that have no whole answer yet. */
class Requests {
  #open = new Set();

  addCookies(request) {
    this.#open.add(request);
    // It is asked for the one header that no page may read, and the browser would say so on the console each time.
    request.getResponseHeader = () => null;
    request.addEventListener("loadend", () => this.#open.delete(request));
  }

  parseCookies() {}

  open() {
    return [...this.#open];
  }
}

const end = (requests) => {
  for (const request of requests) request.abort();
};

export class EngineSubscriber extends Subscriber {
  /** Engine.IO's name of what carries it. */
  static engine = "";
  #socket = null;

  run() {
    const { engine: name } = this.constructor;
    const requests = new Requests();
    const socket = io({
      path: PATH, transports: [name], upgrade: false, reconnection: false, forceNew: true, timeout: ANSWER_TIMEOUT_MS,
      cookieJar: requests,
      auth: (give) => give(this.receiver.cursor === null ? { stream: this.stream } : { stream: this.stream, after: this.receiver.cursor }),
    });
    const { engine } = socket.io;
    this.#socket = socket;
    // The engine first: a session that has left by Socket.IO is over, and the POST that ends it would be refused.
    const letGo = () => {
      const unanswered = requests.open();
      // It says so to the server, by a request more.
      engine.close();
      socket.disconnect();
      end(unanswered);
      setTimeout(() => end(requests.open()), ANSWER_TIMEOUT_MS);
    };
    const connection = name === "polling" ? this.#polling(engine, letGo) : this.#webSocket(engine, letGo);
    socket.on("connect_error", (error) => connection.end(refusalOf(error)));
    socket.on("disconnect", (why) => connection.end(new ConnectionLost(`the session ended: ${why}`)));
    return connection.ended;
  }

  /** Each packet is a message. */
  #webSocket(engine, letGo) {
    const target = targetOf("websocket");
    const sizes = handshakeBytes(target);
    const connection = new OpenConnection(this, { letGo });
    this.note({ exchange: connection.exchange, kind: "request", up: true, headBytes: sizes.up, text: `GET ${target}\nUpgrade: websocket` });
    engine.transport.on("open", () => connection.opened({ headBytes: sizes.down, text: "101 Switching Protocols", status: 101 }));
    engine.on("packet", (packet) => {
      const text = textOf(packet);
      const bodyBytes = byteLength(text);
      const headBytes = frameHeadBytes(bodyBytes, false);
      const batch = batchOf(text);
      if (batch !== null) connection.take(text, headBytes, bodyBytes, batch);
      else this.note({ exchange: 0, kind: "frame", up: false, headBytes, bodyBytes, text });
    });
    engine.on("packetCreate", (packet) => {
      if (connection.hasEnded) return;
      const text = textOf(packet);
      const bodyBytes = byteLength(text);
      this.note({ exchange: 0, kind: "frame", up: true, headBytes: frameHeadBytes(bodyBytes, true), bodyBytes, text, publishes: PUBLISH.test(text) });
    });
    return connection;
  }

  /** A GET is out all the time; what we say goes by POST, beside it. */
  #polling(engine, letGo) {
    let target = targetOf("polling");
    let poll = null;
    let said = [];
    /** The numbers of the POSTs whose answers have not come. */
    const posts = [];
    const connection = new OpenConnection(this, {
      letGo: () => {
        inFlight.requests -= posts.length + (poll.waits ? 1 : 0);
        for (const exchange of posts.splice(0)) this.note({ exchange, kind: "lost", up: false, text: "the session ended", reached: true });
        letGo();
      },
    });
    const asked = (exchange, method, packets = []) => {
      inFlight.requests += 1;
      const body = packets.join(SEPARATOR);
      const bodyBytes = byteLength(body);
      this.note({
        exchange, kind: "request", up: true, headBytes: engineRequestHeadBytes(method, target, bodyBytes), bodyBytes,
        text: `${method} ${target}${body && `\n${body}`}`, publishes: packets.some((packet) => PUBLISH.test(packet)),
      });
    };
    const answered = (exchange, method, text, ids = []) => {
      inFlight.requests -= 1;
      this.requests += 1;
      if (!ids.length) this.empty_responses += 1;
      const bodyBytes = byteLength(text);
      this.note({ exchange, kind: "response", up: false, headBytes: engineAnswerHeadBytes(method, bodyBytes), bodyBytes, text, ids, status: 200 });
    };
    const polled = () => {
      poll = { waits: true, packets: [] };
      asked(connection.exchange, "GET");
    };
    const pollAnswered = (ids) => {
      if (!poll.waits || connection.hasEnded) return;
      poll.waits = false;
      answered(connection.exchange, "GET", poll.packets.join(SEPARATOR), ids);
    };
    polled();
    engine.transport.on("poll", () => {
      connection.exchange = ++this.exchanges;
      polled();
    });
    engine.transport.on("pollComplete", () => pollAnswered([]));
    engine.on("handshake", ({ sid }) => {
      connection.isOpen = true;
      target += `&sid=${sid}`;
    });
    engine.on("packet", (packet) => {
      if (connection.hasEnded) return;
      const text = textOf(packet);
      poll.packets.push(text);
      if (!poll.waits) this.bytes.bodyDown += byteLength(SEPARATOR + text);
      const batch = batchOf(text);
      if (batch === null) return;
      // The answer is told with its first news, before the notifications go out: a page looks at what is new to it by then.
      connection.takeBatch(batch, nowMs(), (ids) => {
        if (ids.length) pollAnswered(ids);
      });
    });
    engine.on("packetCreate", (packet) => said.push(textOf(packet)));
    engine.on("flush", () => {
      if (connection.hasEnded || !said.length) return;
      posts.push(++this.exchanges);
      asked(posts.at(-1), "POST", said);
      said = [];
    });
    engine.transport.on("drain", () => {
      if (posts.length) answered(posts.shift(), "POST", "OK");
    });
    return connection;
  }

  drop() {
    super.drop();
    this.#socket = null;
  }

  /** Publish by an event; resolves when it was acknowledged. */
  async publish(data) {
    const socket = this.#socket;
    if (!socket?.connected) throw new ConnectionLost("the session is not open");
    let answer;
    try {
      answer = await socket.timeout(ANSWER_TIMEOUT_MS).emitWithAck("publish", { data });
    } catch {
      throw new ConnectionLost("the publish was not acknowledged");
    }
    if (answer.problem) throw new Refused(answer.problem);
  }
}

const targetOf = (engine) => `${PATH}?EIO=4&transport=${engine}`;

/** A packet as it is on the wire. */
const textOf = ({ type, data }) => `${TYPES.indexOf(type)}${data ?? ""}`;

/** The batch in an event's packet, or null. */
const batchOf = (text) => (text.startsWith(BEFORE) ? text.slice(BEFORE.length, -1) : null);

/** What a connect_error stands for: only the server's own word that it was a 4xx ends a subscriber. */
function refusalOf({ message, data, type }) {
  if (type === undefined && isFinal(data?.status)) return new Refused(message);
  return new ConnectionLost(type === undefined ? message : "the server cannot be reached");
}
