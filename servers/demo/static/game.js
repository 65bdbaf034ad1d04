// The smallest game: dots that move and catch a star.
//
// Rules:
// 1. Nobody referees. The stream's order decides: the first message that claims the star of round k wins it, and then
//    the star of round k + 1 appears where everybody works out the same place from k.
// 2. Each message says all of its sender: place, score, round. So who comes late knows the game within a beat, and
//    needs no history.
// 3. What you steer is the ring. Dots, your own too, stand where the stream has them: the distance between ring and
//    dot is what the transport costs you.
// 4. Bounded: PLAYERS dots; who is silent for GONE_MS leaves.

import { Play, byId, fitCanvas, ink, isNumber, me } from "/static/play.js";

const FIELD = 1000;
const HEIGHT = 562;
const SPEED = 420;
const DOT = 20;
const STAR = 24;
const MOVE_EVERY_MS = 100;
const BEAT_MS = 1000;
const GONE_MS = 5000;
const PLAYERS = 250;
const COLOURS = ["#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"];

const canvas = byId("arena");
const players = new Map();
const ring = { x: 100 + Math.random() * (FIELD - 200), y: 80 + Math.random() * (HEIGHT - 160) };
const keys = new Set();
let target = null;
let round = 0;
let claimed = -1;
let score = 0;
let moved = true;
let sentAtMs = 0;
let lastMs = performance.now();
let colours = { ink: "#000", star: "#E69F00" };

/** A number from 0 to 1 that everybody works out alike (the finalizer of MurmurHash3, public domain). */
function chance(seed) {
  let hash = seed | 0;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32;
}
const starOf = (number) => ({ x: 60 + chance(2 * number + 1) * (FIELD - 120), y: 60 + chance(2 * number + 2) * (HEIGHT - 120) });
const colourOf = (by) => COLOURS[Number.parseInt(by.slice(0, 4), 16) % COLOURS.length] ?? COLOURS[0];

const play = new Play({
  replay: false,
  onNotification(data, { own }) {
    const { by, x, y, points, at, claim } = data;
    if (typeof by !== "string" || by.length > 16 || !isNumber(x, 0, FIELD) || !isNumber(y, 0, HEIGHT)) return;
    if (!Number.isSafeInteger(points) || points < 0 || !Number.isSafeInteger(at) || at < 0) return;
    const player = players.get(by) ?? { points: 0 };
    if (!players.has(by) && players.size >= PLAYERS) return;
    players.set(by, Object.assign(player, { x, y, seenMs: performance.now(), points: Math.max(player.points, points) }));
    if (at > round) round = at;
    if (claim === round) {
      player.points += 1;
      round += 1;
      if (own) score = player.points;
      byId("said").textContent = own ? `You caught the star: ${score}.` : "";
      showScores();
    }
  },
  onReset() {
    players.clear();
    round = score = 0;
    claimed = -1;
    showScores();
  },
});

function showScores() {
  const ranked = [...players].sort(([, a], [, b]) => b.points - a.points).slice(0, 8);
  byId("scores").replaceChildren(...ranked.map(([by, player]) => {
    const item = document.createElement("li");
    item.className = by === me ? "own number" : "number";
    const dot = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    dot.setAttribute("viewBox", "0 0 10 10");
    dot.setAttribute("aria-hidden", "true");
    const circle = document.createElementNS("http://www.w3.org/2000/svg", "circle");
    for (const [key, value] of Object.entries({ cx: 5, cy: 5, r: 5, fill: colourOf(by) })) circle.setAttribute(key, value);
    dot.append(circle);
    item.append(dot, `${by === me ? "you" : by.slice(0, 4)} ${player.points}`);
    return item;
  }));
}

function steer(seconds) {
  let x = (keys.has("ArrowRight") || keys.has("d")) - (keys.has("ArrowLeft") || keys.has("a"));
  let y = (keys.has("ArrowDown") || keys.has("s")) - (keys.has("ArrowUp") || keys.has("w"));
  let far = SPEED * seconds;
  if (target && !x && !y) {
    x = target.x - ring.x;
    y = target.y - ring.y;
    far = Math.min(far, Math.hypot(x, y));
  }
  const length = Math.hypot(x, y);
  if (length < 0.5) return;
  ring.x = Math.min(FIELD, Math.max(0, ring.x + (x / length) * far));
  ring.y = Math.min(HEIGHT, Math.max(0, ring.y + (y / length) * far));
  moved = true;
}

/** Tell the others where the ring is: at once for a catch, every MOVE_EVERY_MS while it moves, else each beat. */
function tellOthers(nowMs) {
  if (play.busy || !play.ready) return;
  const star = starOf(round);
  const caught = claimed !== round && players.has(me) && Math.hypot(star.x - ring.x, star.y - ring.y) < DOT + STAR;
  const sinceMs = nowMs - sentAtMs;
  if (!caught && sinceMs < (moved ? MOVE_EVERY_MS : BEAT_MS)) return;
  sentAtMs = nowMs;
  moved = false;
  if (caught) claimed = round;
  play.send({ x: Math.round(ring.x), y: Math.round(ring.y), points: score, at: round, ...(caught ? { claim: round } : {}) }).then((taken) => {
    if (!taken && caught) claimed = -1;
  });
}

function drawStar(context, { x, y }) {
  context.beginPath();
  for (let corner = 0; corner < 10; corner += 1) {
    const radius = corner % 2 ? STAR / 2.3 : STAR;
    const turn = (corner * Math.PI) / 5 - Math.PI / 2;
    context.lineTo(x + Math.cos(turn) * radius, y + Math.sin(turn) * radius);
  }
  context.closePath();
  context.fillStyle = colours.star;
  context.strokeStyle = colours.ink;
  context.lineWidth = 2;
  context.fill();
  context.stroke();
}

function draw() {
  const context = canvas.getContext("2d");
  context.setTransform(canvas.width / FIELD, 0, 0, canvas.height / HEIGHT, 0, 0);
  context.clearRect(0, 0, FIELD, HEIGHT);
  drawStar(context, starOf(round));
  for (const [by, { x, y }] of players) {
    context.beginPath();
    context.arc(x, y, DOT, 0, 2 * Math.PI);
    context.fillStyle = colourOf(by);
    context.fill();
  }
  context.beginPath();
  context.arc(ring.x, ring.y, DOT + 4, 0, 2 * Math.PI);
  context.strokeStyle = colours.ink;
  context.lineWidth = 3;
  context.stroke();
}

function frame(nowMs) {
  steer(Math.min(0.1, (nowMs - lastMs) / 1000));
  lastMs = nowMs;
  draw();
  requestAnimationFrame(frame);
}

// A timer, not a frame: a game in a hidden tab keeps its place, as slowly as the browser lets it.
setInterval(() => {
  const nowMs = performance.now();
  tellOthers(nowMs);
  for (const [by, { seenMs }] of players) if (nowMs - seenMs > GONE_MS) players.delete(by);
}, 25);
setInterval(showScores, 1000);

const MOVES = new Set(["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "w", "a", "s", "d"]);
canvas.addEventListener("keydown", (event) => {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (!MOVES.has(key) || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  target = null;
  keys.add(key);
});
canvas.addEventListener("keyup", (event) => keys.delete(event.key.length === 1 ? event.key.toLowerCase() : event.key));
canvas.addEventListener("blur", () => keys.clear());

const aim = (event) => {
  const box = canvas.getBoundingClientRect();
  target = { x: ((event.clientX - box.left) / box.width) * FIELD, y: ((event.clientY - box.top) / box.height) * HEIGHT };
};
canvas.addEventListener("pointerdown", (event) => {
  canvas.setPointerCapture(event.pointerId);
  aim(event);
});
canvas.addEventListener("pointermove", (event) => canvas.hasPointerCapture(event.pointerId) && aim(event));

fitCanvas(canvas, () => {
  colours = { ink: ink("--ink"), star: "#E69F00" };
  draw();
});
canvas.focus({ preventScroll: true });
requestAnimationFrame(frame);
play.start();
