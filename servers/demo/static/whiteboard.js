// The whiteboard. A stroke is sent in pieces as it grows, one message every SEND_EVERY_MS at the most; the board shows
// what the stream delivers, in its order, so that everybody sees the same picture. Points are whole numbers, 0 to
// BOARD across and down, whatever the screen. Bounded: as many pieces as a stream holds, and
// MAX_PENDING that have not come back.

import { Play, byId, clearStream, fitCanvas, ink, isNumber } from "/static/play.js";

const BOARD = 10_000;
const SEND_EVERY_MS = 100;
const MAX_POINTS = 150;
const MAX_PIECES = 10_000;
const MAX_PENDING = 300;
const STEP = 150;
const COLOURS = ["ink", "#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00"];
const NAMES = ["ink", "vermilion", "blue", "green", "pink", "orange"];

const board = byId("ink");
const pale = byId("pale");
let pieces = [];
let pending = [];
/** Strokes that are not wholly sent, oldest first; the last one may still grow. */
let strokes = [];
const growing = () => (strokes.at(-1)?.ended === false ? strokes.at(-1) : null);
let colour = Math.floor(Math.random() * COLOURS.length);
let inkColour = "#000";

function drawPiece(canvas, { points, width, pen }, over) {
  const context = canvas.getContext("2d");
  const across = canvas.width / BOARD;
  const down = canvas.height / BOARD;
  context.strokeStyle = COLOURS[pen] === "ink" ? inkColour : COLOURS[pen];
  context.globalAlpha = over ? 0.35 : 1;
  context.lineWidth = (width * canvas.width) / 1000;
  context.lineCap = context.lineJoin = "round";
  context.beginPath();
  context.moveTo(points[0] * across, points[1] * down);
  if (points.length === 2) context.lineTo(points[0] * across + 0.1, points[1] * down);
  for (let at = 2; at < points.length; at += 2) context.lineTo(points[at] * across, points[at + 1] * down);
  context.stroke();
}

function drawAll() {
  inkColour = ink("--ink");
  board.getContext("2d").clearRect(0, 0, board.width, board.height);
  for (const piece of pieces) drawPiece(board, piece, false);
}

function drawPale() {
  pale.getContext("2d").clearRect(0, 0, pale.width, pale.height);
  for (const piece of pending) drawPiece(pale, piece, true);
  for (const stroke of strokes) drawPiece(pale, stroke, true);
}

function isPiece({ points, width, pen }) {
  return Array.isArray(points) && points.length >= 2 && points.length <= 2 * MAX_POINTS + 2 && points.length % 2 === 0
    && points.every((value) => isNumber(value, -BOARD, 2 * BOARD)) && isNumber(width, 1, 40) && Number.isInteger(pen) && COLOURS[pen] !== undefined;
}

const play = new Play({
  onNotification(data, { own }) {
    if (!isPiece(data)) return;
    pieces.push(data);
    byId("empty").hidden = true;
    if (pieces.length > MAX_PIECES) {
      pieces = pieces.slice(-MAX_PIECES);
      drawAll();
    } else {
      drawPiece(board, data, false);
    }
    if (own) {
      pending = pending.filter(({ piece }) => piece !== data.piece);
      drawPale();
    }
    board.dataset.pieces = pieces.length;
  },
  onReset() {
    pieces = [];
    pending = [];
    byId("empty").hidden = false;
    board.dataset.pieces = 0;
    drawAll();
    drawPale();
  },
});

let pieceCount = 0;

/** Send what has grown since the last piece; a failed one leaves the board, since nobody else will see it. */
async function flush() {
  const stroke = strokes[0];
  if (!stroke || play.busy) return;
  const points = stroke.points.slice(0, 2 * MAX_POINTS);
  const fresh = !stroke.sent || points.length >= 4;
  // The next piece begins where this one ends.
  stroke.points = stroke.points.slice(points.length - 2);
  stroke.sent = true;
  if (stroke.ended && stroke.points.length < 4) strokes.shift();
  if (!fresh) return;
  const piece = { piece: (pieceCount += 1), points, width: stroke.width, pen: stroke.pen };
  pending = [...pending, piece].slice(-MAX_PENDING);
  if (!(await play.send(piece))) pending = pending.filter((each) => each !== piece);
  drawPale();
}
setInterval(flush, SEND_EVERY_MS);

function begin(points) {
  if (!growing()) strokes.push({ points, width: Number(byId("width").value), pen: colour, sent: false, ended: false });
}

function end() {
  const stroke = growing();
  if (stroke) stroke.ended = true;
}

const pointOf = (event) => {
  const box = board.getBoundingClientRect();
  return [Math.round(((event.clientX - box.left) / box.width) * BOARD), Math.round(((event.clientY - box.top) / box.height) * BOARD)];
};
const clamp = (value) => Math.min(BOARD, Math.max(0, value));

board.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  board.setPointerCapture(event.pointerId);
  begin(pointOf(event).map(clamp));
  drawPale();
});
board.addEventListener("pointermove", (event) => {
  const stroke = growing();
  if (!stroke || !board.hasPointerCapture(event.pointerId)) return;
  for (const each of event.getCoalescedEvents?.() ?? [event]) {
    const point = pointOf(each).map(clamp);
    const [x, y] = stroke.points.slice(-2);
    if (Math.abs(point[0] - x) + Math.abs(point[1] - y) > 15) stroke.points.push(...point);
  }
  drawPale();
});
for (const kind of ["pointerup", "pointercancel"]) board.addEventListener(kind, end);

const keyboard = { x: BOARD / 2, y: BOARD / 2, down: true };
const STEPS = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };
board.addEventListener("keydown", (event) => {
  if (event.key === " ") {
    keyboard.down = !keyboard.down;
    end();
    event.preventDefault();
  }
  const step = STEPS[event.key];
  if (!step) return;
  event.preventDefault();
  if (keyboard.down) begin([keyboard.x, keyboard.y]);
  keyboard.x = clamp(keyboard.x + step[0]);
  keyboard.y = clamp(keyboard.y + step[1]);
  growing()?.points.push(keyboard.x, keyboard.y);
  drawPale();
});
board.addEventListener("keyup", (event) => STEPS[event.key] && end());
board.addEventListener("blur", end);

for (const [pen, name] of NAMES.entries()) {
  const label = document.createElement("label");
  const input = document.createElement("input");
  Object.assign(input, { type: "radio", name: "pen", value: pen, checked: pen === colour, ariaLabel: name });
  input.addEventListener("change", () => (colour = pen));
  const dot = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  dot.setAttribute("viewBox", "0 0 10 10");
  dot.setAttribute("aria-hidden", "true");
  const circle = document.createElementNS("http://www.w3.org/2000/svg", "circle");
  for (const [key, value] of Object.entries({ cx: 5, cy: 5, r: 5, fill: pen === 0 ? "currentColor" : COLOURS[pen] })) circle.setAttribute(key, value);
  dot.append(circle);
  label.append(input, dot);
  byId("pens").append(label);
}
byId("clear").addEventListener("click", () => clearStream(play));
fitCanvas(board, drawAll);
fitCanvas(pale, drawPale);
play.start();
