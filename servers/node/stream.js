/**
 * One stream: a named, ordered, bounded log of notifications, and the question that transports ask of it.
 *
 * Rules, as in servers/stream.py:
 * 1. Ids start at 1 and rise by 1. The epoch names one life of a stream: it changes when the log is lost.
 * 2. A notification is encoded once, when it is accepted. A batch is built once for each cursor that is asked for
 *    between two notifications; everybody at that cursor gets the same bytes.
 * 3. Subscribers have no queue here. Each reads the log at its own cursor: a slow one falls behind, and past the
 *    log's end its next batch tells what it missed. A gap is always told.
 * 4. A waiter is an object with `wake()`. Whoever waits is woken once for all that one turn of the event loop
 *    accepts (`streams.js`).
 * 5. An idempotency key is kept for as long as its notification, counts in the bytes of the logs, and stands for
 *    the data as encoded.
 */

import { randomInt } from "node:crypto";

import { Batch, piecesOf } from "./batch.js";
import { nowUs } from "./clock.js";
import { ENVELOPE_BYTES } from "./drafts.js";
import { BadRequest, Full, KeyReused, TooLarge } from "./refusals.js";

const MAX_BATCH_NOTIFICATIONS = 10_000;
const MAX_BATCH_BYTES = 8 << 20;
const CURSOR = /^([a-z0-9]{1,16})\.(0|[1-9][0-9]{0,15})$/;
const EPOCH_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789";
const EPOCH_LENGTH = 8;
// So many places before the oldest entry are left empty before they are given back.
const EMPTY_PLACES = 4096;
/** What a cursor of another epoch is here: all that is held follows it, and what was missed cannot be known. */
export const OTHER_EPOCH = -1;

export class Stream {
  constructor(name, owner) {
    this.name = name;
    this.owner = owner;
    this.epoch = Array.from({ length: EPOCH_LENGTH }, () => EPOCH_ALPHABET[randomInt(36)]).join("");
    /** {encoded, age, data, key, size}; the first `empty` places are undefined. */
    this.entries = [];
    this.empty = 0;
    this.headId = 0;
    this.bytesHeld = 0;
    this.lastUsed = 0;
    this.readMs = -Infinity;
    this.dropped = false;
    this.published = new Map();
    this.waiting = new Set();
    this.built = new Map();
    this.builtBytes = 0;
    this.usage = {};
    for (const transport of owner.transports) {
      this.usage[transport] = { subscribers: 0, requests: 0, notifications: 0 };
    }
  }

  get count() {
    return this.entries.length - this.empty;
  }

  get oldest() {
    return this.entries[this.empty];
  }

  get oldestId() {
    return this.headId - this.count + 1;
  }

  hasSubscribers() {
    return Object.values(this.usage).some((usage) => usage.subscribers > 0);
  }

  refuseIfDropped() {
    if (this.dropped) throw new Full(`The stream ${this.name} has just made way for another; try again.`);
  }

  /** Add a notification and wake whoever waits; returns {id, cursor}. */
  publish(draft) {
    this.refuseIfDropped();
    const before = draft.key === null ? undefined : this.published.get(draft.key);
    if (before) return this.again(before, draft);
    const acceptedUs = nowUs();
    const id = this.headId + 1;
    const dueUs = draft.due_us ?? acceptedUs;
    const head = `{"id":${id},"due_us":${dueUs},"accepted_us":${acceptedUs},"data":`;
    const encoded = Buffer.from(`${head}${draft.data}}`);
    const limit = this.owner.settings.max_notification_bytes;
    if (encoded.length > limit && draft.sourceLength > limit / 2 + ENVELOPE_BYTES) {
      throw new TooLarge(
        `The notification takes ${encoded.length} bytes as encoded; max_notification_bytes is ${limit}.`,
      );
    }
    this.headId = id;
    const size = encoded.length + (draft.key?.length ?? 0);
    const entry = { id, encoded, dataAt: head.length, key: draft.key, size, age: this.owner.nextAge() };
    this.entries.push(entry);
    if (entry.key !== null) this.published.set(entry.key, entry);
    this.bytesHeld += size;
    this.owner.bytesHeld += size;
    if (this.count > this.owner.settings.max_notifications) this.dropOldest();
    this.owner.makeRoom();
    this.forgetBuilt();
    this.owner.wake(this);
    return { id, cursor: `${this.epoch}.${id}` };
  }

  /** The same key has published before. */
  again(entry, draft) {
    const data = Buffer.from(`${draft.data}}`);
    if (!entry.encoded.subarray(entry.dataAt).equals(data)) {
      throw new KeyReused(
        `This idempotency key has published other data in this stream, as id ${entry.id}; ` +
          "take a new key for each notification.",
      );
    }
    return { id: entry.id, cursor: `${this.epoch}.${entry.id}` };
  }

  dropOldest() {
    const entry = this.oldest;
    this.entries[this.empty] = undefined;
    this.empty += 1;
    if (this.empty > EMPTY_PLACES && this.empty * 2 > this.entries.length) {
      this.entries.splice(0, this.empty);
      this.empty = 0;
    }
    if (entry.key !== null) this.published.delete(entry.key);
    this.bytesHeld -= entry.size;
    this.owner.bytesHeld -= entry.size;
    this.forgetBuilt();
  }

  /** Drop the built batches: what they say of the log is no longer so. */
  forgetBuilt() {
    if (this.built.size === 0) return;
    this.owner.builtBytes -= this.builtBytes;
    this.built.clear();
    this.builtBytes = 0;
  }

  /** The last id that the owner of a cursor has seen. Without one he joins at the head. */
  position(after) {
    if (after === null) return this.headId;
    const match = CURSOR.exec(after);
    if (!match) {
      throw new BadRequest(
        "after is not a cursor; give one back as it came, or leave it out to join at the head.",
      );
    }
    if (match[1] !== this.epoch) return OTHER_EPOCH;
    const lastId = Number(match[2]);
    if (lastId > this.headId) {
      throw new BadRequest(
        `after lies beyond the head of this stream, which is ${this.epoch}.${this.headId}.`,
      );
    }
    return lastId;
  }

  /** The notifications after a position, perhaps none. */
  batch(position) {
    let batch = this.built.get(position);
    if (batch === undefined) {
      batch = this.build(position);
      this.owner.makeRoomForBuilt(batch.bytesHeld);
      this.built.set(position, batch);
      this.builtBytes += batch.bytesHeld;
      this.owner.builtBytes += batch.bytesHeld;
    }
    return batch;
  }

  build(position) {
    const { oldestId } = this;
    const sameEpoch = position !== OTHER_EPOCH;
    const missed = sameEpoch ? Math.max(0, oldestId - 1 - position) : null;
    const start = sameEpoch ? Math.max(0, position + 1 - oldestId) : 0;
    const taken = [];
    let size = 0;
    for (let at = this.empty + start; at < this.entries.length; at++) {
      const { encoded } = this.entries[at];
      size += encoded.length + 1;
      if (taken.length === MAX_BATCH_NOTIFICATIONS || (taken.length > 0 && size > MAX_BATCH_BYTES)) break;
      taken.push(encoded);
    }
    const lastId = oldestId + start + taken.length - 1;
    const cursor = `${this.epoch}.${lastId}`;
    return new Batch(
      piecesOf(taken, cursor, missed),
      taken.length,
      lastId,
      cursor,
      taken.length > 0 || missed !== 0,
    );
  }

  /** What this stream holds and has served; ids are null if it holds nothing. */
  stats() {
    return {
      stream: this.name,
      epoch: this.epoch,
      oldest_id: this.count > 0 ? this.oldestId : null,
      newest_id: this.count > 0 ? this.headId : null,
      bytes_held: this.bytesHeld,
      transports: this.usage,
    };
  }
}
