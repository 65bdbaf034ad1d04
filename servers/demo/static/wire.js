// The page /wire: fetches each transport's exchange and puts it on the page. How it looks is in wire_view.js.
//
// Rules: what is asked for later replaces what was asked for before, also when its answer comes first; the transport
// that is shown stands in the address (#long-poll), so that it can be projected by a link.

import { getJson } from "/browser/fetching.js";
import { acceptItem, bar, explanation, inWords, make, stepItem, sum } from "/static/wire_view.js";

/** The server performs the exchange itself, and makes others wait for their turn meanwhile. */
const EXCHANGE_MS = 30_000;

const byId = (id) => document.getElementById(id);
const panel = byId("explain");
const empty = [...panel.childNodes];
const headers = byId("headers");

let transports = [];
let shown = null;
let exchanges = new Map();
let turn = 0;
let chosen = null;
let lookedAt = null;

function fail(error) {
  byId("error").textContent = `This did not work: ${error.message} Press “Once more” to try again.`;
  byId("error").hidden = false;
}

/** What a message's bytes call when they are looked at, chosen or left (null). */
function explain(found) {
  const before = lookedAt ?? chosen;
  if (found?.chosen) {
    chosen = found;
    lookedAt = null;
  } else {
    lookedAt = found;
  }
  const now = lookedAt ?? chosen;
  if (now === before) return;
  if (before && before.step !== now?.step) before.clear();
  if (!now) {
    forget();
    return;
  }
  now.light();
  panel.dataset.part = now.span.part;
  panel.replaceChildren(closer, ...explanation(now));
  panel.scrollTop = 0;
}

function forget() {
  chosen?.clear();
  lookedAt?.clear();
  chosen = lookedAt = null;
  delete panel.dataset.part;
  panel.replaceChildren(...empty);
}

/** Where the panel lies over the bytes, on a phone, it can be put away. */
const closer = make("button", "quiet close", "Close");
closer.type = "button";
closer.addEventListener("click", forget);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") forget();
});

function drawChoice() {
  byId("transports").replaceChildren(
    ...transports.map(({ name, label }) => {
      const button = make("button", "", make("span", "swatch"), label);
      button.type = "button";
      button.dataset.transport = name;
      button.style.setProperty("--transport", `var(--transport-${name})`);
      button.setAttribute("aria-pressed", String(name === shown));
      button.addEventListener("click", () => {
        history.replaceState(null, "", `#${name}`);
        show(name);
      });
      return button;
    }),
  );
}

/** Both directions of a phase together. */
function together({ client, server }) {
  return Object.fromEntries(Object.keys(client).map((part) => [part, client[part] + server[part]]));
}

function drawBars() {
  const rows = transports.map(({ name, label }) => {
    const found = exchanges.get(name);
    return { name, label, parts: found ? together(found.phases.deliver) : null };
  });
  const scale = Math.max(1, ...rows.map(({ parts }) => (parts ? sum(parts) : 0)));
  byId("bars").replaceChildren(
    ...rows.map(({ name, label, parts }) => {
      const title = make("span", "who", make("span", "swatch"), label);
      const figures = parts ? make("span", "number", `${sum(parts).toLocaleString("en")}: ${inWords(parts)}`) : make("span", "faint", "…");
      const row = make("li", "", title, parts ? bar(parts, scale) : make("span", "bar"), figures);
      row.dataset.transport = name;
      row.style.setProperty("--transport", `var(--transport-${name})`);
      return row;
    }),
  );
}

function drawExchange() {
  const found = exchanges.get(shown);
  if (!found) return;
  forget();
  const scale = Math.max(1, sum(found.totals.client), sum(found.totals.server));
  const items = [];
  for (const [at, step] of found.steps.entries()) {
    items.push(stepItem(step, at + 1, scale, explain));
    if (found.accept && step.sender === "server" && step.connection === "subscriber" && step.protocol === "http") items.push(acceptItem(found.accept, found.accept_received));
  }
  const label = transports.find(({ name }) => name === shown)?.label ?? shown;
  byId("exchange-title").textContent = `One exchange by ${label}`;
  const notes = found.notes.map((note) => make("li", "faint", note));
  byId("steps").replaceChildren(...notes, ...items);
  byId("steps").setAttribute("aria-busy", "false");
  byId("steps").dataset.transport = shown;
}

function show(name) {
  shown = name;
  for (const button of byId("transports").children) button.setAttribute("aria-pressed", String(button.dataset.transport === name));
  drawExchange();
}

/** All exchanges anew, the one that is shown first. */
async function load() {
  const mine = ++turn;
  byId("error").hidden = true;
  byId("steps").setAttribute("aria-busy", "true");
  const kind = headers.value;
  const names = [shown, ...transports.map(({ name }) => name).filter((name) => name !== shown)];
  const loaded = new Map();
  try {
    for (const name of names) {
      const found = await getJson(`/wire/${encodeURIComponent(name)}.json?headers=${kind}`, { withinMs: EXCHANGE_MS });
      if (mine !== turn) return;
      loaded.set(name, found);
      exchanges = new Map([...exchanges, [name, found]]);
      if (name === shown) drawExchange();
      if (loaded.size === names.length || exchanges.size < names.length) drawBars();
    }
  } catch (error) {
    if (mine === turn) fail(error);
  }
  byId("steps").setAttribute("aria-busy", "false");
}

function drawPrinted(found) {
  const { printed, completed, status, missing, refuse, target } = found;
  const list = make("ul", "missing");
  for (const { header, says, server } of missing) {
    list.append(make("li", "", make("strong", "", header), ` – ${says} `, make("span", "faint", `(${server})`)));
  }
  const steps = (exchange, title) =>
    make("ol", "steps", ...exchange.steps.map((step, at) => stepItem({ ...step, totals: null, title: `${title}: ${at ? "the answer" : "the request"}` }, at + 1, 0, explain)));
  const details = make("details", "", make("summary", "", `The same with both added: ${status.completed}`), steps(completed, "Completed"));
  byId("printed-content").replaceChildren(
    make("p", "verdict", make("strong", "", `Refused with ${status.printed}.`), " Only the target’s host, Host and Origin were replaced; two headers are missing:"),
    list,
    make("p", "", refuse),
    steps(printed, "As printed"),
    details,
    make("p", "faint small", target),
  );
}

async function start() {
  try {
    transports = await getJson("/demo/transports.json");
    const asked = decodeURIComponent(location.hash.slice(1));
    const names = transports.map(({ name }) => name);
    shown = names.includes(asked) ? asked : names.includes("websocket") ? "websocket" : names[0];
    drawChoice();
    drawBars();
    await load();
    drawPrinted(await getJson("/wire/as-printed.json", { withinMs: EXCHANGE_MS }));
    if (asked === "printed") byId("printed").scrollIntoView();
  } catch (error) {
    fail(error);
  }
}

headers.addEventListener("change", load);
byId("again").addEventListener("click", load);
window.addEventListener("hashchange", () => {
  const asked = decodeURIComponent(location.hash.slice(1));
  if (transports.some(({ name }) => name === asked)) show(asked);
});
start();
