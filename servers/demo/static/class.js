// The class. A student's browser follows the race by the transport that it was dealt and reports its latencies; everybody
// sees what all of them add up to.
//
// Rules:
// 1. A student is a random word of this tab. Students take part by opening the page; the teacher by a button.
// 2. A latency is arrival, by the server's clock as this browser knows it, minus the time the notification was due.
//    What arrives in a hidden tab, whose timers are throttled, or was published before we came, is left out. So is
//    what arrives while the clocks are not compared. A latency below the clocks' error is reported with that error
//    beside it, and not shown here.
// 3. A report goes every REPORT_EVERY_MS, MAX_LATENCIES at the most; more wait, KEEP at the most. Only one is out at
//    a time. Each bears a number, so that one that is sent again counts once.
// 4. Whom the teacher has taken out is told so, and takes part no more.
// 5. A new deal is a new subscriber at the head: nobody's catching up passes for latency.

import { Clock } from "/browser/clock.js";
import { getJson, postJson } from "/browser/fetching.js";
import { nowMs } from "/browser/subscriber.js";
import { loadTransports } from "/browser/transports.js";

const STREAM = "race";
const REPORT_EVERY_MS = 2000;
const SUMMARY_EVERY_MS = 1000;
const STUDENTS_SUMMARY_EVERY_MS = 3000;
const MAX_LATENCIES = 100;
const KEEP = 1000;
const TAKEN_OUT = 403;
const SVG = "http://www.w3.org/2000/svg";

const byId = (id) => document.getElementById(id);
const clock = new Clock();
let transports = [];
let teacher = false;
let student = null;

function word() {
  const kept = sessionStorage.getItem("wirelab-student");
  if (kept) return kept;
  const made = Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  sessionStorage.setItem("wirelab-student", made);
  return made;
}

const shown = (ms) => (Math.abs(ms) < 10 ? ms.toFixed(1) : String(Math.round(ms)));
const told = (latencyMs) => (clock.tells(latencyMs) ? shown(latencyMs) : "–");
const label = (name) => transports.find((each) => each.name === name)?.label ?? name;

function tell(text) {
  byId("problem").textContent = text;
  byId("problem").hidden = !text;
}

class Student {
  constructor() {
    this.word = word();
    this.report = Date.now() % 1e9;
    this.unreported = [];
    this.recent = [];
    this.subscriber = null;
    this.count = 0;
    this.reportIsOut = false;
    this.joinedMs = Infinity;
  }

  async start() {
    await clock.compare(8);
    this.comparing = setInterval(() => clock.compare(3), 20_000);
    this.reporting = setInterval(() => this.tellServer(), REPORT_EVERY_MS);
    await this.tellServer();
  }

  stop() {
    clearInterval(this.comparing);
    clearInterval(this.reporting);
    this.follow(null);
  }

  async tellServer() {
    if (this.reportIsOut) return;
    this.reportIsOut = true;
    try {
      await this.#report();
    } finally {
      this.reportIsOut = false;
    }
  }

  async #report() {
    const latencies = this.unreported.slice(0, MAX_LATENCIES);
    const receiver = this.subscriber?.receiver;
    let answer;
    try {
      answer = await postJson("/class/report", {
        student: this.word,
        report: (this.report += 1),
        transport: this.subscriber?.transport,
        latencies_ms: latencies.map((ms) => Math.round(ms * 1000) / 1000),
        clock_error_ms: Number.isFinite(clock.error_ms) ? clock.error_ms : null,
        missed: receiver?.missed,
        lost: receiver?.lost,
        duplicates: receiver?.duplicates,
      });
    } catch (error) {
      // Where there was no answer, the state of the subscriber says it. The latencies wait.
      if (error.status) tell(error.message);
      if (error.status === TAKEN_OUT && student === this) takePart(false);
      return;
    }
    tell("");
    this.unreported.splice(0, latencies.length);
    this.follow(answer.transport);
    byId("clock").textContent = Number.isFinite(clock.error_ms) ? `Clocks compared: right within ±${shown(clock.error_ms)} ms.` : "Clocks not compared yet.";
  }

  follow(name) {
    if (name === (this.subscriber?.transport ?? null)) return;
    if (this.subscriber) {
      this.subscriber.onNotifications = this.subscriber.onState = () => {};
      this.subscriber.close();
      this.subscriber = null;
    }
    this.unreported = [];
    this.recent = [];
    if (name === null) {
      this.showState("closed", "not connected");
      return;
    }
    byId("dealt").textContent = `You are on ${label(name)}.`;
    byId("dealt").style.setProperty("--transport", `var(--transport-${name})`);
    const { Subscriber, missing } = transports.find((each) => each.name === name) ?? {};
    if (!Subscriber) {
      tell(missing ?? `This page does not know ${name}.`);
      return;
    }
    this.joinedMs = nowMs();
    this.subscriber = new Subscriber(STREAM, {
      pollIntervalS: this.pollIntervalS ?? 1,
      onNotifications: (notifications, arrivedMs) => this.take(notifications, arrivedMs),
      onState: (state) => this.showState(state, state),
    });
    this.subscriber.start();
  }

  take(notifications, arrivedMs) {
    for (const { due_us } of notifications) {
      this.count += 1;
      if (document.visibilityState !== "visible" || due_us / 1000 < clock.server(this.joinedMs) || !Number.isFinite(clock.error_ms)) continue;
      const latencyMs = clock.server(arrivedMs) - due_us / 1000;
      this.unreported.push(latencyMs);
      this.recent.push(latencyMs);
      byId("last").textContent = told(latencyMs);
    }
    if (this.unreported.length > KEEP) this.unreported = this.unreported.slice(-KEEP);
    if (this.recent.length > KEEP) this.recent = this.recent.slice(-KEEP);
    byId("count").textContent = String(this.count);
    const sorted = [...this.recent].sort((a, b) => a - b);
    if (sorted.length) byId("median").textContent = told(sorted[Math.ceil(sorted.length / 2) - 1]);
  }

  showState(name, text) {
    byId("state").dataset.state = name;
    byId("state").textContent = text;
  }
}

function takePart(yes) {
  if (yes === Boolean(student)) return;
  if (yes) {
    student = new Student();
    byId("dealt").textContent = "Asking for a transport…";
    student.start();
  } else {
    student.stop();
    student = null;
    byId("dealt").textContent = "Not taking part.";
    byId("dealt").style.removeProperty("--transport");
  }
  byId("take-part").setAttribute("aria-pressed", String(yes));
  byId("take-part").textContent = yes ? "Leave" : "Take part";
}

function svg(kind, attributes) {
  const made = document.createElementNS(SVG, kind);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function text(kind, className, content) {
  const made = document.createElement(kind);
  made.className = className;
  made.textContent = content;
  return made;
}

/** The row of a transport in `parent`, made where it is not there, in the order of the other pages. */
function row(parent, className, name, fill) {
  let found = parent.querySelector(`[data-transport="${name}"]`);
  if (!found) {
    found = document.createElement("div");
    found.className = className;
    found.dataset.transport = name;
    found.style.setProperty("--transport", `var(--transport-${name})`);
    fill(found);
    const rank = (other) => transports.findIndex((each) => each.name === other);
    parent.insertBefore(found, [...parent.children].find(({ dataset }) => rank(dataset.transport) > rank(name)) ?? null);
  }
  return found;
}

function showShares(summary) {
  const most = Math.max(1, ...Object.values(summary.transports).map(({ students }) => students));
  for (const [name, { students }] of Object.entries(summary.transports)) {
    const share = row(byId("shares"), "share", name, (made) => {
      const drawing = svg("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" });
      drawing.append(svg("rect", { x: 0, y: 0, height: 10, width: 0 }));
      const count = text("span", "number", "0");
      count.dataset.metric = "students";
      made.append(text("span", "", label(name)), drawing, count);
    });
    share.querySelector("rect").setAttribute("width", (100 * students) / most);
    share.querySelector("[data-metric=students]").textContent = String(students);
  }
}

function histogram(name) {
  return (made) => {
    const title = document.createElement("h3");
    const swatch = text("span", "swatch", "");
    title.append(swatch, label(name), text("span", "number", ""));
    const drawing = svg("svg", { viewBox: "0 0 100 30", preserveAspectRatio: "none", role: "img" });
    const ticks = text("div", "ticks", "");
    ticks.setAttribute("aria-hidden", "true");
    made.append(title, drawing, ticks);
  };
}

/** Draw counts as bars of equal width, the highest as high as the drawing; `ticks` stand below, evenly. */
function drawBars(place, counts, figures, ticks) {
  place.querySelector("h3 .number").textContent = figures;
  const drawing = place.querySelector("svg");
  const most = Math.max(1, ...counts);
  const width = 100 / counts.length;
  drawing.replaceChildren(
    ...counts.flatMap((count, at) => (count ? [svg("rect", { x: at * width + width * 0.06, width: width * 0.88, y: 29 - (28 * count) / most, height: (28 * count) / most })] : [])),
    svg("line", { x1: 0, x2: 100, y1: 29.5, y2: 29.5 }),
  );
  drawing.setAttribute("aria-label", `Histogram: ${figures}`);
  const below = place.querySelector(".ticks");
  if (below.childElementCount !== ticks.length) below.replaceChildren(...ticks.map((tick) => text("span", "", tick)));
}

const DECADES = ["0.1", "1", "10", "100", "1000", "10,000 ms"];

function showLatencies(summary) {
  let any = false;
  for (const [name, { histogram: counts, deliveries, latency_ms_p50, latency_ms_p99, missed, lost }] of Object.entries(summary.transports)) {
    if (!deliveries) {
      byId("histograms").querySelector(`[data-transport="${name}"]`)?.remove();
      continue;
    }
    any = true;
    const place = row(byId("histograms"), "histogram", name, histogram(name));
    place.dataset.deliveries = deliveries;
    const gaps = missed || lost ? `, ${missed} missed, ${lost} lost` : ", none lost";
    // The open ends join their neighbours, so that a decade is a sixth of the width: 0.1 ms begins the first bar.
    const bars = [...counts.slice(1, -1), 0, 0, 0, 0, 0];
    bars[0] += counts[0];
    bars[counts.length - 2] += counts.at(-1);
    drawBars(place, bars, `median ${shown(latency_ms_p50)} ms, p99 ${shown(latency_ms_p99)} ms, ${deliveries} deliveries${gaps}`, DECADES);
  }
  byId("empty").hidden = any;
}

function showPredictions(summary) {
  byId("no-predictions").hidden = summary.predictions_count > 0;
  for (const [name, { predictions }] of Object.entries(summary.transports)) {
    const values = predictions.latency_ms;
    if (!values.length) {
      byId("predictions").querySelector(`[data-transport="${name}"]`)?.remove();
      continue;
    }
    const bars = Array(30).fill(0);
    for (const value of values) bars[Math.min(25, Math.max(0, Math.floor((Math.log10(Math.max(value, 0.1)) + 1) * 5)))] += 1;
    const requests = predictions.requests_per_minute;
    const asked = requests.length ? `, ${shown(requests[Math.ceil(requests.length / 2) - 1])} requests a minute` : "";
    drawBars(row(byId("predictions"), "histogram", name, histogram(name)), bars, `${values.length} predicted, median ${shown(values[Math.ceil(values.length / 2) - 1])} ms${asked}`, DECADES);
  }
}

async function showSummary() {
  if (document.visibilityState === "visible") {
    try {
      const summary = await getJson("/class/summary.json");
      byId("students").textContent = String(summary.students);
      byId("simulated").textContent = summary.simulated_students ? `(${summary.simulated_students} simulated)` : "";
      byId("most").textContent = String(summary.students_most);
      byId("round").textContent = summary.round ? `Dealt ${summary.round} ${summary.round === 1 ? "time" : "times"}.` : "Not dealt yet: who comes gets the transport that has the fewest.";
      showShares(summary);
      showLatencies(summary);
      showPredictions(summary);
      if (summary.numbers) showNumbers(summary.numbers);
    } catch {
      // asked again soon
    }
  }
  setTimeout(showSummary, teacher ? SUMMARY_EVERY_MS : STUDENTS_SUMMARY_EVERY_MS);
}

/** Who takes part, for the teacher to take one out: numbers, since nobody has told a name. */
function showNumbers(numbers) {
  byId("take-out").hidden = !numbers.length;
  const select = byId("student-number");
  const chosen = select.value;
  select.replaceChildren(...numbers.map(({ student, transport }) => new Option(`${student} (${label(transport)})`, student)));
  if (numbers.some(({ student }) => String(student) === chosen)) select.value = chosen;
}

async function ask(path, body = {}) {
  try {
    await postJson(path, body);
    tell("");
  } catch (error) {
    tell(error.message);
  }
}

byId("take-part").addEventListener("click", () => takePart(!student));
byId("deal").addEventListener("click", () => ask("/class/deal"));
byId("remove").addEventListener("click", () => ask("/class/remove", { student: Number(byId("student-number").value) }));
byId("reset").addEventListener("click", () => ask("/class/reset"));

try {
  transports = await loadTransports();
  const state = await getJson("/demo/state");
  teacher = state.teacher;
  for (const control of document.querySelectorAll("[data-teacher]")) control.hidden = !teacher;
  showSummary();
  if (state.lan && !teacher) takePart(true);
} catch {
  tell("The server could not be reached. Reload this page when it is back.");
}
