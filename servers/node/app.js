/**
 * The express application: every route of the contract, and what goes before and after all of them.
 */

import { isKey, KEY_RULE, parseDraft } from "./drafts.js";
import { echoPost } from "./echo.js";
import { express } from "./packages.js";
import { LONG_POLL, longPoll, SHORT_POLL, shortPoll } from "./polls.js";
import { answer } from "./problems.js";
import { BadRequest, MethodNotAllowed, NotFound, WrongMediaType } from "./refusals.js";
import { SSE, sse } from "./sse.js";
import { upgradeRequired } from "./upgrade.js";
import { WEBSOCKET } from "./websocket.js";

const JSON_TYPE = /^application\/json[ \t]*(;|$)/i;

/** `parts`: what the views share, see `server.js`. */
export function application(parts) {
  const { streams, addresses, bodies, checkHost } = parts;
  const app = express();
  app.disable("x-powered-by");
  app.disable("etag");
  app.set("query parser", false);
  app.set("case sensitive routing", true);
  app.set("strict routing", true);

  app.use((request, response, next) => {
    if (streams.stopping) response.setHeader("Connection", "close");
    checkHost(request);
    if (request.url === "*" && request.method === "OPTIONS") {
      response.writeHead(200, { Allow: "GET, HEAD, OPTIONS, POST", "Content-Length": 0 });
      response.end();
      return;
    }
    next();
  });

  const get = (path, view) => route(app, path, "GET, HEAD, OPTIONS").get(view);
  const post = (path, view) => route(app, path, "OPTIONS, POST").post(view);
  get(`/streams/:name/${SHORT_POLL}`, shortPoll(streams));
  get(`/streams/:name/${LONG_POLL}`, longPoll(streams, addresses));
  get(`/streams/:name/${SSE}`, sse(parts));
  get(`/streams/:name/${WEBSOCKET}`, () => {
    throw upgradeRequired("This is a WebSocket; ask with Connection: Upgrade and Upgrade: websocket.");
  });
  get("/streams/:name/stats", (request, response) => {
    answerJson(response, 200, streams.find(request.params.name).stats());
  });
  get("/healthz", (request, response) => {
    streams.refuseIfStopping();
    response.writeHead(200, { "Content-Type": "text/plain", "Cache-Control": "no-store", "Content-Length": 3 });
    response.end("ok\n");
  });
  post("/streams/:name/notifications", publish(streams, bodies));
  route(app, "/echo", "GET, HEAD, OPTIONS, POST")
    .get(() => {
      throw upgradeRequired("GET /echo is a WebSocket; ask with Upgrade: websocket, or POST.");
    })
    .post(echoPost(bodies));

  get("/welcome/websocket", () => {
    throw upgradeRequired("GET /welcome/websocket is a WebSocket; ask with Upgrade: websocket.");
  });

  app.use((request, response, next) => {
    if (!request.url.startsWith("/")) throw new BadRequest("A target begins with one slash.", { Connection: "close" });
    next();
  });
  app.use(() => {
    throw new NotFound("There is nothing at this address.");
  });
  // Express knows an error handler by its four parameters.
  // eslint-disable-next-line no-unused-vars
  app.use((error, request, response, next) => answer(request, response, error));
  return app;
}

/** The routes of one path, in express's order: what was asked for, or 405. */
function route(app, path, allowed) {
  const views = {};
  const made = {
    get: (view) => ((views.GET = views.HEAD = view), made),
    post: (view) => ((views.POST = view), made),
  };
  app.all(path, (request, response) => {
    const view = views[request.method];
    if (view) return view(request, response);
    if (request.method === "OPTIONS") {
      response.writeHead(200, { Allow: allowed, "Content-Length": 0 });
      return response.end();
    }
    throw new MethodNotAllowed("This method is not allowed at this address.", { Allow: allowed });
  });
  return made;
}

function publish(streams, bodies) {
  return async (request, response) => {
    streams.refuseIfStopping();
    if (!JSON_TYPE.test(request.headers["content-type"] ?? "")) {
      throw new WrongMediaType("Send the notification with Content-Type: application/json.");
    }
    if ((request.headers["content-encoding"] ?? "identity") !== "identity") {
      throw new WrongMediaType("Send the notification without Content-Encoding.");
    }
    const key = request.headers["idempotency-key"] ?? null;
    if (key !== null && !isKey(key)) throw new BadRequest(`Idempotency-Key must be ${KEY_RULE}.`);
    // Only now: it may cost another stream its log, and until here a foreign page can come unasked.
    const stream = streams.toPublish(request.params.name);
    const body = await bodies.read(request, response);
    let accepted;
    try {
      const draft = parseDraft(body.data, streams.settings.max_notification_bytes);
      if (draft.key !== null) {
        throw new BadRequest("By POST the key is the header Idempotency-Key, not a member.");
      }
      accepted = stream.publish({ ...draft, key });
    } finally {
      body.release();
    }
    answerJson(response, 201, accepted);
  };
}

function answerJson(response, status, value) {
  const body = Buffer.from(JSON.stringify(value));
  response.writeHead(status, {
    "Content-Type": "application/json",
    "Content-Length": body.length,
    "Cache-Control": "no-store",
  });
  response.end(body);
}
