// The sensors: simulated ones from the server, and everybody's slider. The server's feed runs while a page that can be
// seen asks for it. Bounded: SENSORS sensors, READINGS readings each; the longest silent sensor makes way.

import { Play, byId, isNumber, me, shortText, watch } from "/static/play.js";

const SENSORS = 36;
const READINGS = 60;
const WATCH_EVERY_MS = 2000;
const SEND_EVERY_MS = 150;

const grid = byId("sensors");
const sensors = new Map();

function make(name, unit) {
  const card = document.createElement("section");
  card.className = "card sensor";
  const title = document.createElement("h2");
  title.textContent = name;
  const shown = document.createElement("p");
  shown.className = "value number";
  const value = document.createElement("span");
  const unitShown = document.createElement("span");
  unitShown.className = "unit";
  unitShown.textContent = ` ${unit}`;
  shown.append(value, unitShown);
  const drawing = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  drawing.setAttribute("viewBox", "0 0 100 30");
  drawing.setAttribute("preserveAspectRatio", "none");
  drawing.setAttribute("role", "img");
  drawing.setAttribute("aria-label", `The last readings of ${name}`);
  const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
  drawing.append(line);
  card.append(title, shown, drawing);
  grid.append(card);
  return { card, value, line, readings: [] };
}

function show({ readings, value, line }) {
  value.textContent = String(readings.at(-1));
  const least = Math.min(...readings);
  const most = Math.max(...readings);
  const height = most - least || 1;
  line.setAttribute("points", readings.map((reading, at) => `${((at + READINGS - readings.length) / (READINGS - 1)) * 100},${28 - ((reading - least) / height) * 26}`).join(" "));
}

const play = new Play({
  onNotification(data, { own }) {
    const name = shortText(data.sensor, 24);
    const unit = shortText(data.unit, 8) ?? "";
    if (name === null || !isNumber(data.value, -1e9, 1e9)) return;
    byId("empty").hidden = true;
    const key = `${data.by ?? "server"} ${name}`;
    const sensor = sensors.get(key) ?? make(own ? `${name} (you)` : name, unit);
    sensors.delete(key);
    sensors.set(key, sensor);
    sensor.readings.push(data.value);
    if (sensor.readings.length > READINGS) sensor.readings.shift();
    show(sensor);
    if (sensors.size > SENSORS) {
      const [oldest, { card }] = sensors.entries().next().value;
      card.remove();
      sensors.delete(oldest);
    }
  },
  onReset() {
    sensors.clear();
    for (const card of grid.querySelectorAll(".sensor")) card.remove();
    byId("empty").hidden = false;
  },
});

const slider = byId("slider");
let unsent = false;
slider.addEventListener("input", () => {
  byId("slider-value").textContent = `${slider.value} %`;
  unsent = true;
});
setInterval(() => {
  if (!unsent || play.busy) return;
  unsent = false;
  play.send({ sensor: `Slider ${me.slice(0, 4)}`, unit: "%", value: Number(slider.value) });
}, SEND_EVERY_MS);

const look = () => document.visibilityState === "visible" && watch({ stream: "sensors" });
setInterval(look, WATCH_EVERY_MS);
document.addEventListener("visibilitychange", look);
look();
play.start();
