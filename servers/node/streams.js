/**
 * All streams of one server, and the bounds that they share.
 *
 * Rules, as in servers/stream.py:
 * 1. All logs together have a bound: the oldest notifications leave first, whosever they are.
 * 2. Streams are bounded. A reader's request makes room only by dropping a stream that nothing was ever published
 *    on; a publisher's by the longest unused one. None goes that has subscribers, or that was read within POLLED_MS.
 * 3. Who subscribes takes a place, of all and of his address's share. Past their number there is a 503.
 * 4. What is published wakes nobody by itself: when this turn of the event loop has read all that came, each
 *    waiter is woken once. So a burst is one batch, one write for each subscriber.
 */

import { BadRequest, Full, NotFound, Stopping } from "./refusals.js";
import { Stream } from "./stream.js";

const NAME = /^[a-z0-9-]{1,64}$/;
const MAX_BUILT_BYTES = 32 << 20;
const POLLED_MS = 300_000;

export class Streams {
  constructor(settings, transports) {
    this.settings = settings;
    this.transports = transports;
    this.stopping = false;
    this.subscribers = 0;
    this.subscribersOf = new Map();
    this.bytesHeld = 0;
    this.builtBytes = 0;
    this.byName = new Map();
    this.ages = 0;
    this.uses = 0;
    this.toWake = new Set();
    /** Who stays until one side ends it: has `stop()`. */
    this.staying = new Set();
    this.wakeAll = this.wakeAll.bind(this);
  }

  /** The stream of this name for a reader, made if need be; it costs no other stream its log. */
  get(name) {
    this.refuseIfStopping();
    const stream = this.byName.get(name) ?? this.make(name, true);
    stream.lastUsed = ++this.uses;
    stream.readMs = performance.now();
    return stream;
  }

  /** The stream of this name for a publisher, made if need be: the longest unused may make way. */
  toPublish(name) {
    const stream = this.byName.get(name) ?? this.make(name, false);
    stream.lastUsed = ++this.uses;
    return stream;
  }

  /** The stream of this name, if there is one. */
  find(name) {
    refuseBadName(name);
    const stream = this.byName.get(name);
    if (!stream) throw new NotFound("There is no stream of this name: nobody has read it or published on it.");
    return stream;
  }

  refuseIfStopping() {
    if (this.stopping) throw new Stopping();
  }

  make(name, forReader) {
    refuseBadName(name);
    if (this.byName.size >= this.settings.max_streams) this.dropUnused(forReader);
    const stream = new Stream(name, this);
    this.byName.set(name, stream);
    return stream;
  }

  dropUnused(forReader) {
    const since = performance.now() - POLLED_MS;
    let unused = null;
    for (const stream of this.byName.values()) {
      if (stream.readMs > since || stream.hasSubscribers() || (forReader && stream.headId > 0)) continue;
      if (unused === null || stream.lastUsed < unused.lastUsed) unused = stream;
    }
    if (unused === null) {
      throw new Full(
        `All ${this.settings.max_streams} streams (max_streams) have subscribers, were read within ` +
          `${POLLED_MS / 1000} seconds, or hold what a reader's request may not drop.`,
      );
    }
    this.byName.delete(unused.name);
    unused.dropped = true;
    while (unused.count > 0) unused.dropOldest();
  }

  nextAge() {
    return ++this.ages;
  }

  makeRoom() {
    while (this.bytesHeld > this.settings.max_log_bytes) {
      let holder = null;
      for (const stream of this.byName.values()) {
        if (stream.count > 0 && (holder === null || stream.oldest.age < holder.oldest.age)) holder = stream;
      }
      holder.dropOldest();
    }
  }

  makeRoomForBuilt(size) {
    if (this.builtBytes + size > MAX_BUILT_BYTES) {
      for (const stream of this.byName.values()) stream.forgetBuilt();
    }
  }

  wake(stream) {
    if (stream.waiting.size === 0) return;
    if (this.toWake.size === 0) setImmediate(this.wakeAll);
    this.toWake.add(stream);
  }

  wakeAll() {
    const streams = [...this.toWake];
    this.toWake.clear();
    for (const stream of streams) {
      const { waiting } = stream;
      stream.waiting = new Set();
      for (const waiter of waiting) waiter.wake();
    }
  }

  /**
   * Take a subscriber's place; returns what gives it back. `share` is the address whose share counts, or null.
   * Without a stream it is a place among the server's all the same.
   */
  subscribe(share, stream = null, transport = null) {
    const { max_subscribers, max_subscribers_per_address } = this.settings;
    if (this.subscribers >= max_subscribers) {
      throw new Full(`All ${max_subscribers} subscribers (max_subscribers) are taken; try again later.`);
    }
    const his = share === null ? 0 : (this.subscribersOf.get(share) ?? 0);
    if (his >= max_subscribers_per_address) {
      throw new Full(
        `All ${max_subscribers_per_address} subscribers that one address may have ` +
          "(max_subscribers_per_address) are taken; try again later.",
      );
    }
    stream?.refuseIfDropped();
    this.countSubscriber(1, share, stream, transport);
    let held = true;
    return () => {
      if (held) this.countSubscriber(-1, share, stream, transport);
      held = false;
    };
  }

  countSubscriber(change, share, stream, transport) {
    this.subscribers += change;
    if (stream) stream.usage[transport].subscribers += change;
    if (share === null) return;
    const his = (this.subscribersOf.get(share) ?? 0) + change;
    if (his > 0) this.subscribersOf.set(share, his);
    else this.subscribersOf.delete(share);
  }

  /** Answer all waiters, let nobody wait again, and end whoever stays. */
  stop() {
    this.stopping = true;
    for (const stream of this.byName.values()) this.toWake.add(stream);
    this.wakeAll();
    for (const each of [...this.staying]) each.stop();
  }
}

function refuseBadName(name) {
  if (!NAME.test(name)) throw new BadRequest("A stream's name is 1 to 64 of a-z, 0-9 and the hyphen.");
}
