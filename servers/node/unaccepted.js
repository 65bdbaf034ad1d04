/**
 * The bound on all that peers have sent and that is not accepted yet: parts of messages, bodies half read.
 *
 * Rules, as in servers/unaccepted.py: the first FREE_BYTES of each peer are not counted; who would exceed the
 * bound is refused, and nobody else; what he held is given back.
 */

import { Full } from "./refusals.js";

export const FREE_BYTES = 16 * 1024;

export class Unaccepted {
  constructor(maxBytes) {
    this.maxBytes = maxBytes;
    this.bytesHeld = 0;
  }

  refuseGrowth(growth) {
    if (growth > 0 && this.bytesHeld + growth > this.maxBytes) {
      throw new Full(
        `All that has been sent and is not accepted yet may take ${this.maxBytes} bytes ` +
          "(max_unaccepted_bytes); try again later.",
      );
    }
  }
}

/** What one peer's unaccepted bytes take. */
export class Claim {
  constructor(owner) {
    this.owner = owner;
    this.counted = 0;
  }

  /** Keep so many bytes altogether. */
  hold(size) {
    const counted = Math.max(0, size - FREE_BYTES);
    this.owner.refuseGrowth(counted - this.counted);
    this.owner.bytesHeld += counted - this.counted;
    this.counted = counted;
  }

  /** Refuse an announced length that would not fit now. Nothing is set aside for it. */
  refuseLength(size) {
    this.owner.refuseGrowth(size - FREE_BYTES - this.counted);
  }

  release() {
    this.hold(0);
  }
}
