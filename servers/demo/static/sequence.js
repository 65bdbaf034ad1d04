// The sequence diagram of one lane: browser on the left, server on the right, time downwards, and an arrow for every
// request, response and frame as it really happened.
//
// Rules:
// 1. Time is to scale, but a millisecond is thinner than a line: arrows closer than GAP pixels are drawn apart, as long
//    as that moves none by more than DRIFT. The slope says which way time goes, and is not to scale.
// 2. A request is held from its arrival until its answer leaves; a bar on the server's line shows it, also
//    while it lasts. A dot is news falling due, and the line from it is its wait for an arrow.
// 3. Frozen, the picture stands, while the lane goes on; then, and live again, it is drawn anew from all that the
//    lane kept, so that one can step back beyond what was in view.
// 4. Live, the drawing only moves: nothing is drawn twice. What has left the picture is removed.
// 5. One tab stop a diagram: up and down step through its arrows, Escape goes live again.

const SVG = "http://www.w3.org/2000/svg";
const GAP = 8;
const SLOPE = 4;
const DRIFT = 24;
/** Room for numbers beside each lifeline, in rem. */
const MARGIN_REM = 3;
const MOST_LETTERS = 5;
/** How far right of the server's line news waits. */
const NEWS_PX = 9;
const TOP = 4;
/** Room for arrows that are drawn later than they were, and for the last one's head. */
const BOTTOM = DRIFT + 6;
/** Drawn y's stay small enough for single precision. */
const REBASE_PX = 100_000;

export class Sequence {
  #width = 0;
  #height = 0;
  #margin = 0;
  #baseMs = 0;
  #lastY = -Infinity;
  #labelY = { left: -Infinity, right: -Infinity };
  #open = new Map();
  #drawn = new Map();
  #selected = null;

  /** `onSelect(event)` is called for an arrow that somebody points at, taps or steps to; `picked` tells a mere hover
   *  from a choice. */
  constructor(element, model, onSelect) {
    this.element = element;
    this.model = model;
    this.onSelect = onSelect;
    this.spanMs = 8000;
    this.svg = element.appendChild(document.createElementNS(SVG, "svg"));
    this.svg.setAttribute("aria-hidden", "true");
    this.lines = add(this.svg, "g", { class: "lifelines" });
    this.moving = add(this.svg, "g", {});
    this.layers = {};
    for (const name of ["waits", "bars", "arrows", "labels"]) this.layers[name] = add(this.moving, "g", { class: name });
    new ResizeObserver(([{ contentRect }]) => {
      [this.#width, this.#height] = [contentRect.width, contentRect.height];
      this.#margin = MARGIN_REM * Number.parseFloat(getComputedStyle(document.documentElement).fontSize);
      this.svg.setAttribute("viewBox", `0 0 ${this.#width} ${this.#height}`);
      this.redraw();
    }).observe(element);
    this.svg.addEventListener("pointerover", (pointer) => this.#point(pointer, false));
    this.svg.addEventListener("click", (pointer) => this.#point(pointer, true));
  }

  /** Draw an event that the model just recorded. */
  add(event) {
    if (this.#width) this.#draw(event);
  }

  /** Show the time up to `endMs`. */
  moveTo(endMs, live) {
    if (!this.#width) return;
    if ((endMs - this.#baseMs) * this.#scale > REBASE_PX) this.redraw(endMs);
    const shift = this.#height - BOTTOM - this.#y(endMs);
    this.moving.setAttribute("transform", `translate(0 ${shift.toFixed(1)})`);
    if (!live) return;
    for (const { bar, fromY } of this.#open.values()) {
      bar.setAttribute("height", Math.max(0, this.#y(endMs) - fromY).toFixed(1));
    }
    for (const [serial, { untilY, elements }] of this.#drawn) {
      if (untilY + shift > -GAP) break;
      for (const each of elements) each.remove();
      this.#drawn.delete(serial);
    }
  }

  /** Draw everything that the model holds anew: after a change of size or scale, or of a frozen picture. */
  redraw(endMs = this.model.events.at(-1)?.atMs ?? 0) {
    if (!this.#width) return;
    for (const layer of Object.values(this.layers)) layer.replaceChildren();
    this.lines.replaceChildren();
    this.#open.clear();
    this.#drawn.clear();
    this.#lastY = -Infinity;
    this.#labelY = { left: -Infinity, right: -Infinity };
    this.#baseMs = endMs - 60_000;
    for (const x of [this.#left, this.#right]) add(this.lines, "line", { x1: x, x2: x, y1: 0, y2: this.#height });
    for (const event of this.model.events) if (event.atMs > this.#baseMs) this.#draw(event);
    this.select(this.#selected);
  }

  /** Mark the arrow of an event, or none. */
  select(event) {
    this.#selected = event;
    for (const marked of this.svg.querySelectorAll(".selected")) marked.classList.remove("selected");
    if (event) this.layers.arrows.querySelector(`[data-serial="${event.serial}"]`)?.classList.add("selected");
  }

  get #left() {
    return this.#margin;
  }

  get #right() {
    return this.#width - this.#margin;
  }

  get #scale() {
    return (this.#height - TOP - BOTTOM) / this.spanMs;
  }

  #y(ms) {
    return (ms - this.#baseMs) * this.#scale;
  }

  /** Where an arrow that happened at `ms` is drawn: rule 1. */
  #place(ms) {
    const y = this.#y(ms);
    this.#lastY = Math.min(Math.max(y, this.#lastY + GAP), y + DRIFT);
    return this.#lastY;
  }

  #draw(event) {
    const elements = [];
    let untilY = this.#y(event.atMs);
    if (event.kind === "due") {
      const y = this.#y(event.atMs);
      const endY = this.#y(event.untilMs);
      untilY = endY;
      if (endY - y > 3) elements.push(add(this.layers.waits, "line", { class: "wait", x1: this.#right + NEWS_PX, x2: this.#right + NEWS_PX, y1: y, y2: endY }));
      elements.push(add(this.layers.waits, "circle", { class: "due", cx: this.#right + NEWS_PX, cy: y, r: 4.5 }));
      elements.push(...this.#label("right", y, String(event.ids[0])));
    } else if (event.kind === "lost") {
      const request = this.#open.get(event.exchange)?.arrow;
      if (request && !event.reached) this.#breakOff(request);
      elements.push(...this.#close(event, this.#y(event.atMs)));
      const y = this.#place(event.atMs);
      elements.push(this.#arrow(event, y - 5, y + 5, "lost", this.#middle - 5, this.#middle + 5));
      elements.push(add(this.layers.arrows, "line", { class: "lost", x1: this.#middle - 5, x2: this.#middle + 5, y1: y + 5, y2: y - 5 }));
      untilY = y;
    } else if (event.kind !== "skipped") {
      const y = this.#place(event.atMs);
      untilY = y + SLOPE;
      if (event.up) {
        const arrow = this.#arrow(event, y, y + SLOPE, "up", this.#left, this.#right);
        elements.push(arrow);
        if (event.kind === "request") this.#hold(event, y + SLOPE, arrow);
      } else {
        elements.push(...this.#close(event, y - SLOPE));
        const news = event.ids.length > 0;
        const kind = event.kind === "frame" || event.stays || news ? "down" : "down empty";
        elements.push(this.#arrow(event, y - SLOPE, y, kind, this.#right, this.#left));
        if (news) {
          const [first, count] = [event.ids[0], event.id_count];
          const range = `${first}…${first + count - 1}`;
          elements.push(...this.#label("left", y, count === 1 ? String(first) : range.length <= MOST_LETTERS ? range : `${first}…`));
        }
      }
    }
    this.#drawn.set(event.serial, { untilY, elements });
  }

  /** A request that never came to the server ends midway. */
  #breakOff(arrow) {
    arrow.querySelector(".head").remove();
    for (const line of arrow.querySelectorAll("line")) line.setAttribute("x2", this.#middle);
  }

  #hold(event, fromY, arrow) {
    const bar = add(this.layers.bars, "rect", { class: "held", x: this.#right - 5, width: 10, y: fromY, height: 0, rx: 2 });
    this.#open.set(event.exchange, { bar, fromY, arrow });
  }

  #close(event, y) {
    const held = this.#open.get(event.exchange);
    if (!held) return [];
    this.#open.delete(event.exchange);
    const height = y - held.fromY;
    if (height < 2 || event.reached === false) {
      held.bar.remove();
      return [];
    }
    held.bar.setAttribute("height", height.toFixed(1));
    return [held.bar];
  }

  get #middle() {
    return this.#width / 2;
  }

  #arrow(event, y1, y2, kind, x1, x2) {
    const group = add(this.layers.arrows, "g", { class: `arrow ${kind}`, "data-serial": event.serial });
    add(group, "line", { class: "target", x1, x2, y1, y2 });
    add(group, "line", { class: "shaft", x1, x2, y1, y2 });
    if (kind !== "lost") {
      const back = Math.sign(x1 - x2) * 8;
      add(group, "path", { class: "head", d: `M${x2} ${y2}l${back} -4.5v9z` });
    }
    return group;
  }

  /** A number beside a lifeline, where there is room for it. */
  #label(side, y, text) {
    if (Math.abs(y - this.#labelY[side]) < 15) return [];
    this.#labelY[side] = y;
    const label = add(this.layers.labels, "text", side === "left" ? { x: this.#left - 7, y: y + 4, class: "left" } : { x: this.#right + NEWS_PX + 8, y: y + 4 });
    label.textContent = text;
    return [label];
  }

  #point(pointer, picked) {
    const serial = Number(pointer.target.closest?.("[data-serial]")?.dataset.serial);
    if (!serial) return;
    const event = this.model.events.find((each) => each.serial === serial);
    if (event) this.onSelect(event, picked);
  }
}

function add(parent, name, attributes) {
  const element = parent.appendChild(document.createElementNS(SVG, name));
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

/** The events that arrows stand for, in a sentence each. */
export function describe(event, model) {
  const bytes = `≈ ${event.headBytes} B of ${event.kind === "frame" ? "frame header" : "headers"} + ${event.bodyBytes} B`;
  const news = event.ids.length ? `${event.id_count === 1 ? "notification" : `${event.id_count} notifications from`} ${event.ids[0]}` : "no news";
  if (event.kind === "request") return { title: `Request, ${bytes}`, text: event.text };
  if (event.kind === "lost") return { title: `No answer: ${event.text}`, text: "" };
  if (event.kind === "frame" && event.up) return { title: `Frame to the server, ${bytes}`, text: event.text };
  const request = model.events.find((each) => each.kind === "request" && each.exchange === event.exchange);
  const took = request && event.kind === "response" ? `, ${Math.round(event.atMs - request.atMs)} ms after the request` : "";
  const answer = event.stays ? `the connection stays open${event.status === 101 ? ", both ways" : ""}` : news;
  const title = event.kind === "frame" ? `Frame: ${news}` : `Response ${event.status}: ${answer}`;
  return { title: `${title}${took}, ${bytes}`, text: event.text };
}
