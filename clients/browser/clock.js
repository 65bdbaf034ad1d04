// How far this browser's clock is from the server's, by Cristian's method (1989): ask for the time, and take the
// exchange with the shortest round trip, since the server read its clock somewhere within it.
//
// Rules:
// 1. An exchange that took more than LONGEST_MS is none: it would tell the time within a second or worse.
// 2. Server time is nowMs() + offset_ms, within error_ms: half of the shortest round trip, plus the step of
//    performance.now().
// 3. Clocks drift, so exchanges are kept for KEEP_MS only, and `compare` is called again now and then. Bounded: as
//    many exchanges as fit in KEEP_MS, KEEP at the most. When the last has gone, nothing is known any more.
// 4. A latency below the error says nothing (`tells`), and no page shows it.

import { getJson } from "./fetching.js";
import { nowMs } from "./subscriber.js";

const LONGEST_MS = 2000;
const KEEP_MS = 120_000;
const KEEP = 64;

export class Clock {
  #exchanges = [];
  offset_ms = 0;
  /** Infinity where nothing is known: before the first exchange, and after the last. */
  error_ms = Infinity;
  round_trip_ms = Infinity;

  /** Exchange the time `times` times, one after the other, until one fails. */
  async compare(times = 8) {
    for (let left = times; left > 0; left -= 1) {
      try {
        const sentMs = nowMs();
        const { server_us } = await getJson("/demo/clock", { withinMs: LONGEST_MS });
        this.take(sentMs, server_us / 1000, nowMs());
      } catch {
        this.#judge(nowMs());
        return;
      }
    }
  }

  /** Take one exchange: sent and received by our clock, and the server's time between. */
  take(sentMs, serverMs, receivedMs) {
    const roundTrip = receivedMs - sentMs;
    if (roundTrip <= LONGEST_MS && Number.isFinite(serverMs)) {
      this.#exchanges.push({ atMs: receivedMs, roundTrip, offset: serverMs - (sentMs + receivedMs) / 2 });
    }
    this.#judge(receivedMs);
  }

  #judge(atPresentMs) {
    this.#exchanges = this.#exchanges.filter(({ atMs }) => atPresentMs - atMs < KEEP_MS).slice(-KEEP);
    const best = this.#exchanges.reduce((a, b) => (b.roundTrip < a.roundTrip ? b : a), { offset: this.offset_ms, roundTrip: Infinity });
    this.offset_ms = best.offset;
    this.round_trip_ms = best.roundTrip;
    this.error_ms = best.roundTrip / 2 + STEP_MS;
  }

  /** Whether a latency tells more than how far the clocks may be apart. */
  tells(latencyMs) {
    return latencyMs >= this.error_ms;
  }

  /** Server time in milliseconds, of a time by our clock. */
  server(ms) {
    return ms + this.offset_ms;
  }
}

/** The step of performance.now(), as this browser rounds it: the smallest of a few that were seen. */
const STEP_MS = (() => {
  let smallest = 1;
  for (let tries = 0; tries < 50; tries += 1) {
    const before = performance.now();
    let after = before;
    for (let spins = 0; after === before && spins < 20_000; spins += 1) after = performance.now();
    if (after > before) smallest = Math.min(smallest, after - before);
  }
  return smallest;
})();
