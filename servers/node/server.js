/**
 * The contract of wirelab on the article's stack: `node server.js --port 8000`, see settings.js for the options.
 *
 * Prints `wirelab: serving on http://HOST:PORT (node)` when it serves. `--listen-fd` takes a socket that listens
 * already, with the options that Node cannot set (TCP_USER_TIMEOUT).
 */

import { createServer } from "node:http";

import { Addresses } from "./addresses.js";
import { application } from "./app.js";
import { Bodies } from "./bodies.js";
import { echoWebsocket } from "./echo.js";
import { endOnSignals } from "./ending.js";
import { PATH as SOCKETIO_PATH, SOCKETIO, SOCKETIO_POLLING } from "./engine.js";
import { hostCheck } from "./hosts.js";
import { explainErrors } from "./http_errors.js";
import { Pinger } from "./pinger.js";
import { LONG_POLL, SHORT_POLL } from "./polls.js";
import { pathOf } from "./query.js";
import { fromArguments } from "./settings.js";
import { socketIoEngine } from "./socketio.js";
import { SSE } from "./sse.js";
import { Streams } from "./streams.js";
import { Unaccepted } from "./unaccepted.js";
import { upgradesOf } from "./upgrade.js";
import { WEBSOCKET, websocket } from "./websocket.js";
import { welcomeWebsocket } from "./welcome.js";

const TRANSPORTS = [SHORT_POLL, LONG_POLL, SSE, WEBSOCKET, SOCKETIO, SOCKETIO_POLLING];
const BACKLOG = 4096;
const MS = 1000;
const MAX_HEAD_BYTES = 32 * 1024;
// Longer than any poll waits, and than any poller pauses.
const KEEPALIVE_S = 75;
const TCP_KEEPALIVE_AFTER_S = 60;

function serve(settings) {
  const streams = new Streams(settings, TRANSPORTS);
  const unaccepted = new Unaccepted(settings.max_unaccepted_bytes);
  const parts = {
    settings,
    streams,
    unaccepted,
    addresses: new Addresses(settings.trusted_proxy),
    bodies: new Bodies(settings, unaccepted),
    checkHost: hostCheck(settings),
    pinger: new Pinger(settings.ping_interval_s),
  };
  const engine = socketIoEngine(parts);
  const app = application(parts);
  // As socket.io does it: its requests do not pass through express.
  const answer = (request, response) => {
    if (pathOf(request) === SOCKETIO_PATH) engine.answer(request, response);
    else app(request, response);
  };
  const server = createServer(
    {
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: TCP_KEEPALIVE_AFTER_S * MS,
      keepAliveTimeout: KEEPALIVE_S * MS,
      headersTimeout: settings.request_timeout_s * MS,
      // A body has a time of its own (bodies.js), and a held poll none.
      requestTimeout: 0,
      connectionsCheckingInterval: MS,
      maxHeaderSize: MAX_HEAD_BYTES,
      // Ours tells what is missing.
      requireHostHeader: false,
    },
    answer,
  );
  const routes = [
    [/^\/streams\/([^/]+)\/websocket$/, websocket(parts)],
    [/^\/echo$/, echoWebsocket(parts)],
    [/^\/welcome\/websocket$/, welcomeWebsocket(parts)],
    [/^\/socket\.io\/$/, (request, name, upgrade, socket, head) => engine.upgrade(request, socket, head)],
  ];
  server.on("upgrade", upgradesOf(settings, routes, parts.checkHost, answer));
  // A body is asked for when it is wanted.
  server.on("checkContinue", answer);
  explainErrors(server, settings);
  endOnSignals(server, streams);
  server.on("error", (error) => {
    fail(`cannot serve on ${settings.host} port ${settings.port}: ${error.message}`);
  });
  const where =
    settings.listen_fd === null ? { host: settings.host, port: settings.port } : { fd: settings.listen_fd };
  server.listen({ ...where, backlog: BACKLOG }, () => {
    const { address, port } = server.address();
    const host = address.includes(":") ? `[${address}]` : address;
    console.log(`wirelab: serving on http://${host}:${port} (node)`);
  });
}

function fail(sentence) {
  console.error(`wirelab node: ${sentence}`);
  process.exit(2);
}

try {
  serve(fromArguments(process.argv.slice(2)));
} catch (error) {
  fail(error.message);
}
