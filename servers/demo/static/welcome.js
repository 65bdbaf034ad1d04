// The article's example: connect, and show what the server says. Comes back by itself after a lost connection, with a
// pause that doubles up to PAUSE_MOST_MS and begins anew when a connection has held for HELD_MS. A greeting alone is no
// reason: a server may greet and close all day. Without a greeting after GREETED_MS the connection is lost.

const PAUSE_FIRST_MS = 250;
const PAUSE_MOST_MS = 4000;
const HELD_MS = 2000;
const GREETED_MS = 10_000;

const message = document.getElementById("message");
const state = document.getElementById("state");
const steps = document.getElementById("steps");
let socket = null;
let timer = null;
let pauseMs = PAUSE_FIRST_MS;

function tell(name, text) {
  state.dataset.state = name;
  state.textContent = text;
}

function step(startedMs, text) {
  const item = document.createElement("li");
  item.className = "number";
  item.textContent = `${(performance.now() - startedMs).toFixed(1)} ms: ${text}`;
  steps.append(item);
}

function connect() {
  clearTimeout(timer);
  if (socket) {
    socket.onclose = socket.onopen = socket.onmessage = null;
    socket.close();
  }
  const startedMs = performance.now();
  tell("connecting", "connecting");
  steps.replaceChildren();
  message.textContent = "…";
  step(startedMs, "the browser asks for a WebSocket");
  socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/welcome/websocket`);
  socket.onopen = () => {
    tell("open", "open");
    step(startedMs, "the server agrees (101 Switching Protocols)");
  };
  let greeted = false;
  const asked = socket;
  setTimeout(() => greeted || asked.close(), GREETED_MS);
  socket.onmessage = ({ data }) => {
    greeted = true;
    message.textContent = String(data);
    step(startedMs, `the server greets with “${data}”`);
  };
  socket.onclose = () => {
    if (greeted && performance.now() - startedMs >= HELD_MS) pauseMs = PAUSE_FIRST_MS;
    tell("waiting", "the connection was lost; trying again");
    message.textContent = "…";
    timer = setTimeout(connect, pauseMs);
    pauseMs = Math.min(PAUSE_MOST_MS, pauseMs * 2);
  };
}

document.getElementById("again").addEventListener("click", connect);
connect();
