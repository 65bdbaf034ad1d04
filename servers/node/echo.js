/**
 * Echo, by WebSocket and by POST: round trips upstream on one connection, and by request.
 *
 * The WebSocket runs on the same machinery as the stream's, so a conformance suite that passes here speaks for both.
 * It is an open WebSocket like any other, so it takes a subscriber's place.
 */

/** Keep a WebSocket that reads no stream until one side ends it. */
export function stay(parts, request, upgrade, onMessage, onOpen = null) {
  const { streams, addresses } = parts;
  streams.refuseIfStopping();
  const release = streams.subscribe(addresses.shareOf(request));
  upgrade(release, (connection, socket) => {
    const staying = { stop: () => connection.goAway() };
    streams.staying.add(staying);
    connection.listen(socket, {
      ...parts,
      onMessage: (data, isBinary) => onMessage(connection, data, isBinary),
      onEnd: () => {
        streams.staying.delete(staying);
        release();
      },
    });
    onOpen?.(connection);
  });
}

/** `GET /echo` with Upgrade */
export function echoWebsocket(parts) {
  return (request, _, upgrade) => {
    stay(parts, request, upgrade, (connection, data, binary) => {
      connection.reply(() => connection.send(data, { binary }));
    });
  };
}

/** `POST /echo` */
export function echoPost(bodies) {
  return async (request, response) => {
    const body = await bodies.read(request, response);
    // Until the peer has taken it, it is held.
    response.once("close", body.release);
    // What was sent may say that it is a page: no browser is to believe it here.
    response.writeHead(200, {
      "Content-Type": request.headers["content-type"] ?? "application/octet-stream",
      "Content-Length": body.data.length,
      "Cache-Control": "no-store",
      "Content-Security-Policy": "sandbox",
    });
    response.end(body.data);
  };
}
