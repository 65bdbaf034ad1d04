// Long polling: ask, be held until there is news, be answered, and ask again at once (RFC 6202, 2). The twin of
// clients/long_poll.py.
//
// The first poll of a client that joins at the head asks not to be held: it only fetches the cursor. Held without
// one, it would lose whatever came while a lost connection was being replaced.

import { ConnectionLost, Subscriber } from "./subscriber.js";

export default class LongPollSubscriber extends Subscriber {
  static transport = "long-poll";

  /** What theory says of it (bench/analysis/theory/long_poll.py) while polls are back before the next notification. */
  static theory({ publish_rate: rate, one_way_ms: d }) {
    return {
      latency_ms_p50: d,
      latency_formula: "d",
      requests_per_minute: 60 * rate,
      requests_formula: "60·λ",
    };
  }

  async run() {
    while (!this.away) {
      const heldS = this.receiver.cursor === null ? 0 : this.waitS;
      await this.poll({ wait: String(heldS) }, heldS);
    }
    throw new ConnectionLost("cut from this side");
  }
}
