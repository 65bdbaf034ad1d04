// What a subscriber knows about its stream: pure, no sockets, no clock. The twin of clients/receiver.py, whose
// rules it obeys; both pass tests/receiver_vectors.json.
//
// Rules, in short:
// 1. An id is given once, and ids only rise. An id at or below the newest one given is a *duplicate* if it was
//    given before, and *reordered* if it was skipped.
// 2. An id that is jumped over is *missed* if a batch told so, and *lost* if none did. A batch's `missed` tells of
//    the ids just below its first one. An empty batch may tell of a gap too, which belongs to the next jump.
// 3. The cursor is opaque. `missed: null` is a new epoch: the gap's size is unknown, and ids start afresh.
// 4. What came before the first notification, at the start or in a new epoch, is not counted as lost.
// 5. A batch that ends where we already are, or an epoch change that ends where this epoch began, is a repeat: what
//    it tells is not counted twice. The cursor moves only for news.
// 6. A malformed batch throws BadBatch and changes nothing.
// 7. Bounded: the newest SKIPPED_RANGES jumps are remembered.
//
// JSON.parse cannot tell 1.0 from 1, so this twin takes both for the integer; the server never writes the former.

export const SKIPPED_RANGES = 1000;

/** The text is not a batch; the message says what is wrong with it. */
export class BadBatch extends Error {
  name = "BadBatch";
}

/** Turn batches into new notifications, once each and in order. */
export class Receiver {
  #epochBeganAt = null;
  #lastId = null;
  #told = 0;
  #skipped = [];

  /** Start after `cursor`, or, with null, wherever the first batch says. */
  constructor(cursor = null) {
    this.cursor = cursor;
    this.received = 0;
    this.duplicates = 0;
    this.reordered = 0;
    this.lost = 0;
    this.missed = 0;
    this.epoch_changes = 0;
    this.unknown_gaps = 0;
  }

  /** Take one batch as it came (a string, or bytes) and return what is new in it, in order; throws BadBatch. */
  receive(batch) {
    const { notifications, cursor, missed: told } = parseBatch(batch);
    let missed = told;
    if (missed === null && (cursor === this.cursor || cursor === this.#epochBeganAt)) missed = 0;
    if (missed === null) {
      this.epoch_changes += 1;
      this.unknown_gaps += 1;
      this.#lastId = null;
      this.#told = 0;
      this.#skipped = [];
      this.#epochBeganAt = this.cursor = cursor;
      missed = 0;
    } else if (!notifications.length && cursor !== this.cursor && (missed || this.cursor === null)) {
      this.cursor = cursor;
      this.missed += missed;
      this.#told += missed;
    }

    const fresh = [];
    let lastId = this.#lastId;
    for (const notification of notifications) {
      const id = notification.id;
      if (lastId === null) {
        this.missed += missed;
      } else if (id <= lastId) {
        if (this.#skipped.some(([first, last]) => first <= id && id <= last)) this.reordered += 1;
        else this.duplicates += 1;
        missed = 0;
        continue;
      } else if (id !== lastId + 1) {
        const jumped = id - lastId - 1;
        const toldHere = Math.min(missed, jumped);
        const toldBefore = Math.min(this.#told, jumped - toldHere);
        this.missed += toldHere;
        this.lost += jumped - toldHere - toldBefore;
        this.#skipped.push([lastId + 1, id - 1]);
        if (this.#skipped.length > SKIPPED_RANGES) this.#skipped.shift();
      }
      missed = 0;
      this.#told = 0;
      lastId = id;
      fresh.push(notification);
    }
    if (fresh.length) {
      this.#lastId = lastId;
      this.cursor = cursor;
      this.received += fresh.length;
    }
    return fresh;
  }
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Return a batch's notifications, cursor and `missed`; throws BadBatch. Unknown members are ignored. */
export function parseBatch(batch) {
  let text = batch;
  if (typeof text !== "string") {
    try {
      text = utf8.decode(batch);
    } catch {
      throw new BadBatch("the batch is not UTF-8");
    }
  }
  let value;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new BadBatch(`the batch is not JSON: ${error.message}`);
  }
  if (!isObject(value)) throw new BadBatch(`a batch is a JSON object, but this is ${name(value)}`);
  const { notifications, cursor } = value;
  if (!Array.isArray(notifications)) {
    throw new BadBatch(`a batch needs a list as its notifications, but this has ${name(notifications)}`);
  }
  if (typeof cursor !== "string" || !cursor) {
    throw new BadBatch(`a batch needs a string as its cursor, but this has ${name(cursor)}`);
  }
  if (!Object.hasOwn(value, "missed")) {
    throw new BadBatch("a batch needs missed: a count, or null where it cannot be known");
  }
  const { missed } = value;
  if (missed !== null && !isCount(missed)) {
    throw new BadBatch(`a batch needs a count or null as its missed, but this has ${name(missed)}`);
  }
  return { notifications: notifications.map(notification), cursor, missed };
}

function notification(entry) {
  if (!isObject(entry)) throw new BadBatch(`a notification is a JSON object, but this is ${name(entry)}`);
  for (const member of ["id", "due_us", "accepted_us", "data"]) {
    if (!Object.hasOwn(entry, member)) throw new BadBatch(`a notification has no ${member}`);
  }
  const { id, due_us, accepted_us, data } = entry;
  if (!isCount(id) || id < 1) {
    throw new BadBatch(`a notification's id is an integer from 1 to 2^53 - 1, not ${name(id)}`);
  }
  if (!isCount(due_us)) {
    throw new BadBatch(`a notification's due_us is an integer from 0 to 2^53 - 1, not ${name(due_us)}`);
  }
  if (!isCount(accepted_us)) {
    throw new BadBatch(`a notification's accepted_us is an integer from 0 to 2^53 - 1, not ${name(accepted_us)}`);
  }
  return { id, due_us, accepted_us, data };
}

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const isCount = (value) => Number.isSafeInteger(value) && value >= 0;

/** Show a JSON value in an error, cut to one short line. */
function name(value) {
  const text = JSON.stringify(value) ?? "nothing";
  return text.length <= 40 ? text : `${text.slice(0, 37)}...`;
}
