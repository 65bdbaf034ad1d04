// Short polling: ask on every tick of a clock, whether there is news or not. The twin of clients/short_poll.py.
//
// T runs from start to start, on a grid whose phase is drawn at random, so that browsers that open the page
// together do not ask together. A tick that the request before it overran is skipped and counted.

import { ConnectionLost, Subscriber } from "./subscriber.js";

export default class ShortPollSubscriber extends Subscriber {
  static transport = "short-poll";
  #nextTickMs = null;
  #gridS = null;

  /** What theory says of it (bench/analysis/theory/short_poll.py), d being one transit in ms. */
  static theory({ poll_interval_s: interval_s, one_way_ms: d }) {
    return {
      latency_ms_p50: (interval_s * 1000) / 2 + d,
      latency_formula: "T/2 + d",
      requests_per_minute: 60 / interval_s,
      requests_formula: "60/T",
    };
  }

  async run() {
    while (await this.#waitForTick()) await this.poll();
    throw new ConnectionLost("cut from this side");
  }

  /** Sleep until the next tick of the grid; false once closed or cut. */
  async #waitForTick() {
    for (;;) {
      const intervalMs = this.pollIntervalS * 1000;
      const now = performance.now();
      if (this.#nextTickMs === null || this.#gridS !== this.pollIntervalS) {
        this.#nextTickMs = now + Math.random() * intervalMs;
        this.#gridS = this.pollIntervalS;
      } else {
        this.#nextTickMs += intervalMs;
        if (this.#nextTickMs < now) {
          const overrun = Math.ceil((now - this.#nextTickMs) / intervalMs);
          this.skipped_ticks += overrun;
          this.#nextTickMs += overrun * intervalMs;
          this.note({ exchange: 0, kind: "skipped", up: true, text: `${overrun} skipped` });
        }
      }
      const slept = await this.sleep(this.#nextTickMs - performance.now());
      if (this.away) return false;
      if (slept) return true;
    }
  }
}
