/**
 * Socket.IO 5 on Engine.IO 4 by the socket.io package, at /socket.io/.
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
 * 3. The next batch is asked for when the engine has sent the one before: its own queue has no bound.
 * 4. Nothing is compressed.
 */

import { parseDraft } from "./drafts.js";
import { Sender, socketIo, socketIoParser } from "./packages.js";
import { asRefused } from "./problems.js";
import { BadRequest, Refused } from "./refusals.js";
import { Subscription } from "./subscription.js";
import { isOwnOrigin } from "./upgrade.js";

export const SOCKETIO = "socketio";
export const SOCKETIO_POLLING = "socketio-polling";
export const PATH = "/socket.io/";
const AUTH = 'auth must be {"stream":<name>} or {"stream":<name>,"after":<cursor>}.';
const PUBLISH = /^2[0-9]*\s*\[\s*"publish"\s*,([^]*)\]\s*$/;
const { Decoder, PacketType } = socketIoParser;
const MS = 1000;
const MOST_PATIENCE_S = 8;
const PATIENT_SHARE = 0.4;
const TEXT = 1;
/** Sessions that have not joined a stream yet, beside those that have. */
const MOST_JOINING = 64;

/** Leaves the argument of `publish` as the text that came. */
class RawDecoder extends Decoder {
  decodeString(text) {
    const packet = super.decodeString(text);
    if (packet.type === PacketType.EVENT && packet.data[0] === "publish") {
      packet.data = ["publish", PUBLISH.exec(text)?.[1] ?? ""];
    }
    return packet;
  }
}

/** The packet of a batch for the engine: as text for polling, and the frame for a WebSocket. */
function packetOf(batch) {
  const text = `2["batch",${batch.text()}]`;
  const options = { fin: true, opcode: TEXT, mask: false, readOnly: true, rsv1: false };
  const frame = Buffer.concat(Sender.frame(Buffer.from(`4${text}`), options));
  return { text, options: { compress: false, wsPreEncodedFrame: [frame] } };
}

const transportOf = (engineSocket) =>
  engineSocket.transport.name === "websocket" ? SOCKETIO : SOCKETIO_POLLING;

export function serveSocketIo(server, parts) {
  const { streams, settings, addresses } = parts;
  const interval_s = settings.ping_interval_s;
  const io = new socketIo.Server(server, {
    path: PATH,
    destroyUpgrade: false,
    perMessageDeflate: false,
    httpCompression: false,
    maxHttpBufferSize: settings.max_body_bytes,
    pingInterval: interval_s * MS,
    pingTimeout: Math.min(MOST_PATIENCE_S, Math.max(1, PATIENT_SHARE * interval_s)) * MS,
    parser: { ...socketIoParser, Decoder: RawDecoder },
    allowRequest: (request, decide) => {
      try {
        admit(request, io.engine.clientsCount, parts);
        decide(null, true);
      } catch (error) {
        decide(asRefused(error).message, false);
      }
    },
  });
  io.use((socket, next) => {
    try {
      streams.refuseIfStopping();
      const { stream, position } = joinOf(socket.handshake.auth, streams);
      const transport = transportOf(socket.conn);
      const share = addresses.shareOf(socket.request);
      const release = streams.subscribe(share, stream, transport);
      socket.conn.once("close", release);
      Object.assign(socket.data, { stream, position, share, release, transport });
      next();
    } catch (error) {
      const refused = asRefused(error);
      next(Object.assign(new Error(refused.message), { data: { status: refused.status } }));
    }
  });
  io.on("connection", (socket) => follow(socket, streams));
}

/** Whether a new session may begin; throws Refused. */
function admit(request, sessions, { streams, settings, checkHost }) {
  checkHost(request);
  streams.refuseIfStopping();
  const { origin, host = "" } = request.headers;
  if (origin !== undefined && !isOwnOrigin(origin, host, settings)) {
    throw new BadRequest("Socket.IO from a foreign Origin is refused; open the page from this host.");
  }
  if (sessions >= settings.max_subscribers + MOST_JOINING) {
    throw new Refused(`All ${settings.max_subscribers} subscribers (max_subscribers) are taken; try again later.`);
  }
}

function joinOf(auth, streams) {
  const { stream: name, after = null, ...others } = auth ?? {};
  const isWellFormed = typeof name === "string" && (after === null || typeof after === "string");
  if (!isWellFormed || Object.keys(others).length > 0) throw new BadRequest(AUTH);
  const stream = streams.get(name);
  return { stream, position: stream.position(after) };
}

function follow(socket, streams) {
  const { stream, position, share, transport } = socket.data;
  const { conn } = socket;
  stream.usage[transport].requests += 1;
  const send = (batch) => {
    const { text, options } = batch.shared(packetOf);
    // A poll that waits takes it at once, before `write` returns.
    let isSent = false;
    conn.write(text, options, () => {
      isSent = true;
      subscription.drained();
    });
    return isSent;
  };
  const release = () => socket.data.release();
  const subscription = new Subscription(stream, transport, position, { send, release });
  conn.once("upgrade", () => {
    socket.data.release();
    socket.data.release = streams.subscribe(share, stream, SOCKETIO);
    subscription.usage = stream.usage[SOCKETIO];
  });
  const staying = {
    stop: () => {
      subscription.end();
      socket.disconnect(true);
    },
  };
  streams.staying.add(staying);
  socket.on("publish", (text, acknowledge) => {
    const answer = publish(stream, streams, text);
    if (typeof acknowledge === "function") acknowledge(answer);
  });
  socket.on("disconnect", () => {
    streams.staying.delete(staying);
    subscription.lost();
  });
  subscription.start();
}

function publish(stream, streams, text) {
  try {
    streams.refuseIfStopping();
    return stream.publish(parseDraft(Buffer.from(text), streams.settings.max_notification_bytes));
  } catch (error) {
    return { problem: asRefused(error).message };
  }
}
