/**
 * Socket.IO 5 by the socket.io package, on Engine.IO 4 (`engine.js`), at /socket.io/.
 *
 * The client chooses the engine: on a WebSocket its transport is `socketio`, on polling `socketio-polling`; a session
 * that is upgraded moves from one to the other. The stream and the cursor are in the connection's `auth`. Each batch is
 * the argument of an event `batch`; the event `publish` is acknowledged with `{"id":…,"cursor":…}` or `{"problem":…}`. A
 * refusal is a `connect_error` with the sentence and, as its data, the status that an HTTP answer would have.
 *
 * Rules:
 * 1. A batch's packet is made once for all, and so is the WebSocket frame around it. Its JSON is the batch's bytes:
 *    socket.io would parse and write them again for each subscriber.
 * 2. What is published is read from the packet's own text, since JSON.parse changes numbers.
 */

import { textFrameOf } from "./batch.js";
import { parseDraft } from "./drafts.js";
import { Engine } from "./engine.js";
import { socketIo, socketIoParser } from "./packages.js";
import { asRefused } from "./problems.js";
import { BadRequest } from "./refusals.js";

const AUTH = 'auth must be {"stream":…,"after":…}: a stream\'s name and a cursor, or no after to join at the head.';
const JOINED = "This session has joined a stream already; leave it first.";
const PUBLISH_ONLY = 'The only event that is taken is publish, with one argument, {"data":…}, as JSON.';
/** Of a text or a binary event: the number of its attachments, its acknowledgement's id, its arguments. */
const EVENT = /^[25](?:([0-9]{1,9})-)?([0-9]{0,16})(\[[^]*)$/;
/** To the namespace that there is. */
const CONNECT = /^0([^/]|$)/;
const DISCONNECT = "1";
const PUBLISH = /^\[\s*"publish"\s*,([^]*)\]\s*$/;
const { Decoder, PacketType } = socketIoParser;

/** Leaves an event's argument as the text that came: null if the event is none that is taken. */
class RawDecoder extends Decoder {
  /** While the client has joined a stream: refuses to join another. */
  refuseToJoin = null;

  add(packet) {
    // An attachment of an event whose first packet was refused.
    if (Buffer.isBuffer(packet)) return;
    // socket.io would end the session for both.
    if (packet === DISCONNECT && !this.refuseToJoin) return;
    if (this.refuseToJoin && CONNECT.test(packet)) {
      // What is no JSON ends the session.
      JSON.parse(packet.slice(1) || "{}");
      this.refuseToJoin();
    } else super.add(packet);
  }

  decodeString(text) {
    if (text[0] === "2" || text[0] === "5") {
      const event = EVENT.exec(text);
      if (!event) throw new Error("no event");
      const [, attachments, id, args] = event;
      const published = attachments === undefined ? PUBLISH.exec(args) : null;
      return {
        type: PacketType.EVENT,
        nsp: "/",
        id: id === "" ? undefined : id,
        data: ["publish", published ? published[1] : null],
      };
    }
    // Auth that is no object is refused in our words.
    if (/^0[^{/]/.test(text)) {
      JSON.parse(text.slice(1));
      return { type: PacketType.CONNECT, nsp: "/", data: {} };
    }
    return super.decodeString(text);
  }
}

const [BEFORE, AFTER] = ['2["batch",', "]"];

/** The packet of a batch for each engine: its text for polling, the frame for a WebSocket. */
const PACKETS = {
  polling: (batch) => ({ text: `${BEFORE}${batch.text()}${AFTER}`, options: { compress: false } }),
  websocket: (batch) => {
    const frame = textFrameOf(Buffer.concat([Buffer.from(`4${BEFORE}`), ...batch.pieces, Buffer.from(AFTER)]));
    return { text: "", options: { compress: false, wsPreEncodedFrame: [frame] } };
  },
};

/** The engine, with Socket.IO on it. */
export function socketIoEngine(parts) {
  const { streams } = parts;
  const engine = new Engine(parts);
  const io = new socketIo.Server({ parser: { ...socketIoParser, Decoder: RawDecoder } });
  io.bind(engine);
  const sessionOf = (socket) => engine.sessions.get(socket.conn.id);
  io.use((socket, next) => {
    try {
      streams.refuseIfStopping();
      const { stream, position } = joinOf(socket.handshake.auth, streams);
      const session = sessionOf(socket);
      if (!session) throw new BadRequest("This session has ended.");
      session.join(stream, position);
      next();
    } catch (error) {
      const refused = asRefused(error);
      next(Object.assign(new Error(refused.message), { data: { status: refused.status } }));
    }
  });
  io.on("connection", (socket) => {
    const session = sessionOf(socket);
    socket.on("publish", (text, acknowledge) => {
      const answer = publish(session.stream, text);
      acknowledge?.(answer);
    });
    const { client } = socket;
    client.decoder.refuseToJoin = () => {
      client._packet({ type: PacketType.CONNECT_ERROR, nsp: "/", data: { message: JOINED, data: { status: 400 } } });
    };
    socket.on("disconnect", () => {
      client.decoder.refuseToJoin = null;
      if (session.conn.readyState === "open") session.leave();
    });
    session.begin(PACKETS);
  });
  return engine;
}

function joinOf(auth, streams) {
  const { stream: name, after = null, ...others } = auth ?? {};
  const isWellFormed = typeof name === "string" && (after === null || typeof after === "string");
  if (!isWellFormed || Object.keys(others).length > 0) throw new BadRequest(AUTH);
  const stream = streams.get(name);
  return { stream, position: stream.position(after) };
}

function publish(stream, text) {
  try {
    if (text === null) throw new BadRequest(PUBLISH_ONLY);
    stream.owner.refuseIfStopping();
    return stream.publish(parseDraft(Buffer.from(text), stream.owner.settings.max_notification_bytes));
  } catch (error) {
    return { problem: asRefused(error).message };
  }
}
