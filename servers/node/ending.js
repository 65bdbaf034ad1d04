/**
 * How the server ends: its clients are told, and the process is gone within three seconds.
 *
 * SIGTERM and SIGINT: held polls are answered with what there is, event streams end, WebSockets are closed with
 * 1001. Connections that are kept alive have GOODBYE_MS to see it: a request on one is answered 503. What is still
 * open after END_MS is cut.
 */

import { Server } from "node:net";

const GOODBYE_MS = 1000;
const END_MS = 2500;

export function endOnSignals(server, streams) {
  const sockets = new Set();
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });

  const end = () => {
    if (streams.stopping) return;
    // Not http's own close, which would cut whoever is kept alive at once.
    Server.prototype.close.call(server, () => process.exit(0));
    streams.stop();
    setTimeout(() => server.closeIdleConnections(), GOODBYE_MS);
    setTimeout(() => {
      for (const socket of sockets) socket.destroy();
      process.exit(0);
    }, END_MS);
  };
  process.on("SIGTERM", end);
  process.on("SIGINT", end);
}
