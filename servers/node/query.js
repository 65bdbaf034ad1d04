/** The arguments in a request's target: each is given once, and none is clamped. */

import { BadRequest } from "./refusals.js";

const NONE = new URLSearchParams();
const SECONDS = /^[0-9]{1,9}(\.[0-9]{1,9})?$/;
const HEARTBEAT = /^([1-9]|[1-5][0-9]|60)$/;
const DEFAULT_WAIT_S = 25;
const MAX_WAIT_S = 60;

export const pathOf = (request) => request.url.split("?", 1)[0];

export function queryOf(request) {
  const mark = request.url.indexOf("?");
  return mark < 0 ? NONE : new URLSearchParams(request.url.slice(mark + 1));
}

/** The cursor that the request asks from; null if it names none and so joins at the head. */
export function afterOf(query) {
  const given = query.getAll("after");
  if (given.length > 1) throw new BadRequest("Give after only once.");
  return given.length > 0 ? given[0] : null;
}

/** For how many seconds a poll is to be held. */
export function waitOf(query) {
  const given = query.getAll("wait");
  if (given.length === 0) return DEFAULT_WAIT_S;
  if (given.length > 1 || !SECONDS.test(given[0])) {
    throw new BadRequest("wait must be one number of seconds, such as 25 or 0.5.");
  }
  const wait_s = Number(given[0]);
  if (wait_s > MAX_WAIT_S) throw new BadRequest(`wait must not exceed ${MAX_WAIT_S} seconds.`);
  return wait_s;
}

/** How often something is to be sent, in seconds; null if nobody asks. */
export function heartbeatOf(query) {
  const given = query.getAll("heartbeat");
  if (given.length === 0) return null;
  if (given.length > 1 || !HEARTBEAT.test(given[0])) {
    throw new BadRequest("heartbeat must be one whole number of seconds, 1 to 60.");
  }
  return Number(given[0]);
}
