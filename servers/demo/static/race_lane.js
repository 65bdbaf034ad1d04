// <race-lane>: one transport's lane, as an element. It owns a subscriber, a model of its figures, and their drawings.
//
// Rules:
// 1. What arrives is put into the model at once; the page asks for a drawing a few times a second, so that drawing
//    neither depends on the rate nor delays arrivals more than it must.
// 2. Text from the server is text, never markup.
// 3. A figure is [data-metric="<name>"], with its exact value in data-value where what it shows is rounded. A latency
//    below the clocks' error says nothing and is not shown.

import { nowMs } from "/browser/subscriber.js";
import { LaneModel, showBytes, showMs } from "/static/race_model.js";
import { Sequence, describe } from "/static/sequence.js";
import { Strip } from "/static/strip.js";

const STREAM = "race";
export const CUT_MS = 3000;
/** A page that is still being laid out is late itself. */
const LAYOUT_MS = 1000;
const HINT = "Point at an arrow, or tap it, to read what it carried.";

export class RaceLane extends HTMLElement {
  model = new LaneModel();
  subscriber = null;
  /** What the subscriber's counters were when this lane began to count. */
  #before = {};
  /** What there was when the lane was cut from here, until it has told what it caught up. */
  #caught = null;
  /** What there was when the connection was lost, until it is back. */
  #lost = null;
  /** The request that joined, once, which is no rate. */
  #joining = 0;
  #landedShown = -1;

  /** Build the lane. `page` is {clock, settings, select(lane, event)}. */
  build(transport, page) {
    this.transport = transport;
    this.page = page;
    this.className = "lane";
    this.dataset.transport = transport.name;
    this.style.setProperty("--transport", `var(--transport-${transport.name}, ${transport.colour})`);
    this.append(document.getElementById("lane").content.cloneNode(true));
    this.querySelector("h2").textContent = transport.label;
    this.metrics = new Map([...this.querySelectorAll("[data-metric]")].map((each) => [each.dataset.metric, each]));
    this.stateElement = this.querySelector(".state");
    this.told = this.querySelector(".told");
    this.readout = this.querySelector(".readout");
    this.list = this.querySelector(".log ol");
    this.strip = new Strip(this.querySelector(".strip"));
    const picture = this.querySelector(".sequence");
    picture.setAttribute("aria-label", `Sequence diagram of ${transport.label}: arrow keys step through it`);
    this.sequence = new Sequence(picture, this.model, (event, picked) => page.select(this, event, picked));
    picture.addEventListener("keydown", (key) => {
      const step = { ArrowUp: -1, ArrowLeft: -1, ArrowDown: 1, ArrowRight: 1 }[key.key];
      if (step) page.step(step, this);
      else if (key.key === "Escape") page.live();
      else return;
      key.preventDefault();
    });
    if (!transport.Subscriber) {
      this.#showState("refused", transport.missing);
      this.told.textContent = transport.missing;
    }
  }

  /** Begin to follow the stream. */
  start() {
    const { Subscriber } = this.transport;
    if (!Subscriber) return;
    this.subscriber = new Subscriber(STREAM, {
      pollIntervalS: this.page.settings.poll_interval_s,
      onNotifications: (notifications, arrivedMs) => this.#take(notifications, arrivedMs),
      onWire: (event) => {
        const kept = this.model.record(event);
        if (!this.page.still) this.sequence.add(kept);
      },
      onState: (state, why) => this.#showState(state, why),
    });
    this.afresh();
    this.#joining = 1;
    this.leaveOutUntil(nowMs() + LAYOUT_MS);
    this.read(null);
    this.subscriber.start();
  }

  /** Follow it no longer: the lane is taken away. */
  stop() {
    this.subscriber?.close();
  }

  /** Count from zero. */
  afresh() {
    this.model.afresh(nowMs());
    const { subscriber } = this;
    if (!subscriber) return;
    this.#before = { ...counters(subscriber) };
    this.#joining = 0;
    this.draw(nowMs());
  }

  /** Drop the connection, and note what there was, to tell what is caught up. */
  cut() {
    if (!this.subscriber || this.subscriber.closed) return;
    const { received, missed, unknown_gaps } = this.subscriber.receiver;
    this.#caught = { atMs: nowMs(), received, missed, unknown_gaps };
    this.subscriber.cut(CUT_MS);
    this.told.textContent = `Cut for ${CUT_MS / 1000} s…`;
  }

  /** What was due before now is left out of the figures. */
  leaveOutUntil(ms) {
    this.model.countFromMs = Math.max(this.model.countFromMs, ms);
  }

  /** The figures since the lane counts, as numbers. */
  figures(now) {
    const { subscriber, model } = this;
    if (!subscriber) return null;
    const [p50, p99] = model.quantiles(0.5, 0.99);
    const since = Object.fromEntries(Object.entries(counters(subscriber)).map(([name, value]) => [name, value - (this.#before[name] ?? 0)]));
    const minutes = (now - model.sinceMs) / 60_000;
    const told = (latencyMs) => (this.page.clock.tells(latencyMs) ? latencyMs : null);
    return { latency_ms_p50: told(p50), latency_ms_p99: told(p99), requests_per_minute: minutes > 0.05 ? Math.max(0, since.requests - this.#joining) / minutes : null, ...since };
  }

  /** Bring figures, strip and list up to date. */
  draw(now) {
    const figures = this.figures(now);
    if (!figures) return;
    this.#show("latency_ms_p50", showMs(figures.latency_ms_p50), figures.latency_ms_p50);
    this.#show("latency_ms_p99", showMs(figures.latency_ms_p99), figures.latency_ms_p99);
    const { requests_per_minute: perMinute } = figures;
    this.#show("requests_per_minute", perMinute === null ? "–" : String(Math.round(perMinute)), perMinute);
    for (const name of ["notifications", "requests", "empty_responses", "missed"]) this.#show(name, String(figures[name]), figures[name]);
    for (const name of ["bytes_up", "bytes_down"]) this.#show(name, `≈ ${showBytes(figures[name])}`, figures[name]);
    this.strip.draw(this.model.points, now, figures.latency_ms_p50);
    const { landed } = this.model;
    if (this.subscriber.receiver.received !== this.#landedShown) {
      this.#landedShown = this.subscriber.receiver.received;
      this.list.replaceChildren(...landed.toReversed().map(({ id, latencyMs, counted }) => {
        const item = document.createElement("li");
        item.className = counted ? "" : "left-out";
        item.append(cell(`#${id}`), cell(this.page.clock.tells(latencyMs) ? `${showMs(latencyMs)} ms` : "–"));
        return item;
      }));
    }
    if (this.subscriber.state === "open") this.#tellCaught();
  }

  /** Tell what an arrow carried; null clears it. */
  read(event) {
    this.sequence.select(event);
    if (!event) {
      this.readout.replaceChildren(HINT);
      return;
    }
    const { title, text } = describe(event, this.model);
    const carried = document.createElement("span");
    carried.className = "faint";
    carried.textContent = text;
    this.readout.replaceChildren(title, carried);
  }

  #take(notifications, arrivedMs) {
    if (document.hidden || this.#caught) this.leaveOutUntil(nowMs());
    const before = this.model.serial;
    this.model.take(notifications, arrivedMs, this.page.clock.offset_ms);
    if (this.page.still) return;
    for (const event of this.model.events) if (event.serial > before) this.sequence.add(event);
  }

  #tellCaught() {
    const caught = this.#caught;
    if (!caught) return;
    const { received, missed, unknown_gaps } = this.subscriber.receiver;
    this.#caught = null;
    this.leaveOutUntil(nowMs());
    const gap = unknown_gaps > caught.unknown_gaps ? "an unknown number" : String(missed - caught.missed);
    this.told.textContent = `Cut for ${CUT_MS / 1000} s: caught up ${received - caught.received}, missed ${gap}.`;
  }

  #show(name, text, value) {
    const element = this.metrics.get(name);
    if (element.textContent !== text) element.textContent = text;
    const exact = value === null ? "" : String(value);
    if (element.dataset.value !== exact) element.dataset.value = exact;
  }

  #showState(state, why) {
    this.stateElement.dataset.state = state;
    this.stateElement.textContent = { open: "connected", waiting: "lost, trying again" }[state] ?? state;
    this.stateElement.title = why;
    if (state === "cut" || !this.told) return;
    const { receiver } = this.subscriber ?? {};
    if (state === "waiting" || state === "refused") {
      this.#lost ??= { received: receiver?.received ?? 0, missed: receiver?.missed ?? 0, unknown_gaps: receiver?.unknown_gaps ?? 0 };
      this.told.textContent = `${why}.`;
    } else if (state === "open" && this.#lost) {
      const lost = this.#lost;
      this.#lost = null;
      const gap = receiver.unknown_gaps > lost.unknown_gaps
        ? "the server began anew, so what was missed cannot be known"
        : `missed ${receiver.missed - lost.missed}`;
      this.told.textContent = `Connected again: ${gap}.`;
    }
  }
}

function counters({ requests, empty_responses, bytes, receiver }) {
  return {
    notifications: receiver.received,
    requests,
    empty_responses,
    bytes_up: bytes.headUp + bytes.bodyUp,
    bytes_down: bytes.headDown + bytes.bodyDown,
    missed: receiver.missed,
    duplicates: receiver.duplicates,
    lost: receiver.lost,
    unknown_gaps: receiver.unknown_gaps,
  };
}

function cell(text) {
  const element = document.createElement("span");
  element.textContent = text;
  return element;
}

customElements.define("race-lane", RaceLane);
