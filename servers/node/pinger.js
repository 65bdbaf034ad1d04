/**
 * One timer pings all who are watched, each every `ping_interval_s`, timed from its joining: pings are as spread
 * as the joins.
 *
 * Time is what the server was awake for: after a pause of the whole process nothing is caught up on, and no pong is
 * overdue that could not have been read.
 */

const TICKS_AN_INTERVAL = 25;
// A tick may come late on a busy server. What is later than so many ticks was a pause.
const MOST_TICKS = 5;
const MS = 1000;

export class Pinger {
  constructor(interval_s) {
    this.tickMs = (interval_s * MS) / TICKS_AN_INTERVAL;
    this.awakeMs = 0;
    this.beforeMs = performance.now();
    this.turn = 0;
    this.turns = Array.from({ length: TICKS_AN_INTERVAL }, () => new Set());
    this.watched = 0;
    this.timer = null;
  }

  /** Call `peer.due(awakeMs)` every interval; returns what ends that. */
  watch(peer) {
    const turn = this.turns[this.turn];
    turn.add(peer);
    this.watched += 1;
    if (this.timer === null) {
      this.beforeMs = performance.now();
      this.timer = setInterval(() => this.tick(), this.tickMs);
    }
    return () => {
      if (!turn.delete(peer)) return;
      this.watched -= 1;
      if (this.watched === 0) {
        clearInterval(this.timer);
        this.timer = null;
      }
    };
  }

  tick() {
    const nowMs = performance.now();
    this.awakeMs += Math.min(nowMs - this.beforeMs, MOST_TICKS * this.tickMs);
    this.beforeMs = nowMs;
    this.turn = (this.turn + 1) % TICKS_AN_INTERVAL;
    for (const peer of this.turns[this.turn]) peer.due(this.awakeMs);
  }
}
