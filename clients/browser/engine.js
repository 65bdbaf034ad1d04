// Socket.IO by its real client (servers/demo/static/socket.io.esm.min.js), on either engine: what socketio.js and
// socketio_polling.js have in common. The twin of clients/engine.py.
//
// The client's own retries are off: a connect_error ends them, and their pauses are not ours. So each connection is a new
// one, after the pauses of all subscribers, and the auth is a function that gives our cursor.
// The engine has a heartbeat of its own, which a page cannot ask for more often: a server that vanished without a word is
// found after the interval and the timeout that it named, not after the 10 s of the other subscribers.
// What a batch is comes from the packet's own text, as on the other transports.

import { io } from "/static/socket.io.esm.min.js";

import { ANSWER_TIMEOUT_MS } from "./fetching.js";
import { ConnectionLost, Refused, Subscriber, inFlight, nowMs } from "./subscriber.js";
import { byteLength, engineAnswerHeadBytes, frameHeadBytes, handshakeBytes, requestHeadBytes } from "./wire_sizes.js";

const BEFORE = '2["batch",';

export class EngineSubscriber extends Subscriber {
  /** Engine.IO's name of what carries it. */
  static engine = "";
  #socket = null;

  run() {
    const { engine: name } = this.constructor;
    const polls = name === "polling";
    const path = "/socket.io/";
    const socket = io({
      path, transports: [name], upgrade: false, reconnection: false, forceNew: true, timeout: ANSWER_TIMEOUT_MS,
      auth: (give) => give(this.receiver.cursor === null ? { stream: this.stream } : { stream: this.stream, after: this.receiver.cursor }),
    });
    const { engine } = socket.io;
    this.#socket = socket;
    const session = { target: `${path}?EIO=4&transport=${name}`, exchange: ++this.exchanges, open: false, ended: false, waiting: 0, text: "", bodyBytes: 0, ids: [] };
    const told = (event) => this.onWire({ atMs: nowMs(), headBytes: 0, bodyBytes: 0, text: "", ids: [], ...event });
    const up = (headBytes, bodyBytes, text) => {
      this.bytes.headUp += headBytes;
      this.bytes.bodyUp += bodyBytes;
      told({ exchange: polls ? ++this.exchanges : 0, kind: polls ? "request" : "frame", up: true, headBytes, bodyBytes, text: polls ? `POST ${session.target}\n${text}` : text });
    };
    const asked = () => {
      if (polls) {
        session.exchange = ++this.exchanges;
        session.waiting = 1;
        inFlight.requests += 1;
      }
      const headBytes = polls ? requestHeadBytes("GET", session.target) : handshakeBytes(session.target).up;
      this.bytes.headUp += headBytes;
      told({ exchange: session.exchange, kind: "request", up: true, headBytes, text: `GET ${session.target}` });
    };
    // Told with the first batch in it, before its notifications go out: a page looks at what is new to it by then.
    const answered = () => {
      if (session.ended || !session.waiting) return;
      inFlight.requests -= session.waiting;
      session.waiting = 0;
      this.requests += 1;
      const headBytes = engineAnswerHeadBytes(session.bodyBytes);
      this.bytes.headDown += headBytes;
      told({ exchange: session.exchange, kind: "response", up: false, headBytes, bodyBytes: session.bodyBytes, text: session.text, ids: session.ids, status: 200 });
    };
    const completed = () => {
      if (!session.ids.length) this.empty_responses += 1;
      answered();
      Object.assign(session, { text: "", bodyBytes: 0, ids: [] });
    };
    asked();
    if (polls) {
      engine.transport.on("poll", asked);
      engine.transport.on("pollComplete", completed);
    }
    engine.on("handshake", ({ sid }) => {
      session.open = true;
      if (polls) {
        session.target += `&sid=${sid}`;
        return;
      }
      const headBytes = handshakeBytes(session.target).down;
      this.requests += 1;
      this.bytes.headDown += headBytes;
      told({ exchange: session.exchange, kind: "response", up: false, headBytes, text: "101 Switching Protocols", status: 101 });
    });
    return new Promise((_, reject) => {
      const end = (error) => {
        if (session.ended) return;
        inFlight.requests -= session.waiting;
        session.ended = true;
        told({ exchange: session.exchange, kind: "lost", up: false, text: error.message, reached: session.open });
        socket.disconnect();
        engine.close();
        reject(error);
      };
      engine.on("packet", ({ type, data }) => {
        const text = `${TYPES.indexOf(type)}${data ?? ""}`;
        const bodyBytes = byteLength(text);
        this.bytes.bodyDown += bodyBytes;
        const arrived = (ids) => {
          if (polls) {
            session.ids = [...session.ids, ...ids];
            if (ids.length) answered();
            return;
          }
          const headBytes = frameHeadBytes(bodyBytes, false);
          this.bytes.headDown += headBytes;
          told({ exchange: 0, kind: "frame", up: false, headBytes, bodyBytes, text, ids });
        };
        if (polls) {
          session.bodyBytes += bodyBytes + (session.text ? 1 : 0);
          session.text += session.text ? `\n${text}` : text;
        }
        if (type !== "message" || !data.startsWith(BEFORE) || session.ended) {
          arrived([]);
          return;
        }
        try {
          this.take(data.slice(BEFORE.length, -1), nowMs(), arrived);
        } catch (error) {
          end(error);
        }
      });
      engine.on("packetCreate", ({ type, data }) => {
        const text = `${TYPES.indexOf(type)}${data ?? ""}`;
        const bodyBytes = byteLength(text);
        up(polls ? requestHeadBytes("POST", session.target, bodyBytes) : frameHeadBytes(bodyBytes, true), bodyBytes, text);
      });
      socket.on("connect_error", (error) => end(refusalOf(error)));
      socket.on("disconnect", (why) => end(new ConnectionLost(`the session ended: ${why}`)));
      this.aborter.signal.addEventListener("abort", () => end(new ConnectionLost("cut from this side")), { once: true });
    });
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

/** The packets' types, in the order of their numbers. */
const TYPES = ["open", "close", "ping", "pong", "message", "upgrade", "noop"];

/** What a connect_error stands for: only the server's own word that it was a 4xx ends a subscriber. */
function refusalOf({ message, data, type }) {
  const status = data?.status;
  if (type === undefined && status >= 400 && status < 500 && status !== 408 && status !== 429) return new Refused(message);
  return new ConnectionLost(type === undefined ? message : "the server cannot be reached");
}
