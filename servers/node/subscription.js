/**
 * A subscriber that stays: what websocket, sse and Socket.IO have in common.
 *
 * Rules:
 * 1. The first batch goes at once, perhaps empty: it tells the cursor. None of the others is empty but heartbeats.
 * 2. The next batch is asked for when the peer has taken the one before: `send(batch)` says false if it has not
 *    yet, and `drained()` that it has. So nothing is queued for a slow reader.
 * 3. What was accepted before the end is delivered, then `end()`.
 */

const MS = 1000;

export class Subscription {
  /** `send(batch)` writes it; `release` gives the subscriber's place back. */
  constructor(stream, transport, position, { send, release, heartbeat_s = null, isBlocked = false }) {
    this.stream = stream;
    this.usage = stream.usage[transport];
    this.position = position;
    this.send = send;
    this.release = release;
    this.isBlocked = isBlocked;
    this.isFirst = true;
    this.hasEnded = false;
    this.heartbeat = null;
    if (heartbeat_s !== null) this.heartbeat = setTimeout(() => this.beat(), heartbeat_s * MS);
  }

  start() {
    this.pump();
  }

  wake() {
    this.pump();
  }

  drained() {
    if (!this.isBlocked) return;
    this.isBlocked = false;
    this.pump();
  }

  /** The peer is not to be given more until `drained()`. */
  block() {
    this.isBlocked = true;
  }

  pump() {
    while (!this.hasEnded && !this.isBlocked) {
      const batch = this.stream.batch(this.position);
      if (!batch.news && !this.isFirst) {
        this.stream.waiting.add(this);
        return;
      }
      this.deliver(batch);
    }
  }

  deliver(batch) {
    this.position = batch.lastId;
    this.isFirst = false;
    this.isBlocked = !this.send(batch);
    this.usage.notifications += batch.count;
    this.heartbeat?.refresh();
  }

  /** Nothing was sent for so long. */
  beat() {
    if (this.hasEnded) return;
    if (this.isBlocked) this.heartbeat.refresh();
    else this.deliver(this.stream.batch(this.position));
  }

  /** Deliver what there is, if the peer takes it, and ask for no more. */
  end() {
    this.pump();
    this.hasEnded = true;
    this.stream.waiting.delete(this);
    clearTimeout(this.heartbeat);
    this.release();
  }

  /** The peer has gone. */
  lost() {
    this.isBlocked = true;
    this.end();
  }
}
