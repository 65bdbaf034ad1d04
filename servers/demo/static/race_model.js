// What one lane knows, as figures: pure, no page, no clock, no sockets.
//
// Rules:
// 1. Latency is arrival minus due time, both by the server's clock, in milliseconds.
// 2. Left out of the latency figures, and counted as such: what fell due before `countFromMs`, which moves on whenever
//    the page was hidden or the lane was cut from here, and lies a little after its start. Such a wait tells of the page, not of the transport.
// 3. Bounded: KEEP_LATENCIES for the figures, KEEP_POINTS for the strip, KEEP_LANDED for the list, KEEP_EVENTS for the
//    diagram, each with KEEP_TEXT characters of what it carried. The oldest leave first.

export const KEEP_LATENCIES = 2000;
export const KEEP_POINTS = 1500;
export const KEEP_LANDED = 12;
export const KEEP_EVENTS = 600;
export const KEEP_TEXT = 240;

export class LaneModel {
  countFromMs = 0;

  constructor() {
    this.points = [];
    this.landed = [];
    this.events = [];
    this.serial = 0;
    this.afresh(0);
  }

  /** Count from here on; the diagram and the strip keep what they show. */
  afresh(nowMs) {
    this.sinceMs = nowMs;
    this.latencies = [];
    this.left_out = 0;
    this.countFromMs = Math.max(this.countFromMs, nowMs);
  }

  /** Take notifications that arrived together at `arrivedMs`; `offsetMs` is the server's clock minus ours. */
  take(notifications, arrivedMs, offsetMs) {
    for (const { id, due_us } of notifications) {
      const dueMs = due_us / 1000 - offsetMs;
      const latencyMs = arrivedMs - dueMs;
      const counted = dueMs >= this.countFromMs;
      if (counted) this.latencies.push(latencyMs);
      else this.left_out += 1;
      this.points.push({ atMs: arrivedMs, latencyMs, counted });
      this.landed.push({ id, latencyMs, counted });
      this.record({ kind: "due", atMs: dueMs, untilMs: arrivedMs, ids: [id], text: "" });
    }
    bound(this.latencies, KEEP_LATENCIES);
    bound(this.points, KEEP_POINTS);
    bound(this.landed, KEEP_LANDED);
  }

  /** Take what went over the wire, as subscriber.js tells it. */
  record(event) {
    this.serial += 1;
    const kept = { ...event, serial: this.serial, text: event.text.slice(0, KEEP_TEXT), ids: event.ids.slice(0, 50), id_count: event.ids.length };
    this.events.push(kept);
    bound(this.events, KEEP_EVENTS);
    return kept;
  }

  /** The latencies' quantile, or null without any: the smallest that at least that share does not exceed. */
  quantiles(...shares) {
    if (!this.latencies.length) return shares.map(() => null);
    const sorted = Float64Array.from(this.latencies).sort();
    return shares.map((share) => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]);
  }
}

function bound(list, most) {
  if (list.length > most) list.splice(0, list.length - most);
}

/** Milliseconds for people: three digits, and never a sign that is only the clock's error. */
export function showMs(ms) {
  if (ms === null || ms === undefined) return "–";
  const least = Math.max(0, ms);
  return least < 9.95 ? least.toFixed(1) : String(Math.round(least));
}

/** Bytes for people: three digits and a unit. */
export function showBytes(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  const [value, unit] = bytes < 1e6 ? [bytes / 1e3, "kB"] : bytes < 1e9 ? [bytes / 1e6, "MB"] : [bytes / 1e9, "GB"];
  return `${value.toFixed(value < 9.995 ? 2 : value < 99.95 ? 1 : 0)} ${unit}`;
}
