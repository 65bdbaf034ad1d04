// The chat. What people type is text and never markup: it only ever becomes textContent. A name is what somebody says
// it is. Bounded: the newest SHOWN messages, NAME and TEXT characters.

import { Play, byId, clearStream, me, milliseconds, shortText } from "/static/play.js";

const SHOWN = 200;
const NAME = 24;
const TEXT = 400;

const messages = byId("messages");
const text = byId("text");

function element(kind, className, content) {
  const made = document.createElement(kind);
  made.className = className;
  made.textContent = content;
  return made;
}

const play = new Play({
  onNotification(data, { own, latencyMs }) {
    const said = shortText(data.text, TEXT);
    if (said === null) return;
    const atEnd = messages.scrollHeight - messages.scrollTop - messages.clientHeight < 40;
    const item = document.createElement("li");
    item.classList.toggle("own", own);
    const by = shortText(data.name, NAME) ?? `somebody ${shortText(data.by, 4) ?? ""}`;
    item.append(
      element("span", "who", own ? `${by} (you)` : by),
      element("span", "after number", latencyMs === null ? "–" : latencyMs < 60_000 ? `after ${milliseconds(latencyMs)} ms` : "earlier"),
      element("span", "said", said),
    );
    messages.append(item);
    while (messages.childElementCount > SHOWN) messages.firstElementChild.remove();
    if (atEnd || own) messages.scrollTop = messages.scrollHeight;
  },
  onReset: () => messages.replaceChildren(),
});

byId("say").addEventListener("submit", async (event) => {
  event.preventDefault();
  const said = shortText(text.value, TEXT);
  if (said === null || play.busy) return;
  if (await play.send({ name: shortText(byId("name").value, NAME) ?? `somebody ${me.slice(0, 4)}`, text: said })) text.value = "";
  text.focus();
});
byId("clear").addEventListener("click", () => clearStream(play));
play.start();
