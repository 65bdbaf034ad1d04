/**
 * Errors as problem details (RFC 9457): one sentence that tells the client what to mend.
 *
 * Rule: whatever goes wrong, the answer is application/problem+json, and the server goes on serving.
 */

import { STATUS_CODES } from "node:http";

import { Refused } from "./refusals.js";

const MEDIA_TYPE = "application/problem+json";
const RETRY_AFTER_S = "5";
const SHORT_BYTES = 64 * 1024;
const LINGER_MS = 2000;

/** The JSON of a problem whose type is its HTTP status (RFC 9457, section 4.2.1). */
function bodyOf(status, detail) {
  return Buffer.from(JSON.stringify({ type: "about:blank", title: STATUS_CODES[status], status, detail }));
}

function headersOf(refused, body) {
  const headers = {
    "Content-Type": MEDIA_TYPE,
    "Content-Length": String(body.length),
    "Cache-Control": "no-store",
  };
  // If the server is full, the connection makes room too.
  if (refused.status === 503) Object.assign(headers, { "Retry-After": RETRY_AFTER_S, Connection: "close" });
  return Object.assign(headers, refused.headers);
}

/** Any error as a refusal: what was not foreseen is a 500, told in the log and not to the client. */
export function asRefused(error) {
  if (error instanceof Refused) return error;
  if (error.status >= 400 && error.status < 500) {
    // Express's own: a path that cannot be decoded.
    const refused = new Refused(`The request cannot be read: ${error.message}.`);
    Object.defineProperty(refused, "status", { value: error.status });
    return refused;
  }
  console.error(error);
  const failed = new Refused("The server failed on this request; its log tells more.");
  Object.defineProperty(failed, "status", { value: 500 });
  return failed;
}

/** Answer a request with a problem. */
export function answer(request, response, error) {
  const refused = asRefused(error);
  if (response.headersSent) {
    response.destroy();
    return;
  }
  if ((mustEnd(request) || refused.status === 408) && response.socket) {
    request.resume();
    answerRaw(response.socket, refused);
    return;
  }
  const body = bodyOf(refused.status, refused.message);
  response.writeHead(refused.status, headersOf(refused, body));
  response.end(body);
}

/** Whether what follows on the connection cannot be found but by reading a body that nobody wants. */
function mustEnd(request) {
  if (request.complete) return false;
  const { "content-length": length, "transfer-encoding": coding, expect } = request.headers;
  return coding !== undefined || Number(length) > SHORT_BYTES || expect !== undefined;
}

/**
 * The same on the socket itself, which ends with this. What still comes is read and dropped for a while: to close with
 * unread input would reset the connection, and the peer might never see the answer.
 */
export function answerRaw(socket, refused) {
  const body = bodyOf(refused.status, refused.message);
  const headers = { ...headersOf(refused, body) };
  headers.Connection = headers.Connection === "Upgrade" ? "Upgrade, close" : "close";
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  const head = `HTTP/1.1 ${refused.status} ${STATUS_CODES[refused.status]}\r\n${lines.join("")}\r\n`;
  socket.end(Buffer.concat([Buffer.from(head, "latin1"), body]));
  socket.resume();
  setTimeout(() => socket.destroy(), LINGER_MS).unref();
}
