/**
 * The opening handshake of RFC 6455, section 4.2: what is refused, and with which HTTP answer.
 *
 * Rules:
 * 1. A bad handshake is answered in HTTP before anything is upgraded.
 * 2. A request that asks for anything else than a WebSocket, or at an address that has none, is answered as it is
 *    (RFC 9110, section 7.8). Node has taken it off its HTTP connection, which ends with the answer.
 * 3. Nothing is compressed unless the server's options allow it.
 */

import { ServerResponse } from "node:http";

import { CONNECTION_OPTIONS } from "./connection.js";
import { WebSocketServer } from "./packages.js";
import { answerRaw, asRefused } from "./problems.js";
import { pathOf } from "./query.js";
import { BadRequest, Forbidden, UpgradeRequired } from "./refusals.js";

const KEY = /^[+/0-9A-Za-z]{22}==$/;
const LETTER = "[!#$%&'*+\\-.^_`|~0-9A-Za-z]";
const TOKEN = `${LETTER}+`;
// What is quoted is a token too (section 9.1).
const VALUE = `(?:${TOKEN}|"(?:\\\\?${LETTER})+")`;
const PARAMETER = `[ \\t]*;[ \\t]*${TOKEN}(?:[ \\t]*=[ \\t]*${VALUE})?`;
const ELEMENT = `[ \\t]*(?:${TOKEN}(?:${PARAMETER})*)?[ \\t]*`;
const EXTENSIONS = new RegExp(`^(?=.*[^ \\t,])${ELEMENT}(?:,${ELEMENT})*$`);
const DEFAULT_PORTS = { "http:": "80", "https:": "443" };

const members = (field) => (field ?? "").split(",").map((member) => member.trim().toLowerCase());

const asksForWebSocket = (request) =>
  request.method === "GET" &&
  members(request.headers.upgrade).includes("websocket") &&
  members(request.headers.connection).includes("upgrade");

/** 426 with what to upgrade to (RFC 9110, sections 7.8 and 15.5.22). */
export function upgradeRequired(detail) {
  return new UpgradeRequired(detail, {
    Connection: "Upgrade",
    Upgrade: "websocket",
    "Sec-WebSocket-Version": "13",
  });
}

function refuseBadHandshake(request, settings) {
  const { headers } = request;
  if (request.httpVersion === "1.0") {
    throw new BadRequest("A WebSocket's handshake is HTTP/1.1 (RFC 6455, section 4.2.1).");
  }
  if ((headers["sec-websocket-version"] ?? "").trim() !== "13") {
    throw upgradeRequired("Sec-WebSocket-Version must be 13 (RFC 6455, section 4.2.1).");
  }
  if (!KEY.test((headers["sec-websocket-key"] ?? "").trim())) {
    throw new BadRequest("Sec-WebSocket-Key must be 16 bytes in base64 (RFC 6455, section 4.2.1).");
  }
  const extensions = headers["sec-websocket-extensions"];
  if (extensions && !EXTENSIONS.test(extensions)) {
    throw new BadRequest("Sec-WebSocket-Extensions is no list of extensions (RFC 6455, section 9.1).");
  }
  if (headers.origin !== undefined && !isOwnOrigin(headers.origin, headers.host ?? "", settings)) {
    throw new Forbidden(
      "WebSockets from a foreign Origin are refused; open the page from this host, or serve with --allow-origin.",
    );
  }
}

/** Whether a page of this origin may act here: it came from this host, or is allowed by an option. */
export function isOwnOrigin(origin, host, settings) {
  if (settings.allow_origin.includes(origin)) return true;
  try {
    const foreign = new URL(origin);
    const own = new URL(`${foreign.protocol}//${host}`);
    if (!(foreign.protocol in DEFAULT_PORTS)) return false;
    return foreign.hostname === own.hostname && foreign.port === own.port;
  } catch {
    return false;
  }
}

/**
 * Answers the upgrades of a server. `routes`: [pattern of a path, view(request, name, upgrade, socket, head)];
 * `application` answers what is no WebSocket.
 */
export function upgradesOf(settings, routes, checkHost, application) {
  const server = new WebSocketServer({
    ...CONNECTION_OPTIONS,
    maxPayload: settings.max_body_bytes,
    perMessageDeflate: settings.permessage_deflate ? { threshold: 0 } : false,
  });

  const answerAsItIs = (request, socket) => {
    const response = new ServerResponse(request);
    response.shouldKeepAlive = false;
    response.assignSocket(socket);
    response.once("finish", () => socket.end());
    application(request, response);
  };

  return (request, socket, head) => {
    socket.on("error", () => socket.destroy());
    const path = pathOf(request);
    try {
      const matches = asksForWebSocket(request) ? routes.map(([pattern, view]) => [pattern.exec(path), view]) : [];
      const [match, view] = matches.find(([found]) => found) ?? [];
      if (!match) {
        answerAsItIs(request, socket);
        return;
      }
      checkHost(request);
      refuseBadHandshake(request, settings);
      request.headers.upgrade = "websocket";
      const upgrade = (release, onOpen) => {
        // Where `ws` refuses after all, or the peer has gone meanwhile.
        socket.once("close", release);
        server.handleUpgrade(request, socket, head, (connection) => onOpen(connection, socket));
      };
      view(request, decodeURIComponent(match[1] ?? ""), upgrade, socket, head);
    } catch (error) {
      answerRaw(socket, asRefused(error));
    }
  };
}
