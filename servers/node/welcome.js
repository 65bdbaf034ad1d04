/**
 * The article's own example, by WebSocket: on connection, the server greets.
 *
 * `GET /welcome/websocket` with Upgrade: the first and only message is GREETING; then the connection stays open until
 * either side goes. (The article's with socket.io, as it is printed, is `article/server.cjs`.)
 */

import { stay } from "./echo.js";

export const GREETING = "web Socket Works";

export function welcomeWebsocket(parts) {
  return (request, _, upgrade) => {
    stay(parts, request, upgrade, () => {}, (connection) => connection.send(GREETING));
  };
}
