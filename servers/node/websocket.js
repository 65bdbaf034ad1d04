/**
 * WebSocket: one connection stays open, and each batch is written to it as one text message (RFC 6455).
 *
 * The client may publish on the same connection; its own delivery is the acknowledgement. If the message has a
 * `key`, it is also answered by `{"published":{"key":…,"id":…,"cursor":…}}`, the only message that is no batch.
 *
 * A frame is made once for all who are at a cursor and written to the socket as it is: `ws` would put a header
 * before the payload again for each. Its own writes (pongs, the close frame) go whole to the same socket, in order.
 */

import { textFrame, writeAll } from "./batch.js";
import { parseDraft } from "./drafts.js";
import { afterOf, heartbeatOf, queryOf } from "./query.js";
import { WrongMediaType } from "./refusals.js";
import { Subscription } from "./subscription.js";

export const WEBSOCKET = "websocket";

/** What is wrong with the request is said in HTTP, before `upgrade(onOpen)` upgrades anything. */
export function websocket(parts) {
  const { streams, addresses } = parts;
  return (request, name, upgrade) => {
    const stream = streams.get(name);
    const query = queryOf(request);
    const position = stream.position(afterOf(query));
    const heartbeat_s = heartbeatOf(query);
    const release = streams.subscribe(addresses.shareOf(request), stream, WEBSOCKET);
    stream.usage[WEBSOCKET].requests += 1;
    upgrade(release, (connection, socket) => {
      const isPlain = connection.extensions === "";
      const send = (batch) => {
        if (connection.readyState !== connection.OPEN) return false;
        if (isPlain) return writeAll(socket, batch.shared(textFrame));
        connection.send(batch.text());
        return !socket.writableNeedDrain;
      };
      const subscription = new Subscription(stream, WEBSOCKET, position, { send, release, heartbeat_s });
      const staying = { stop: () => connection.goAway() };
      streams.staying.add(staying);
      connection.listen(socket, {
        ...parts,
        onMessage: (data, isBinary) => publish(connection, stream, data, isBinary),
        onDrain: () => subscription.drained(),
        onEnd: () => {
          streams.staying.delete(staying);
          subscription.end();
        },
      });
      subscription.start();
    });
  };
}

function publish(connection, stream, data, isBinary) {
  if (isBinary) throw new WrongMediaType("Send notifications as text messages, not binary.");
  const draft = parseDraft(data, stream.owner.settings.max_notification_bytes);
  const accepted = stream.publish(draft);
  if (draft.key === null) return;
  const published = JSON.stringify({ published: { key: draft.key, ...accepted } });
  connection.reply(() => connection.send(published));
}
