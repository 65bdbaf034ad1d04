// What the play pages share: one stream by the transport of your choice, and what it costs, both ways.
//
// Rules:
// 1. Changing the transport keeps the cursor: the new one goes on where the old one was.
// 2. A late joiner asks from a cursor of another epoch: the server answers with all that it still holds
//    (`Play.REPLAY`). What is only true now, such as a game, joins at the head instead.
// 3. When the stream begins anew (another epoch, or the teacher's wipe), `onReset` is told first.
// 4. What comes in may have been written by anybody: pages check it, and show text as text.
// 5. `send` never piles up: polls POST one message at a time, and what comes meanwhile is joined by the page
//    (`busy` tells). Nothing is sent by itself again; a message that fails is told, and stays unsent.
// 6. A latency below the clocks' error says nothing and is not shown (`latencyMs` is null then).
// 7. Bounded: the newest LATENCIES latencies, and SENT messages that have not come back.

import { getJson, postJson } from "/browser/fetching.js";
import { nowMs } from "/browser/subscriber.js";
import { loadTransports } from "/browser/transports.js";
import { Clock } from "/browser/clock.js";

const LATENCIES = 500;
const SENT = 200;
const COMPARE_EVERY_MS = 30_000;
/** A request that is out for so long is held. */
const HELD_MS = 400;
const STATE_EVERY_MS = 5_000;

/** This page's own word: it marks what it sends, and says nothing about who sits before it. */
export const me = Array.from(crypto.getRandomValues(new Uint8Array(6)), (byte) => byte.toString(16).padStart(2, "0")).join("");

export const byId = (id) => document.getElementById(id);

/** Whether a value can be drawn with: a finite number from `least` to `most`. */
export const isNumber = (value, least, most) => typeof value === "number" && value >= least && value <= most;

/** A short text of anybody's, or null: trimmed, without control characters, `most` characters at the most. */
export function shortText(value, most) {
  if (typeof value !== "string") return null;
  return Array.from(value.replace(/[\u0000-\u0009\u000b-\u001f\u007f\u202a-\u202e\u2066-\u2069]/g, "").trim()).slice(0, most).join("") || null;
}

/** Tell the server, while this page can be seen, that somebody looks; resolves to its state, or null. */
export async function watch(body) {
  try {
    return await postJson("/demo/watch", { page: me, ...body });
  } catch {
    return null;
  }
}

export class Play {
  static REPLAY = "x.0";

  #latencies = [];
  #sent = new Map();
  #sentCount = 0;
  #changes = 0;
  #begun = false;
  #totals = { requests: 0, received: 0 };
  #painting = false;

  /** `onNotification(data, {id, own, latencyMs})`; `onReset()` when what was shown is no longer so. */
  constructor({ replay = true, onNotification, onReset }) {
    this.stream = byId("play").dataset.stream;
    this.onNotification = onNotification;
    this.onReset = onReset;
    this.clock = new Clock();
    this.busy = false;
    this.subscriber = null;
    this.pollIntervalS = 1;
    this.teacher = false;
    this.cursor = replay ? Play.REPLAY : null;
  }

  async start() {
    let transports;
    try {
      transports = await loadTransports();
    } catch (error) {
      this.tell(`${error.message} Reload this page when the server is back.`);
      return;
    }
    await this.#learnState();
    await this.clock.compare(6);
    this.joinedMs = nowMs();
    this.#showChooser(transports);
    setInterval(() => this.clock.compare(3), COMPARE_EVERY_MS);
    setInterval(() => this.#learnState(), STATE_EVERY_MS);
  }

  /** Whether what is sent now may be expected back: connected, or asked and held. */
  get ready() {
    return byId("state").dataset.state === "open";
  }

  /** Send data upstream, the way that this transport has; resolves to whether it was taken. */
  async send(data) {
    if (!this.subscriber) return false;
    this.busy = true;
    const key = (this.#sentCount += 1);
    this.#sent.set(key, nowMs());
    if (this.#sent.size > SENT) this.#sent.delete(this.#sent.keys().next().value);
    try {
      await this.subscriber.publish({ ...data, by: me, key });
      this.tell("");
      return true;
    } catch (error) {
      this.#sent.delete(key);
      this.tell(`That was not sent: ${sentence(error.message)}`);
      return false;
    } finally {
      this.busy = false;
      this.#paintSoon();
    }
  }

  /** Say what went wrong, or, with an empty text, that nothing does. */
  tell(text) {
    const problem = byId("problem");
    problem.textContent = text;
    problem.hidden = !text;
  }

  async #learnState() {
    try {
      const state = await getJson("/demo/state");
      this.teacher = state.teacher;
      this.pollIntervalS = state.poll_interval_s;
      if (this.subscriber) this.subscriber.pollIntervalS = state.poll_interval_s;
      for (const control of document.querySelectorAll("[data-teacher]")) control.hidden = !state.teacher;
    } catch {
      // the subscriber says that the server is away; what was known stays
    }
  }

  #showChooser(transports) {
    const chooser = byId("chooser");
    chooser.querySelector("span")?.remove();
    chooser.removeAttribute("aria-busy");
    const wanted = new URLSearchParams(location.search).get("transport");
    const able = transports.filter(({ Subscriber }) => Subscriber);
    const first = able.find(({ name }) => name === wanted) ?? able.find(({ name }) => name === "websocket") ?? able[0];
    for (const transport of transports) {
      const label = document.createElement("label");
      label.style.setProperty("--transport", `var(--transport-${transport.name})`);
      label.title = transport.missing;
      const input = document.createElement("input");
      Object.assign(input, { type: "radio", name: "transport", value: transport.name, checked: transport === first, disabled: !transport.Subscriber });
      input.addEventListener("change", () => this.#use(transport));
      label.append(input, transport.label);
      chooser.append(label);
    }
    if (first) this.#use(first);
    else this.tell("This browser has a client for none of the server's transports.");
  }

  #use({ name, label, Subscriber }) {
    this.label = label;
    const before = this.subscriber;
    if (before) {
      // Its last words do not concern us any more.
      before.onNotifications = before.onWire = before.onState = () => {};
      this.#totals.requests += before.requests;
      before.close();
      this.cursor = before.receiver.cursor ?? this.cursor;
    }
    byId("play").style.setProperty("--transport", `var(--transport-${name})`);
    byId("play").dataset.transport = name;
    this.#latencies = [];
    this.#changes = 0;
    this.#sent.clear();
    const subscriber = new Subscriber(this.stream, {
      pollIntervalS: this.pollIntervalS,
      after: this.cursor,
      onNotifications: (notifications, arrivedMs) => this.#take(notifications, arrivedMs),
      onWire: (event) => this.#onWire(event),
      onState: (state, why) => {
        this.#showState(state, state, why);
        if (state === "open") this.tell("");
        if (state === "refused") this.tell(`The server will not have it: ${sentence(why)}`);
      },
    });
    this.subscriber = subscriber;
    subscriber.start();
  }

  #showState(state, text, why = "") {
    const shown = byId("state");
    shown.dataset.state = state;
    shown.textContent = text;
    shown.title = why;
  }

  #onWire({ kind, up, headBytes, bodyBytes, text, publishes }) {
    if (!up) clearTimeout(this.asked);
    if (kind === "request" && text.startsWith("GET")) {
      // A poll that is held has no answer to show, and is not the worse for it.
      const subscriber = this.subscriber;
      clearTimeout(this.asked);
      this.asked = setTimeout(() => {
        if (subscriber === this.subscriber && subscriber.state === "connecting") this.#showState("open", "asked, and held until there is news");
      }, HELD_MS);
    }
    if (!up) {
      const { epoch_changes, cursor } = this.subscriber.receiver;
      if (epoch_changes > this.#changes) {
        this.#changes = epoch_changes;
        // Who asks from nowhere is told of another epoch at once: that is the beginning, not a loss.
        if (this.#begun) this.onReset();
      }
      if (cursor !== null) this.#begun = true;
    } else if (publishes) {
      const total = headBytes + bodyBytes;
      this.#put("bytes_last", total);
      this.#put("sent", Number(document.querySelector("[data-metric=sent]").textContent) + 1);
      byId("upstream").textContent = kind === "frame"
        ? `One frame on the connection that is open: ${headBytes} bytes of frame header and mask before ${bodyBytes} of yours.`
        : `A request of its own, by POST: about ${headBytes} bytes of headers before ${bodyBytes} of yours, and an answer.`;
    }
    this.#paintSoon();
  }

  #take(notifications, arrivedMs) {
    const serverMs = this.clock.server(arrivedMs);
    for (const { id, due_us, data } of notifications) {
      const own = data?.by === me;
      const latencyMs = serverMs - due_us / 1000;
      const sentMs = own ? this.#sent.get(data.key) : undefined;
      this.#totals.received += 1;
      // What was published before we came is not late.
      if (due_us / 1000 >= this.clock.server(this.joinedMs)) this.#latencies.push(latencyMs);
      if (sentMs !== undefined) {
        this.#sent.delete(data.key);
        this.#put("round_trip_ms", milliseconds(arrivedMs - sentMs));
      }
      if (data !== null && typeof data === "object" && !Array.isArray(data)) {
        if (data.teacher === true && data.clear === true) this.onReset();
        else this.onNotification(data, { id, own, latencyMs: this.clock.tells(latencyMs) ? latencyMs : null });
      }
    }
    if (this.#latencies.length > LATENCIES) this.#latencies.splice(0, this.#latencies.length - LATENCIES);
    this.#paintSoon();
  }

  #paintSoon() {
    if (this.#painting) return;
    this.#painting = true;
    setTimeout(() => {
      this.#painting = false;
      this.#paint();
    }, 100);
  }

  #paint() {
    this.#put("notifications", this.#totals.received);
    this.#put("requests", this.#totals.requests + this.subscriber.requests);
    const sorted = [...this.#latencies].sort((a, b) => a - b);
    const median = sorted[Math.ceil(sorted.length / 2) - 1];
    this.#put("latency_ms_p50", sorted.length && this.clock.tells(median) ? milliseconds(median) : "–");
    const { requests, empty_responses } = this.subscriber;
    byId("downstream").textContent = `${requests} ${requests === 1 ? "request" : "requests"} by ${this.label} so far, ${empty_responses} answered with nothing.`;
  }

  #put(metric, value) {
    document.querySelector(`[data-metric="${metric}"]`).textContent = String(value);
  }
}

/** With its full stop; what the server says has one already. */
const sentence = (text) => (text.endsWith(".") ? text : `${text}.`);

/** Milliseconds as a reader wants them: one decimal where it matters. A clock's error may make them negative. */
export function milliseconds(ms) {
  return Math.abs(ms) < 10 ? ms.toFixed(1) : String(Math.round(ms));
}

/** Ask the server to wipe this page's stream; only the teacher's request is granted. */
export async function clearStream(play) {
  try {
    await postJson("/demo/clear", { stream: play.stream });
  } catch (error) {
    play.tell(error.message);
  }
}

/** Draw a canvas at the screen's own resolution, again whenever its size or the theme changes. */
export function fitCanvas(canvas, draw) {
  const fit = () => {
    const ratio = window.devicePixelRatio || 1;
    const { width, height } = canvas.getBoundingClientRect();
    canvas.width = Math.max(1, Math.round(width * ratio));
    canvas.height = Math.max(1, Math.round(height * ratio));
    draw();
  };
  new ResizeObserver(fit).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", fit);
  new MutationObserver(fit).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  fit();
}

/** A custom property of the design, as a colour that a canvas takes. */
export function ink(name) {
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}
