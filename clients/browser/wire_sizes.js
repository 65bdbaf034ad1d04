// How many bytes a message is on the wire, as far as a browser can know: bodies are counted, everything around
// them is computed here, and shown with ≈.
//
// Rules:
// 1. A request's headers are written out as Chromium writes them for a fetch of the same origin that leaves the
//    cache alone, from what the page may know of itself. What it may not know (cookies marked HttpOnly, a proxy's
//    additions) is left out.
// 2. A response's headers are those that fetch shows, as `name: value` and CRLF, after its status line. Neither an
//    EventSource nor Socket.IO's client shows them: they are written out as the server of these pages writes them.
// 3. A WebSocket frame has 2 bytes of header, 4 or 10 from 126 or 65,536 bytes of payload on, and 4 more for the
//    mask where the client sends (RFC 6455, 5.2).
// 4. TCP and IP headers, and what TLS would add, are not counted.

const utf8 = new TextEncoder();

export const byteLength = (text) => utf8.encode(text).length;

/** The lines that any same-origin request of this page carries. */
function commonLines() {
  const lines = [`Host: ${location.host}`, `User-Agent: ${navigator.userAgent}`, "Accept-Encoding: gzip, deflate, br, zstd", `Accept-Language: ${acceptLanguage()}`];
  if (document.cookie) lines.push(`Cookie: ${document.cookie}`);
  return lines;
}

const PAST_THE_CACHE = ["Pragma: no-cache", "Cache-Control: no-cache"];

/** Those of a request whose answer is HTTP, and what it accepts. */
function httpLines(accept) {
  const lines = [...commonLines(), "Connection: keep-alive", `Accept: ${accept}`];
  lines.push("Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty");
  const agent = navigator.userAgentData;
  if (agent) {
    const brands = agent.brands.map(({ brand, version }) => `"${brand}";v="${version}"`).join(", ");
    lines.push(`sec-ch-ua: ${brands}`, `sec-ch-ua-mobile: ?${agent.mobile ? 1 : 0}`, `sec-ch-ua-platform: "${agent.platform}"`);
  }
  return lines;
}

function bodyLines(method, bodyBytes, contentType) {
  return method === "GET" ? [] : [`Content-Length: ${bodyBytes}`, `Content-Type: ${contentType}`, `Origin: ${location.origin}`];
}

function acceptLanguage() {
  const languages = navigator.languages.length ? navigator.languages : [navigator.language];
  return languages.map((tag, index) => (index ? `${tag};q=${Math.max(0.1, 1 - index / 10).toFixed(1)}` : tag)).join(",");
}

const withBlankLine = (lines) => byteLength(lines.join("\r\n")) + 4;

/** Bytes of a fetch's request line and headers. */
export function requestHeadBytes(method, target, bodyBytes = 0) {
  return withBlankLine([`${method} ${target} HTTP/1.1`, ...httpLines("*/*"), ...PAST_THE_CACHE, ...bodyLines(method, bodyBytes, "application/json")]);
}

/** The same of one of Engine.IO's polls or POSTs, whose client asks no cache to stand aside but makes each address another. */
export function engineRequestHeadBytes(method, target, bodyBytes) {
  return withBlankLine([`${method} ${target}&t=12345678 HTTP/1.1`, ...httpLines("*/*"), ...bodyLines(method, bodyBytes, "text/plain;charset=UTF-8")]);
}

/** Bytes of a fetch's status line and headers. */
export function responseHeadBytes(response) {
  const lines = [`HTTP/1.1 ${response.status} ${response.statusText}`];
  for (const [name, value] of response.headers) lines.push(`${name}: ${value}`);
  return withBlankLine(lines);
}

/** Bytes of a WebSocket's handshake, up and down (RFC 6455, 1.3). */
export function handshakeBytes(target) {
  const up = [
    `GET ${target} HTTP/1.1`, ...commonLines(), ...PAST_THE_CACHE, "Connection: Upgrade",
    "Upgrade: websocket", `Origin: ${location.origin}`, "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
  ];
  const down = [
    "HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade",
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
  ];
  return { up: withBlankLine(up), down: withBlankLine(down) };
}

/** What is before the rest in each good answer of the server of these pages, where a client does not show it. */
const ANSWER_LINES = [
  "HTTP/1.1 200 OK", "Server: gunicorn", "Date: Thu, 01 Jan 1970 00:00:00 GMT", "Connection: keep-alive",
  "X-Content-Type-Options: nosniff", "Referrer-Policy: no-referrer",
];

/** Bytes of an EventSource's request and of the head of its answer (HTML, 9.2.2). */
export function eventStreamBytes(target) {
  const up = [`GET ${target} HTTP/1.1`, ...httpLines("text/event-stream"), ...PAST_THE_CACHE];
  const down = [...ANSWER_LINES, "Transfer-Encoding: chunked", "Content-Type: text/event-stream", "Cache-Control: no-store", "X-Accel-Buffering: no"];
  return { up: withBlankLine(up), down: withBlankLine(down) };
}

/** Bytes around an event's data: its fields' names and its id, and the chunk that it comes in (RFC 9112, 7.1). */
export function eventHeadBytes(id, dataBytes) {
  const around = byteLength(`id: ${id}\ndata: \n\n`);
  return around + (around + dataBytes).toString(16).length + 4;
}

/** Bytes of a frame's header; `masked` where the client sends. */
export function frameHeadBytes(payloadBytes, masked) {
  const length = payloadBytes < 126 ? 2 : payloadBytes < 65536 ? 4 : 10;
  return length + (masked ? 4 : 0);
}

/** Bytes of the head of an answer to one of Engine.IO's polls or POSTs. */
export function engineAnswerHeadBytes(method, bodyBytes) {
  const contentType = method === "GET" ? "text/plain; charset=UTF-8" : "text/plain";
  return withBlankLine([...ANSWER_LINES, `Content-Type: ${contentType}`, `Content-Length: ${bodyBytes}`, "Cache-Control: no-store"]);
}
