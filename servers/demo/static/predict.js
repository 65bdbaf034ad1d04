// Predict, then reveal: ask what each transport will do, let it run, and show prediction, measurement and formula side by side.
//
// Rules:
// 1. While somebody predicts and until the race is over, the lanes' figures are covered.
// 2. The measurement is of the race only: the lanes count afresh when it begins.
// 3. Formulae come from the transports' own modules (`static theory`); where there is none, there is a dash. d, one
//    way, is half of the shortest round trip that the clocks' comparison has found.
// 4. A prediction goes to the class (POST /class/prediction), and the reveal shows everybody's, where there are others.

import { getJson, postJson } from "/browser/fetching.js";
import { nowMs } from "/browser/subscriber.js";
import { showMs } from "/static/race_model.js";

const equation = (formula, value) => (formula === value ? value : `${formula} = ${value}`);
const round = (value) => (value === null ? "–" : String(Math.round(value)));
/** What is predicted: its name in a prediction, among a lane's figures and in a theory, and how it is shown. */
const FIGURES = [
  { name: "latency_ms", measuredAs: "latency_ms_p50", caption: "Median latency, ms", formula: "latency_formula", show: showMs },
  { name: "requests_per_minute", measuredAs: "requests_per_minute", caption: "Requests a minute", formula: "requests_formula", show: round },
];
const SVG = "http://www.w3.org/2000/svg";

export class Predict {
  #timer = null;
  #seconds = 30;

  constructor(section, page) {
    this.section = section;
    this.page = page;
    this.form = section.querySelector("form");
    this.rows = section.querySelector("#predict-rows");
    this.running = section.querySelector("#predict-running");
    this.result = section.querySelector("#predict-result");
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#race();
    });
  }

  get #lanes() {
    return this.page.lanes.filter(({ subscriber }) => subscriber);
  }

  toggle() {
    if (this.section.hidden) this.#ask();
    else this.leave();
  }

  /** Close it, whatever it was at, and uncover the lanes. */
  leave() {
    clearInterval(this.#timer);
    this.#open(false);
    this.#cover(false);
  }

  #open(open) {
    this.section.hidden = !open;
    // Who has predicted for these lanes is shown these.
    document.getElementById("chooser").disabled = open;
    document.querySelector('[data-action="predict"]').setAttribute("aria-expanded", String(open));
  }

  #cover(covered) {
    document.getElementById("lanes").classList.toggle("covered", covered);
  }

  #ask() {
    this.#cover(true);
    this.form.hidden = false;
    this.running.hidden = this.result.hidden = true;
    this.rows.replaceChildren(...this.#lanes.map(({ transport }) => {
      const row = document.createElement("tr");
      row.append(head(transport), field(transport, "latency_ms", "median latency in milliseconds"), field(transport, "requests_per_minute", "requests a minute"));
      return row;
    }));
    this.#open(true);
    this.rows.querySelector("input")?.focus();
  }

  async #race() {
    const predictions = {};
    for (const { name, dataset, value } of this.rows.querySelectorAll("input")) {
      if (value === "") continue;
      predictions[dataset.of] = { ...predictions[dataset.of], [name]: Number(value) };
    }
    this.page.lanes.forEach((lane) => lane.afresh());
    this.form.hidden = true;
    this.running.hidden = false;
    this.#seconds = Number(this.form.querySelector("select").value);
    const untilMs = nowMs() + this.#seconds * 1000;
    const left = this.section.querySelector("#predict-left");
    const progress = this.section.querySelector("#predict-progress");
    const tick = () => {
      const leftS = Math.max(0, (untilMs - nowMs()) / 1000);
      left.textContent = String(Math.ceil(leftS));
      progress.value = 1 - leftS / this.#seconds;
      if (leftS > 0) return;
      clearInterval(this.#timer);
      this.#reveal(predictions);
    };
    this.#timer = setInterval(tick, 250);
    tick();
    try {
      await postJson("/class/prediction", { page: this.page.id, predictions });
    } catch {
      // The class is full or the server is away: this page's own prediction is shown all the same.
    }
  }

  async #reveal(predictions) {
    const now = nowMs();
    const measured = new Map(this.#lanes.map((lane) => [lane.transport.name, lane.figures(now)]));
    const oneWayMs = this.page.clock.round_trip_ms / 2;
    const theories = new Map(this.#lanes.map(({ transport }) => [transport.name, Number.isFinite(oneWayMs) ? transport.Subscriber.theory?.({ ...this.page.settings, one_way_ms: oneWayMs }) : undefined]));
    let others = null;
    try {
      const summary = await getJson("/class/summary.json");
      if (summary.predictions_count > 1) others = summary;
    } catch {
      // Without the class there is only our own.
    }
    const lanes = this.#lanes;
    const tables = FIGURES.map(({ name, measuredAs, caption, formula, show }) => revealed(lanes, caption, (transport) => {
      const was = measured.get(transport.name)[measuredAs];
      const theory = theories.get(transport.name);
      return [
        String(predictions[transport.name]?.[name] ?? "–"),
        show(was),
        theory ? equation(theory[formula], show(theory[measuredAs])) : "–",
      ];
    }));
    const title = document.createElement("p");
    const { publish_rate, poll_interval_s } = this.page.settings;
    title.textContent = `${this.#seconds} s at λ = ${publish_rate} a second, T = ${poll_interval_s} s; d, one way, ≈ ${Number.isFinite(oneWayMs) ? `${oneWayMs.toFixed(1)} ms by the clocks' comparison` : "unknown, since the clocks are not compared"}. `
      + `${Math.max(...[...measured.values()].map(({ notifications }) => notifications))} notifications came, where ${Math.round(publish_rate * this.#seconds)} were to be expected. `
      + "The formulae leave out what server and browser take to do their work, which on one machine is most of it.";
    const box = document.createElement("div");
    box.className = "reveal";
    box.append(...tables);
    this.result.replaceChildren(title, box, ...(others ? this.#classes(others, measured) : []), close());
    this.running.hidden = true;
    this.result.hidden = false;
    this.#cover(false);
    this.result.tabIndex = -1;
    this.result.focus({ preventScroll: true });
  }

  /** The class's predictions as dots on a log scale, and the measurement as a line among them. */
  #classes(summary, measured) {
    const said = document.createElement("p");
    said.className = "class-said";
    said.textContent = `What the class said (${summary.predictions_count} predictions): a dot each, on log scales from 0.1 to 10,000; the line is what this page measured.`;
    const box = document.createElement("div");
    box.className = "reveal";
    for (const { name, measuredAs, caption } of FIGURES) {
      const table = box.appendChild(document.createElement("table"));
      table.createCaption().textContent = caption;
      const body = table.createTBody();
      for (const { transport } of this.#lanes) {
        const values = summary.transports[transport.name]?.predictions[name];
        if (!values) continue;
        const row = body.insertRow();
        row.append(head(transport));
        row.insertCell().append(dots(transport, values, measured.get(transport.name)[measuredAs]));
      }
    }
    return [said, box];
  }
}

/** A table of one figure: a row for each lane, with the three texts that `texts` gives of its transport. */
function revealed(lanes, caption, texts) {
  const table = document.createElement("table");
  table.createCaption().textContent = caption;
  const header = table.createTHead().insertRow();
  header.append(document.createElement("td"), ...["you said", "it was", "formula"].map((text) => {
    const element = document.createElement("th");
    element.scope = "col";
    element.textContent = text;
    return element;
  }));
  const body = table.createTBody();
  for (const { transport } of lanes) {
    const row = body.insertRow();
    row.append(head(transport));
    const [said, was, formula] = texts(transport);
    cell(row, said);
    cell(row, was, "measured");
    cell(row, formula);
  }
  return table;
}

function head({ name, label }) {
  const cell = document.createElement("th");
  cell.scope = "row";
  const swatch = document.createElement("span");
  swatch.className = "swatch";
  cell.style.setProperty("--transport", `var(--transport-${name})`);
  cell.append(swatch, ` ${label}`);
  return cell;
}

function field({ name, label }, figure, what) {
  const cell = document.createElement("td");
  const input = cell.appendChild(document.createElement("input"));
  Object.assign(input, { type: "number", name: figure, min: 0, max: 1e6, step: "any", inputMode: "decimal" });
  input.dataset.of = name;
  input.setAttribute("aria-label", `${label}: ${what}`);
  return cell;
}

function cell(row, text, className = "") {
  const element = row.insertCell();
  element.textContent = text;
  element.className = `number ${className}`;
}

function close() {
  const controls = document.createElement("div");
  controls.className = "controls";
  const button = controls.appendChild(document.createElement("button"));
  button.type = "button";
  button.dataset.action = "unpredict";
  button.textContent = "Done";
  return controls;
}

function dots({ name }, values, measured) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "class");
  svg.setAttribute("viewBox", "0 0 200 40");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `Predictions: ${values.slice(0, 40).join(", ")}`);
  svg.style.setProperty("--transport", `var(--transport-${name})`);
  const x = (value) => 4 + 192 * Math.min(1, Math.max(0, Math.log10(Math.max(value, 0.1) / 0.1) / 5));
  const add = (kind, attributes) => {
    const element = svg.appendChild(document.createElementNS(SVG, kind));
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  };
  add("line", { x1: 4, x2: 196, y1: 36, y2: 36 });
  const stacked = new Map();
  for (const value of values.slice(0, 200)) {
    const place = Math.round(x(value) / 6);
    const height = stacked.get(place) ?? 0;
    stacked.set(place, height + 1);
    add("circle", { cx: place * 6, cy: Math.max(4, 32 - height * 6), r: 3 });
  }
  if (measured !== null) add("line", { class: "measured", x1: x(measured), x2: x(measured), y1: 2, y2: 38 });
  return svg;
}
