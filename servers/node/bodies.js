/**
 * Request bodies: whole or refused, never cut.
 *
 * Rules, as in servers/bodies.py:
 * 1. A body that is too large is refused by its Content-Length before it is read, a chunked one as soon as it has
 *    grown too large. All bodies together have a bound too (`unaccepted.js`).
 * 2. A body has `request_timeout_s` to come, and a second more for each 64 KiB that came.
 * 3. A body that is refused ends its connection, unless it is short (problems.js). It is asked for when it is read,
 *    if the peer waits for that (RFC 9110, section 10.1.1).
 */

import { BadRequest, TooLarge, TooLate } from "./refusals.js";
import { Claim } from "./unaccepted.js";

const BYTES_PER_S = 64 * 1024;
const MS = 1000;
/** By socket: {received, length} of the body that is being read, for who tells of a connection's end. */
export const beingRead = new WeakMap();

const lengthOf = (request) =>
  request.headers["content-length"] === undefined ? null : Number(request.headers["content-length"]);

export class Bodies {
  constructor(settings, unaccepted) {
    this.settings = settings;
    this.unaccepted = unaccepted;
  }

  /** The body, as {data, release}; what it takes counts until it is released. */
  read(request, response) {
    const { max_body_bytes, body_limit, request_timeout_s } = this.settings;
    const claim = new Claim(this.unaccepted);
    const length = lengthOf(request);
    const refuseAbove = (size) => {
      if (size <= max_body_bytes) return;
      throw new TooLarge(`A body may take ${max_body_bytes} bytes at the most here (${body_limit}).`);
    };
    refuseAbove(length ?? 0);
    claim.refuseLength(length ?? 0);
    if (request.headers.expect !== undefined) response.writeContinue();
    return new Promise((resolve, reject) => {
      const state = { received: 0, length };
      const pieces = [];
      const startedMs = performance.now();
      let timer = null;
      const settle = (how, what) => {
        clearTimeout(timer);
        beingRead.delete(request.socket);
        request.removeListener("data", onData).removeListener("end", onEnd).removeListener("error", onError);
        // Until the connection ends, what still comes is dropped.
        request.on("error", () => {});
        if (how === reject) {
          claim.release();
          request.resume();
        }
        how(what);
      };
      const onData = (piece) => {
        try {
          state.received += piece.length;
          refuseAbove(state.received);
          claim.hold(state.received);
          pieces.push(piece);
        } catch (error) {
          settle(reject, error);
        }
      };
      const onEnd = () => {
        const data = pieces.length === 1 ? pieces[0] : Buffer.concat(pieces, state.received);
        settle(resolve, { data, release: () => claim.release() });
      };
      const onError = () =>
        settle(reject, new BadRequest("The connection was lost before the request was whole."));
      const onTime = () => {
        const remaining_ms =
          (request_timeout_s + state.received / BYTES_PER_S) * MS - (performance.now() - startedMs);
        if (remaining_ms > 0) timer = setTimeout(onTime, remaining_ms);
        else settle(reject, lateness(request_timeout_s));
      };
      beingRead.set(request.socket, state);
      request.on("data", onData).on("end", onEnd).on("error", onError);
      timer = setTimeout(onTime, request_timeout_s * MS);
    });
  }
}

export function lateness(request_timeout_s) {
  return new TooLate(
    `The request had not come whole after ${request_timeout_s} s and a second for each ` +
      `${BYTES_PER_S / 1024} KiB that came (request_timeout_s).`,
    { Connection: "close" },
  );
}
