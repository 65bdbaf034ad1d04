// The article's example twice: from the article's own server, in a frame, and from ours. Each side has one connection
// that counts the greetings, by Socket.IO's own client; both servers greet everybody whenever somebody connects.
//
// Rules:
// 1. Lost connections come back by the client itself. What ends its retries (a refusal, which comes as connect_error) is
//    tried again after RETRY_MS.
// 2. The article's server may start only now, end, and start again elsewhere: its address is asked for at each connection.
//    Where it cannot be had, one line says why.
// 3. On the article's side the connection that counts comes first, and then the frame, so that it hears the frame's too.

import { getJson } from "/browser/fetching.js";
import { io } from "/static/socket.io.esm.min.js";

const STEPS_MOST = 5;
const RETRY_MS = 2000;
const ASK_AGAIN_MS = 700;

/** One side of the page: its counter, its state and what happened last. */
class Side {
  #card;
  #parts;
  #startedMs = performance.now();

  constructor(id) {
    this.#card = document.getElementById(id);
    const parts = [...this.#card.querySelectorAll("[data-role]")];
    this.#parts = Object.fromEntries(parts.map((part) => [part.dataset.role, part]));
    this.count = 0;
  }

  /** Whether there is nothing to show but the reason. */
  set away(away) {
    this.#card.toggleAttribute("data-away", away);
  }

  begin() {
    this.away = false;
    this.#startedMs = performance.now();
    this.count = 0;
    this.#parts.count.textContent = "0";
    this.#parts.steps.replaceChildren();
    this.tell("connecting", "connecting");
  }

  tell(state, text) {
    this.#parts.state.dataset.state = state;
    this.#parts.state.textContent = text;
  }

  why(text) {
    this.#parts.why.textContent = text;
  }

  greeted() {
    this.count += 1;
    this.#parts.count.textContent = String(this.count);
    this.#parts.unit.textContent = this.count === 1 ? "greeting heard by this tab" : "greetings heard by this tab";
  }

  step(text) {
    const item = document.createElement("li");
    const when = document.createElement("span");
    when.className = "number";
    when.textContent = `${Math.round(performance.now() - this.#startedMs).toLocaleString("en")} ms`;
    item.append(when, text);
    const { steps } = this.#parts;
    steps.append(item);
    if (steps.children.length > STEPS_MOST) steps.firstChild.remove();
  }
}

/** Follow a server's greetings on one side; `lost` is told whether the client has given up. */
function listen(side, socket, onGreeting, lost) {
  let connected = false;
  socket.on("connect", () => {
    side.tell("open", "connected");
    side.step(connected ? "connected again" : "connected");
    connected = true;
  });
  socket.on("welcome", (sentence) => {
    side.greeted();
    side.step(side.count === 1 ? `greeted: “${sentence}”` : "greeted again: somebody connected");
    onGreeting(sentence);
  });
  socket.on("disconnect", () => {
    side.tell("waiting", "the connection was lost; trying again");
    lost(false);
  });
  socket.on("connect_error", (error) => {
    // What has no type is the server's own word; the rest is a connection that failed.
    side.tell("waiting", error.type ? "the server cannot be reached; trying again" : error.message);
    lost(!socket.active);
  });
}

const message = document.getElementById("message");
const ours = new Side("ours");
let ourSocket = null;

/** Without a word to who listened. */
function letGo(socket) {
  socket?.off();
  socket?.io.off();
  socket?.disconnect();
}

function connectToOurs() {
  letGo(ourSocket);
  ours.begin();
  message.textContent = "…";
  const socket = io({ path: "/welcome/socket.io/", forceNew: true, reconnectionDelayMax: RETRY_MS });
  ourSocket = socket;
  ours.step("this page asks, by HTTP");
  socket.io.on("open", () => socket.io.engine.once("upgrade", () => ours.step("the session goes on by WebSocket")));
  listen(ours, socket, (sentence) => {
    message.textContent = String(sentence);
  }, (givenUp) => {
    message.textContent = "…";
    if (givenUp) setTimeout(() => socket === ourSocket && connectToOurs(), RETRY_MS);
  });
}

const article = new Side("article");
const frame = document.getElementById("frame");
const alone = document.getElementById("alone");
let articleSocket = null;
/** Counts up: what was begun before the last is not gone on with. */
let round = 0;

const pause = (ms) => new Promise((resolve) => {
  setTimeout(resolve, ms);
});

/** Where the article's server is, or null if it cannot be had. */
async function findArticle(mine) {
  while (mine === round) {
    const told = await getJson("/demo/article.json").catch(() => null);
    if (told === null) {
      // Our own server is away, and the article's with it; the other side says so.
      await pause(RETRY_MS);
      continue;
    }
    if (told.state === "ready") return told.url;
    if (told.state === "missing") article.why(`It does not run here: ${told.why}. Beside it is the same from Python.`);
    if (told.state === "elsewhere") article.why("It answers on the teacher’s machine alone: look at the wall. Beside it is the same from Python.");
    if (told.state !== "starting") {
      article.tell("cut", "not here");
      article.away = true;
      return null;
    }
    article.why("It is being started. The first time, its packages are installed, which takes a while.");
    await pause(ASK_AGAIN_MS);
  }
  return null;
}

function showFrame(url) {
  frame.hidden = url === null;
  alone.hidden = url === null;
  if (url === null) {
    frame.removeAttribute("src");
    return;
  }
  frame.src = alone.href = `${url}/`;
  article.step("the box asks for the article’s page");
}

async function connectToArticle() {
  round += 1;
  const mine = round;
  letGo(articleSocket);
  showFrame(null);
  article.begin();
  const url = await findArticle(mine);
  if (url === null || mine !== round) return;
  article.why("");
  // By WebSocket at once: to another origin's polls the browser would not let us listen.
  const socket = io(url, { transports: ["websocket"], forceNew: true, reconnection: false });
  articleSocket = socket;
  article.step("this counter asks, by WebSocket");
  const again = async () => {
    await pause(RETRY_MS);
    if (mine === round) connectToArticle();
  };
  listen(article, socket, () => {
    if (article.count === 1) showFrame(url);
  }, again);
}

document.getElementById("again").addEventListener("click", () => {
  connectToOurs();
  connectToArticle();
});
connectToOurs();
connectToArticle();
