/**
 * What is wrong below express: Node's parser refuses what is not HTTP, and what comes too slowly or ends too soon.
 * Its words are replaced by problem details, which name the limit.
 */

import { beingRead, lateness } from "./bodies.js";
import { answer, answerRaw } from "./problems.js";
import { BadRequest, MethodNotAllowed, Refused } from "./refusals.js";

const HEAD_TOO_LARGE = "A request's head may take 32768 bytes at the most.";

class HeadTooLarge extends Refused {
  static status = 431;
}

class UnknownExpectation extends Refused {
  static status = 417;
}

export function explainErrors(server, settings) {
  /** By socket: the response that is under way. */
  const answering = new WeakMap();
  // A client that has sent its request may close its own side and still wait for the answer.
  server.httpAllowHalfOpen = true;
  server.prependListener("request", (request, response) => answering.set(request.socket, response));

  const refused = new WeakSet();
  server.on("connect", (request, socket) => {
    socket.on("error", () => socket.destroy());
    answerRaw(socket, new MethodNotAllowed("CONNECT is not allowed here.", { Allow: "GET, HEAD, OPTIONS, POST" }));
  });
  server.on("checkExpectation", (request, response) => {
    answer(request, response, new UnknownExpectation("Expect may be 100-continue only."));
  });
  server.on("clientError", (error, socket) => {
    // What comes behind what was refused is dropped.
    if (refused.has(socket)) return;
    // What comes behind a request that closes the connection is not looked at.
    if (error.code === "HPE_CLOSED_CONNECTION") return;
    const response = answering.get(socket);
    if (response && response.req.complete && !response.writableFinished && error.code !== "ECONNRESET") {
      // What came before is answered first.
      refused.add(socket);
      response.once("finish", () => answerRaw(socket, refusalOf(error, socket, settings)));
      return;
    }
    const isUnderWay = response && !response.writableFinished && response.headersSent;
    // A new connection that says nothing is closed without a word: nothing was asked.
    if (error.code === "ECONNRESET" || !socket.writable || isUnderWay || socket.bytesRead === 0) {
      socket.destroy();
      return;
    }
    refused.add(socket);
    answerRaw(socket, refusalOf(error, socket, settings));
  });
}

function refusalOf(error, socket, settings) {
  switch (error.code) {
    case "ERR_HTTP_REQUEST_TIMEOUT":
      return lateness(settings.request_timeout_s);
    case "HPE_HEADER_OVERFLOW":
      return new HeadTooLarge(HEAD_TOO_LARGE);
    case "HPE_INVALID_EOF_STATE": {
      const body = beingRead.get(socket);
      if (!body) return new BadRequest("The connection ended before the request was whole.");
      if (body.length === null) return new BadRequest("The body ended before its last chunk.");
      return new BadRequest(`The body ended after ${body.received} of ${body.length} bytes.`);
    }
    case "HPE_INVALID_CHUNK_SIZE":
      return new BadRequest("The body is not well chunked.");
    default:
      return new BadRequest(`This is not HTTP: ${error.reason ?? error.message}.`);
  }
}
