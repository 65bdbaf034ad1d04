/**
 * Engine.IO 4 by the engine.io package: its handshake, its checks of a request, its error bodies, its pings. What the
 * contract adds is here: who is let in and who makes way, bodies and their bounds, how a session ends.
 *
 * Rules:
 * 1. Until it has joined a stream, a session takes no subscriber's place. So there are few such sessions beside the
 *    free places; the oldest of them makes way, and each has JOIN_TIMEOUT_MS.
 * 2. The engine's own queue has no bound. So the next batch is asked for when the next poll comes or, by WebSocket, when
 *    the one before is written; and a client that takes no answers to what it sends is ended.
 * 3. The server ends a session without the engine's CLOSE packet: clients would not come back after it.
 * 4. If a connection ends before the answer has come, browsers ask again by themselves, and nobody is told. What the
 *    first answer held would be missing: so a poll with the last one's stamp (`t`) ends the session.
 * 5. What comes by POST or as a message is bounded as everywhere (bodies.js, connection.js). Nothing is compressed,
 *    and there is no JSONP, which asks for no Origin.
 */

import { Connection, CONNECTION_OPTIONS } from "./connection.js";
import { EngineServer, WebSocketServer } from "./packages.js";
import { answer } from "./problems.js";
import { BadRequest, Forbidden, Full, MethodNotAllowed } from "./refusals.js";
import { Subscription } from "./subscription.js";
import { isOwnOrigin } from "./upgrade.js";

export const SOCKETIO = "socketio";
export const SOCKETIO_POLLING = "socketio-polling";
export const PATH = "/socket.io/";
const METHODS = "GET, OPTIONS, POST";
const MS = 1000;
const MOST_PATIENCE_S = 8;
const PATIENT_SHARE = 0.4;
const JOIN_TIMEOUT_MS = 10_000;
/** Sessions that have joined no stream, beside those that there are places for. */
const MOST_UNJOINED = 32;
/** Packets in one payload of a client. */
const MOST_PACKETS = 10_000;
/** Characters of a poll's stamp; a longer one is not looked at. */
const MOST_STAMP = 64;
/** Packets that wait until the client takes them. */
const MOST_QUEUED = 2 * MOST_PACKETS;
/** So many characters of a payload are read before others have their turn; a packet counts as some more. */
const TURN_CHARACTERS = 64 * 1024;
const PACKET_CHARACTERS = 500;
const SEPARATOR = "\x1e";
const PROTOCOL_ERROR = 1002;
const NO_PACKET = "This is no packet of Engine.IO 4 that could come here.";
const TAKE_ANSWERS = `${MOST_QUEUED} packets wait for you at the most; take the answers to what you send.`;
const MAKE_WAY = "A session has 10 s to join a stream, less if there are many that have joined none.";
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The engine's WebSockets, with what the contract adds to all. */
class WebSockets extends WebSocketServer {
  constructor(options) {
    super({ ...options, ...CONNECTION_OPTIONS });
  }
}

export class Engine extends EngineServer {
  constructor(parts) {
    const { settings, streams, addresses } = parts;
    const interval_s = settings.ping_interval_s;
    super({
      wsEngine: WebSockets,
      perMessageDeflate: false,
      httpCompression: false,
      maxHttpBufferSize: settings.max_body_bytes,
      pingInterval: interval_s * MS,
      pingTimeout: Math.min(MOST_PATIENCE_S, Math.max(1, PATIENT_SHARE * interval_s)) * MS,
    });
    this.parts = parts;
    /** By sid. */
    this.sessions = new Map();
    /** Those that have joined no stream, the oldest first. */
    this.unjoined = new Set();
    this.on("connection", (conn) => {
      const session = new Session(this, conn, addresses.shareOf(conn.request));
      this.sessions.set(conn.id, session);
      this.makeWay();
    });
    this.on("headers", (headers) => {
      if (streams.stopping) headers.Connection = "close";
    });
    streams.staying.add({
      stop: () => {
        for (const session of [...this.sessions.values()]) session.stop();
      },
    });
  }

  makeWay() {
    const { settings, streams } = this.parts;
    const most = settings.max_subscribers - streams.subscribers + MOST_UNJOINED;
    for (const session of this.unjoined) {
      if (this.unjoined.size <= most) break;
      session.end(new Full(MAKE_WAY));
    }
  }

  /** The session that a request names, if there is one; throws Refused if there is none and none may begin. */
  sessionOf(request) {
    this.prepare(request);
    const session = this.sessions.get(request._query.sid);
    if (!session) this.parts.streams.refuseIfStopping();
    return session;
  }

  /** `GET` and `POST /socket.io/?EIO=4&transport=polling` */
  answer(request, response) {
    try {
      if (this.parts.streams.stopping) response.setHeader("Connection", "close");
      this.parts.checkHost(request);
      this.serve(request, response)?.catch((error) => answer(request, response, error));
    } catch (error) {
      answer(request, response, error);
    }
  }

  /** Returns a promise, or nothing if all is done; throws Refused. */
  serve(request, response) {
    if (request.method === "OPTIONS") {
      response.writeHead(200, { Allow: METHODS, "Content-Length": 0 }).end();
      return undefined;
    }
    if (request.method !== "GET" && request.method !== "POST") {
      throw new MethodNotAllowed("This method is not allowed at this address.", { Allow: METHODS });
    }
    this.allowOrigin(request, response);
    const session = this.sessionOf(request);
    const { j, transport, EIO } = request._query;
    if (j !== undefined) return refuse(response, EngineServer.errors.BAD_REQUEST, "JSONP is not served");
    // The engine would never answer it in a session that is on a WebSocket.
    if (transport === "websocket") return refuse(response, EngineServer.errors.BAD_REQUEST);
    session?.asked();
    if (session?.isPolling && transport === "polling" && EIO === "4") {
      if (request.method === "POST") return this.take(session, request, response);
      if (session.isRepeated(request._query.t)) {
        session.end(null);
        return refuse(response, EngineServer.errors.BAD_REQUEST);
      }
      session.watchPoll(request.socket, response);
      session.subscription?.drained();
    }
    return this.handleRequest(request, response);
  }

  /** The same with Upgrade; throws Refused. */
  upgrade(request, socket, head) {
    const session = this.sessionOf(request);
    const { transport, EIO } = request._query;
    if (transport !== "websocket" || EIO !== "4") throw new BadRequest("Ask with EIO=4&transport=websocket.");
    if (session?.conn.upgrading) throw new Full("An upgrade of this session is under way; it goes on by polling.");
    session?.asked();
    this.handleUpgrade(request, socket, head);
  }

  allowOrigin(request, response) {
    const { settings } = this.parts;
    const { origin, host = "" } = request.headers;
    if (origin === undefined) return;
    if (!isOwnOrigin(origin, host, settings)) {
      throw new Forbidden(
        "Socket.IO from a foreign Origin is refused; open the page from this host, or serve with --allow-origin.",
      );
    }
    if (settings.allow_origin.includes(origin)) {
      response.setHeader("Access-Control-Allow-Origin", origin);
      response.setHeader("Vary", "Origin");
    }
  }

  /** Read a client's packets. */
  async take(session, request, response) {
    const body = await this.parts.bodies.read(request, response);
    let isWhole;
    try {
      isWhole = await session.receive(body.data);
    } finally {
      body.release();
    }
    if (!isWhole) return refuse(response, EngineServer.errors.BAD_REQUEST);
    response.writeHead(200, { "Content-Type": "text/plain", "Cache-Control": "no-store", "Content-Length": 2 });
    response.end("ok");
  }

  /** Where a transport begins to close a WebSocket by itself, it has read what is no packet. */
  createTransport(name, request) {
    const transport = super.createTransport(name, request);
    if (name === "websocket") {
      transport.doClose = (done) => {
        transport.socket.close(PROTOCOL_ERROR, NO_PACKET);
        done?.();
      };
    }
    return transport;
  }

  onWebSocket(request, socket, websocket) {
    websocket.listen(socket, { ...this.parts, pings: false, onMessage: () => {}, onEnd: () => {} });
    super.onWebSocket(request, socket, websocket);
  }
}

/** In the engine's own form. */
function refuse(response, code, message = EngineServer.errorMessages[code]) {
  response.writeHead(400, { "Content-Type": "application/json", "Cache-Control": "no-store" });
  response.end(JSON.stringify({ code, message }));
}

class Session {
  constructor(engine, conn, share) {
    Object.assign(this, { engine, conn, share });
    this.stream = null;
    this.position = null;
    this.subscription = null;
    this.release = () => {};
    /** Those before it has joined a stream, which are counted then. */
    this.requests = 1;
    /** Of the last poll. */
    this.stamp = undefined;
    this.isEnding = false;
    this.isBroken = false;
    conn.once("close", (reason) => this.ended(reason));
    conn.once("upgrade", () => this.moved());
    conn.on("data", () => {
      if (conn.writeBuffer.length > MOST_QUEUED) this.end(new Full(TAKE_ANSWERS));
    });
    // A poll was answered, with whatever it was.
    if (this.isPolling) conn.transport.on("drain", () => this.subscription?.block());
    else this.watchSocket();
    this.waitToJoin();
  }

  get isPolling() {
    return this.conn.transport.name === "polling";
  }

  get transport() {
    return this.isPolling ? SOCKETIO_POLLING : SOCKETIO;
  }

  asked() {
    if (this.stream) this.stream.usage[this.transport].requests += 1;
    else this.requests += 1;
  }

  /** Whether this poll bears the stamp of the last. */
  isRepeated(stamp) {
    const isSame = stamp !== undefined && stamp === this.stamp;
    this.stamp = stamp?.length <= MOST_STAMP ? stamp : undefined;
    return isSame;
  }

  waitToJoin() {
    this.engine.unjoined.add(this);
    this.timer = setTimeout(() => this.end(new Full(MAKE_WAY)), JOIN_TIMEOUT_MS);
  }

  waitNoLonger() {
    this.engine.unjoined.delete(this);
    clearTimeout(this.timer);
  }

  /** Take a subscriber's place; throws Refused. */
  join(stream, position) {
    if (this.stream) throw new BadRequest("This session has joined a stream already.");
    // socket.io asks a moment after the packet has come.
    if (this.isEnding || this.conn.readyState !== "open") throw new BadRequest("This session has ended.");
    this.release = this.engine.parts.streams.subscribe(this.share, stream, this.transport);
    this.stream = stream;
    this.position = position;
    stream.usage[this.transport].requests += this.requests;
    this.requests = 0;
    this.waitNoLonger();
  }

  /**
   * Follow the stream that was joined, now that the client has been told so. `packets`: what makes a batch's packet
   * for each engine.
   */
  begin(packets) {
    const { conn, stream, transport, position } = this;
    const send = (batch) => {
      if (this.isPolling) {
        const { text, options } = batch.shared(packets.polling);
        conn.write(text, options);
        return false;
      }
      // A batch that the socket takes at once is written before `write` returns.
      let isSent = false;
      const { text, options } = batch.shared(packets.websocket);
      conn.write(text, options, () => {
        isSent = true;
        this.subscription?.drained();
      });
      return isSent;
    };
    const release = () => this.release();
    this.subscription = new Subscription(stream, transport, position, { send, release, isBlocked: this.isPolling });
    this.subscription.start();
  }

  /** The client has left its stream, and may join another. */
  leave() {
    this.subscription?.lost();
    this.release();
    this.subscription = this.stream = null;
    if (this.conn.readyState === "open") this.waitToJoin();
  }

  /** What the engine does not see: a client that closes its side of a held poll, or does not take the answer. */
  watchPoll(socket, response) {
    let hasLeft = false;
    const leave = () => {
      hasLeft = true;
      socket.destroy();
    };
    socket.once("end", leave);
    response.once("close", () => {
      socket.removeListener("end", leave);
      // An answer that was lost is lost for the session.
      if ((hasLeft || socket.errored) && this.isPolling) this.end(null);
    });
  }

  /** After its close frame a WebSocket is given nothing. */
  watchSocket() {
    this.conn.transport.socket.onEnd = () => this.subscription?.lost();
  }

  /** From polling to a WebSocket. */
  moved() {
    this.watchSocket();
    if (!this.stream) return;
    const { streams } = this.engine.parts;
    const usage = this.stream.usage[SOCKETIO];
    this.release();
    this.release = streams.subscribe(this.share, this.stream, SOCKETIO);
    if (!this.subscription) return;
    this.subscription.usage = usage;
    this.subscription.drained();
  }

  /** Read a payload; false if it is none, and the session has ended. */
  async receive(data) {
    const { conn } = this;
    const packets = packetsOf(data);
    let rest = TURN_CHARACTERS;
    for (const packet of packets ?? []) {
      if (conn.readyState !== "open") break;
      conn.transport.onData(packet);
      rest -= packet.length + PACKET_CHARACTERS;
      if (rest < 0) {
        await new Promise(setImmediate);
        rest = TURN_CHARACTERS;
      }
    }
    if (packets && !this.isBroken && conn.readyState !== "closing") return true;
    this.end(new BadRequest(NO_PACKET));
    return false;
  }

  /** End it as our other servers do: a poll is answered with nothing, a WebSocket with the reason. */
  end(refused) {
    if (this.conn.readyState === "closed") return;
    this.isEnding = true;
    this.subscription?.lost();
    this.waitNoLonger();
    const { transport } = this.conn;
    if (this.isPolling) transport.onClose();
    else if (refused) transport.socket.refuse(refused);
    else transport.socket.goAway();
  }

  /** The server stops: what was accepted is delivered. */
  stop() {
    this.subscription?.end();
    this.end(null);
  }

  ended(reason) {
    this.isBroken = reason !== "transport close";
    this.engine.sessions.delete(this.conn.id);
    this.leave();
    this.waitNoLonger();
  }
}

/** The packets of a payload; null if it is none, or too many. */
function packetsOf(data) {
  let text;
  try {
    text = utf8.decode(data);
  } catch {
    return null;
  }
  const packets = text.split(SEPARATOR);
  return packets.length <= MOST_PACKETS ? packets : null;
}
