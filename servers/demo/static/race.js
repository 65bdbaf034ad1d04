// The race: wiring. Lanes from the registry, controls to the server, time to the drawings.
//
// Rules:
// 1. The page knows no transport by name. What /demo/transports.json lists can be chosen, and gets a lane at once unless it
//    says otherwise (`in_race: false`) or the address names others (?lanes=sse,websocket).
// 2. Somebody watches while the page is visible: it says so every WATCH_MS, and takes the settings from the answer, since a
//    teacher elsewhere may have changed them.
// 3. Figures are drawn every DRAW_MS; diagrams move every MOVE_MS, or once a second where motion is unwelcome.
// 4. While the page is hidden its timers are throttled: what falls due then is left out of the figures, and it says so.

import { Clock } from "/browser/clock.js";
import { postJson } from "/browser/fetching.js";
import { nowMs } from "/browser/subscriber.js";
import { loadTransports } from "/browser/transports.js";
import { Predict } from "/static/predict.js";
import { RaceLane } from "/static/race_lane.js";
import { showBytes, showMs } from "/static/race_model.js";

const WATCH_MS = 2000;
const DRAW_MS = 250;
const MOVE_MS = 50;
const COMPARE_CLOCKS_MS = 5_000;

const $ = (id) => document.getElementById(id);
const clock = new Clock();
const calm = matchMedia("(prefers-reduced-motion: reduce)");

const page = {
  clock,
  id: Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, "0")).join(""),
  lanes: [],
  settings: { publish_rate: 2, poll_interval_s: 1, payload_bytes: 100, paused: false, schedule: "poisson", watchers: 1, lan: false, teacher: true, cuts: {} },
  frozen: false,
  frozenMs: 0,
  selected: null,

  /** An arrow was pointed at, or picked: then everything stands still. */
  select(lane, event, picked) {
    if (picked) this.freeze();
    if (this.frozen && !picked && this.selected) return;
    if (picked) this.selected = { lane, event };
    for (const each of this.lanes) if (each !== lane || picked) each.read(null);
    lane.read(event);
  },

  freeze() {
    if (this.frozen) return;
    this.frozen = true;
    this.frozenMs = nowMs();
    press("freeze", true);
    // What has left the picture may be stepped back to.
    for (const { sequence } of this.lanes) sequence.redraw(this.frozenMs);
    move();
  },

  live() {
    if (!this.frozen) return;
    this.frozen = false;
    this.selected = null;
    press("freeze", false);
    for (const lane of this.lanes) {
      lane.read(null);
      lane.sequence.redraw(nowMs());
    }
    move();
  },

  /** Step to the next or previous arrow, of one lane or in time's order through all. */
  step(by, only = null) {
    this.freeze();
    const lanes = only ? [only] : this.lanes;
    const arrows = lanes
      .flatMap((lane) => lane.model.events.filter(({ kind, atMs }) => kind !== "due" && kind !== "skipped" && atMs <= this.frozenAtMs).map((event) => ({ lane, event })))
      .sort((a, b) => a.event.atMs - b.event.atMs);
    if (!arrows.length) return;
    const from = this.selected?.event;
    const at = arrows.findIndex(({ event }) => event === from);
    // From another lane's arrow: the nearest of this lane before it. From none: the last.
    const near = from ? arrows.findLastIndex(({ event }) => event.atMs <= from.atMs) : arrows.length - 1;
    const next = arrows[Math.min(arrows.length - 1, Math.max(0, at < 0 ? near : at + by))];
    this.select(next.lane, next.event, true);
    const { spanMs } = next.lane.sequence;
    const atMs = next.event.atMs;
    if (atMs < this.frozenMs - spanMs * 0.92) this.frozenMs = atMs + spanMs * 0.8;
    if (atMs > this.frozenMs) this.frozenMs = Math.min(this.frozenAtMs, atMs + spanMs * 0.2);
    move();
  },

  frozenAtMs: 0,

  /** Whether nothing is drawn: then it is drawn anew later, from what the lanes kept. */
  get still() {
    return this.frozen || document.hidden;
  },
};

const predict = new Predict($("predict"), page);
let hiddenAtMs = document.hidden ? nowMs() : null;
let seenCuts = null;

async function begin() {
  let transports;
  try {
    transports = await loadTransports();
  } catch {
    $("lanes-empty").textContent = "The server does not answer. This page tries again every few seconds.";
    setTimeout(begin, 3000);
    return;
  }
  await Promise.all([clock.compare(8), watch()]);
  showClock();
  // A phone's diagram is lower: half of the time, so that arrows stay apart.
  if (matchMedia("(max-width: 46rem)").matches) $("span").value = "4";
  offer(transports);
  $("lanes").removeAttribute("aria-busy");
  setInterval(draw, DRAW_MS);
  setInterval(move, MOVE_MS);
  setInterval(watch, WATCH_MS);
  setInterval(async () => {
    if (document.hidden) return;
    await clock.compare(2);
    showClock();
  }, COMPARE_CLOCKS_MS);
}

/** Let the reader choose which transports race. */
function offer(transports) {
  const asked = new URLSearchParams(location.search).get("lanes")?.split(",");
  for (const transport of transports) {
    const label = document.createElement("label");
    const box = label.appendChild(document.createElement("input"));
    Object.assign(box, { type: "checkbox", value: transport.name, checked: asked?.includes(transport.name) ?? transport.in_race ?? true });
    label.append(` ${transport.label}`);
    $("chooser").append(label);
  }
  $("chooser").addEventListener("change", () => {
    const chosen = race(transports);
    const address = new URL(location.href);
    address.searchParams.set("lanes", chosen.join(","));
    history.replaceState(null, "", address);
  });
  race(transports);
}

/** A lane for each transport that is chosen, those that race already going on; gives their names. */
function race(transports) {
  const chosen = Array.from($("chooser").querySelectorAll("input:checked"), ({ value }) => value);
  const before = new Map(page.lanes.map((lane) => [lane.transport.name, lane]));
  page.lanes = transports.filter(({ name }) => chosen.includes(name)).map((transport) => before.get(transport.name) ?? built(transport));
  const added = page.lanes.filter((lane) => !before.has(lane.transport.name));
  for (const lane of before.values()) if (!page.lanes.includes(lane)) lane.stop();
  $("lanes").replaceChildren(...page.lanes, ...(page.lanes.length ? [] : ["Choose a transport."]));
  showSpan();
  for (const lane of added) lane.start();
  return chosen;
}

function built(transport) {
  const lane = new RaceLane();
  lane.build(transport, page);
  return lane;
}

/** Say that somebody watches, and learn the settings. Only one such request is out at a time. */
let watching = false;
async function watch() {
  if (document.hidden || watching) return;
  watching = true;
  try {
    take(await postJson("/demo/watch", { page: page.id }, { withinMs: 2 * WATCH_MS }));
  } catch {
    // The lanes show that the server is away.
  } finally {
    watching = false;
  }
}

function take(settings) {
  Object.assign(page.settings, settings);
  const { publish_rate, payload_bytes, paused, poll_interval_s, watchers, lan, teacher, schedule } = page.settings;
  for (const select of document.querySelectorAll("[data-setting]")) {
    const value = String(page.settings[select.dataset.setting]);
    if (![...select.options].some((option) => option.value === value)) {
      select.add(new Option(`${value} ${select.dataset.unit}`, value));
    }
    if (document.activeElement !== select) select.value = value;
  }
  for (const each of document.querySelectorAll("[data-teacher]")) each.disabled = !teacher;
  $("controls").title = teacher ? "" : "Your teacher sets what is greyed out.";
  press("pause", paused);
  const rate = paused ? "paused" : `${publish_rate} /s ${schedule === "poisson" ? "at random" : "evenly"}, ${showBytes(payload_bytes)}`;
  const others = lan ? `, ${watchers} watching` : "";
  text($("publishing"), rate + others);
  for (const { subscriber } of page.lanes) if (subscriber) subscriber.pollIntervalS = poll_interval_s;
  const cuts = page.settings.cuts ?? {};
  if (seenCuts) for (const lane of page.lanes) if (cuts[lane.transport.name] > seenCuts[lane.transport.name]) lane.cut();
  seenCuts = cuts;
}

function showClock() {
  const { offset_ms, error_ms } = clock;
  if (!Number.isFinite(error_ms)) return text($("clock"), "not compared yet");
  const off = Math.abs(offset_ms) < error_ms ? "agree" : `${showMs(Math.abs(offset_ms))} ms ${offset_ms > 0 ? "behind" : "ahead"}, corrected`;
  return text($("clock"), `${off}; latencies ± ${error_ms.toFixed(1)} ms`);
}

function draw() {
  if (document.hidden) return;
  const now = nowMs();
  for (const lane of page.lanes) lane.draw(now);
}

let movedMs = 0;
function move() {
  if (document.hidden) return;
  const now = nowMs();
  if (calm.matches && now - movedMs < 1000 && !page.frozen) return;
  movedMs = now;
  if (!page.frozen) page.frozenAtMs = now;
  for (const { sequence } of page.lanes) sequence.moveTo(page.frozen ? page.frozenMs : now, !page.frozen);
}

const actions = {
  publish: () => postJson("/demo/publish", {}),
  pause: async () => take(await postJson("/demo/state", { paused: !page.settings.paused })),
  async cut() {
    // In a class the teacher's button cuts everybody, by way of the settings; otherwise these lanes only.
    if (page.settings.lan && page.settings.teacher) take(await postJson("/demo/cut", { transport: null }));
    else for (const lane of page.lanes) lane.cut();
  },
  afresh: () => page.lanes.forEach((lane) => lane.afresh()),
  predict: () => predict.toggle(),
  unpredict: () => predict.leave(),
  freeze: () => (page.frozen ? page.live() : page.freeze()),
  back: () => page.step(-1),
  forth: () => page.step(1),
};

document.addEventListener("click", async ({ target }) => {
  const action = actions[target.closest?.("[data-action]")?.dataset.action];
  if (!action) return;
  try {
    await action();
    tell("");
  } catch (error) {
    tell(`That did not work: ${error.message}`);
  }
});

for (const select of document.querySelectorAll("[data-setting]")) {
  select.addEventListener("change", async () => {
    try {
      take(await postJson("/demo/state", { [select.dataset.setting]: Number(select.value) }));
      page.lanes.forEach((lane) => lane.afresh());
      tell("");
    } catch (error) {
      tell(`That did not work: ${error.message}`);
    }
  });
}

$("span").addEventListener("change", showSpan);

function showSpan() {
  for (const { sequence } of page.lanes) {
    sequence.spanMs = Number($("span").value) * 1000;
    sequence.redraw(page.frozen ? page.frozenMs : nowMs());
  }
  move();
}

document.addEventListener("visibilitychange", () => {
  const now = nowMs();
  if (document.hidden) {
    hiddenAtMs = now;
    return;
  }
  for (const lane of page.lanes) lane.leaveOutUntil(now);
  if (hiddenAtMs !== null && page.lanes.length) {
    tell(`This tab was hidden for ${Math.round((now - hiddenAtMs) / 1000)} s. Browsers slow hidden tabs down, so what fell due meanwhile is left out of the latencies.`);
  }
  hiddenAtMs = null;
  watch();
  if (page.frozen) return;
  for (const lane of page.lanes) lane.sequence.redraw(now);
});

function press(action, pressed) {
  document.querySelector(`[data-action="${action}"]`).setAttribute("aria-pressed", String(pressed));
}

function tell(sentence) {
  text($("notice"), sentence);
  $("notice").hidden = sentence === "";
}

function text(element, value) {
  if (element.textContent !== value) element.textContent = value;
}

begin();
