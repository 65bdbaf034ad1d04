/**
 * Unix time in integer microseconds. Date.now() has milliseconds only, so the monotonic clock counts on from when
 * the process began, for as long as the two agree.
 */

const US_PER_MS = 1000;
const MOST_APART_MS = 5;
let originMs = performance.timeOrigin;

export function nowUs() {
  const sinceMs = performance.now();
  const coarseMs = Date.now();
  // The clock was set.
  if (Math.abs(originMs + sinceMs - coarseMs) > MOST_APART_MS) originMs = coarseMs - sinceMs;
  return Math.floor((originMs + sinceMs) * US_PER_MS);
}
