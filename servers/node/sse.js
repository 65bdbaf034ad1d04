/**
 * Server-sent events (WHATWG HTML, section 9.2): each batch is one event, whose `data` is the same bytes as on every
 * transport and whose `id` is its cursor.
 *
 * `Last-Event-ID` goes before `after`. A comment is written as often as a WebSocket is pinged: nobody answers it, so
 * the kernel finds a dead reader (TCP_USER_TIMEOUT).
 */

import { writeAll } from "./batch.js";
import { afterOf, heartbeatOf, queryOf } from "./query.js";
import { Subscription } from "./subscription.js";

export const SSE = "sse";
const COMMENT = ":\n\n";
const COMMENT_CHUNK = `3\r\n${COMMENT}\r\n`;
const END = Buffer.from("\n\n");
const END_OF_CHUNK = Buffer.from("\n\n\r\n");

/** The event of a batch, in pieces to write: one, if the batch is small. */
function eventOf(batch) {
  const pieces = [Buffer.from(`id: ${batch.cursor}\ndata: `), ...batch.pieces, END];
  return batch.isSmall ? [Buffer.concat(pieces)] : pieces;
}

/** The same as a chunk (RFC 9112, section 7.1): Node would wrap it for each subscriber anew. */
function chunkOf(batch) {
  const head = `id: ${batch.cursor}\ndata: `;
  const size = head.length + batch.size + END.length;
  const pieces = [Buffer.from(`${size.toString(16)}\r\n${head}`), ...batch.pieces, END_OF_CHUNK];
  return batch.isSmall ? [Buffer.concat(pieces)] : pieces;
}

/** `GET /streams/<name>/sse?after=<cursor>&heartbeat=<seconds>` */
export function sse({ streams, addresses, pinger }) {
  return (request, response) => {
    const stream = streams.get(request.params.name);
    const query = queryOf(request);
    const after = request.headers["last-event-id"] ?? afterOf(query);
    const position = stream.position(after);
    const heartbeat_s = heartbeatOf(query);
    if (request.method === "HEAD") {
      begin(response);
      response.end();
      return;
    }
    const release = streams.subscribe(addresses.shareOf(request), stream, SSE);
    stream.usage[SSE].requests += 1;
    begin(response);
    response.flushHeaders();
    const { socket } = request;
    const [form, comment] = response.chunkedEncoding ? [chunkOf, COMMENT_CHUNK] : [eventOf, COMMENT];
    const send = (batch) => writeAll(socket, batch.shared(form));
    const subscription = new Subscription(stream, SSE, position, { send, release, heartbeat_s });
    const onDrain = () => subscription.drained();
    const unwatch = pinger.watch({
      due: () => {
        if (socket.writableLength === 0) socket.write(comment);
      },
    });
    const finish = () => {
      unwatch();
      socket.removeListener("drain", onDrain);
      streams.staying.delete(staying);
      subscription.end();
    };
    const staying = {
      stop: () => {
        finish();
        response.end();
      },
    };
    streams.staying.add(staying);
    socket.on("drain", onDrain);
    // Who has closed his own side reads on or has gone: a client that is there asks again.
    socket.once("end", staying.stop);
    response.once("close", finish);
    subscription.start();
  };
}

/** Chunks, or for HTTP/1.0 an answer that ends with its connection; Node decides by the request. */
function begin(response) {
  response.writeHead(200, {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    // nginx would otherwise collect what it passes on.
    "X-Accel-Buffering": "no",
  });
}
