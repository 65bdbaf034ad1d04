// Draws messages byte by byte, and the explanation of some of them. No fetching and no state of the page in here.
//
// Rules:
// 1. Hex and text are two flows of cells, a fixed number to the line, so that both break alike; the bytes of one span
//    are one element in each. The hex one is the control (focus, keyboard), named by what it is; the text one follows it.
// 2. What came over the wire is text: it is set as text, never as markup.
// 3. One message is one stop for the tab key; the arrows move between its spans.

export const PARTS = ["head", "framing", "payload"];
const ARROWS = { client: "client → server", server: "server → client" };

/** An element with a class, text or children. */
export function make(tag, className = "", ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children.filter((child) => child !== null));
  return element;
}

export function countBytes(count) {
  return `${count.toLocaleString("en")} ${count === 1 ? "byte" : "bytes"}`;
}

export function sum(parts) {
  return PARTS.reduce((total, part) => total + parts[part], 0);
}

/** One stacked bar; `scale` is the number of bytes that fills it. */
export function bar(parts, scale) {
  const element = make("span", "bar");
  element.setAttribute("aria-hidden", "true");
  for (const part of PARTS) {
    if (!parts[part]) continue;
    const piece = make("span");
    piece.dataset.part = part;
    piece.style.setProperty("width", `${(100 * parts[part]) / scale}%`);
    element.append(piece);
  }
  return element;
}

/** The parts in words, those that are not there left out. */
export function inWords(parts) {
  const told = PARTS.filter((part) => parts[part]).map((part) => `${parts[part].toLocaleString("en")} ${part}`);
  return told.join(" + ") || "nothing";
}

function bytesOf(hex) {
  return Uint8Array.from(hex.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

function cells(bytes, write) {
  return bytes.map((byte) => make("b", "", write(byte)));
}

const asHex = (byte) => byte.toString(16).padStart(2, "0");
const asText = (byte) => (byte === 0x20 ? "␣" : byte > 0x20 && byte < 0x7f ? String.fromCharCode(byte) : "·");

/** The bytes of one step. `explain(step, span, chosen)` is called when a span is looked at or chosen. */
export function dump(step, explain) {
  const bytes = [...bytesOf(step.hex)];
  const hex = make("div", "hex");
  const text = make("div", "text");
  text.setAttribute("aria-hidden", "true");
  hex.setAttribute("role", "toolbar");
  hex.setAttribute("aria-label", `Bytes of “${step.title}”`);
  const element = make("div", "dump", hex, text);
  const spans = step.spans.map((span, number) => {
    const slice = bytes.slice(span.start, span.end);
    const shown = make("span", "", ...cells(slice, asHex));
    shown.setAttribute("aria-hidden", "true");
    const control = make("span", "", make("span", "visually-hidden", `${span.label}, ${countBytes(slice.length)}`), shown);
    const mirror = make("span", "", ...cells(slice, asText));
    for (const each of [control, mirror]) {
      each.dataset.part = span.part;
      each.dataset.span = number;
    }
    control.setAttribute("role", "button");
    control.tabIndex = number === 0 ? 0 : -1;
    hex.append(control);
    text.append(mirror);
    return { control, mirror, span };
  });

  const light = (number) => {
    for (const [at, { control, mirror }] of spans.entries()) {
      for (const each of [control, mirror]) each.classList.toggle("lit", at === number);
    }
  };
  const look = (number, chosen) => {
    explain({ step, span: spans[number].span, chosen, light: () => light(number), clear: () => light(-1) });
  };
  const numberOf = (target) => {
    const found = target.closest?.("[data-span]");
    return found ? Number(found.dataset.span) : null;
  };
  element.addEventListener("pointerover", (event) => {
    const number = event.pointerType === "mouse" ? numberOf(event.target) : null;
    if (number !== null) look(number, false);
  });
  element.addEventListener("pointerleave", () => explain(null));
  element.addEventListener("click", (event) => {
    const number = numberOf(event.target);
    if (number !== null) spans[number].control.focus({ preventScroll: true });
  });
  hex.addEventListener("focusin", (event) => {
    const number = numberOf(event.target);
    if (number === null) return;
    for (const [at, { control }] of spans.entries()) control.tabIndex = at === number ? 0 : -1;
    look(number, true);
  });
  hex.addEventListener("keydown", (event) => {
    const at = numberOf(event.target);
    const to = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: spans.length - 1 };
    if (!(event.key in to)) return;
    event.preventDefault();
    spans[Math.max(0, Math.min(spans.length - 1, to[event.key]))].control.focus();
  });
  return element;
}

/** One step of an exchange, with its bytes; `scale` is the exchange's bytes in its fuller direction. */
export function stepItem(step, number, scale, explain) {
  const item = make("li", "step");
  item.dataset.sender = step.sender;
  const who = ARROWS[step.sender] + (step.connection === "publisher" ? ", on another connection" : "");
  const head = make("h3", "", `${number}. ${step.title}`);
  const meta = make("p", "faint small number", `${who} · ${countBytes(step.bytes)} · ${step.at_ms.toFixed(1)} ms`);
  const says = step.says ? make("p", "", step.says) : null;
  item.append(head, meta, ...(says ? [says] : []), dump(step, explain));
  if (step.totals && scale) {
    const running = make("dl", "running small");
    for (const [side, name] of [["client", "up so far"], ["server", "down so far"]]) {
      const parts = step.totals[side];
      running.append(make("div", "", make("dt", "", name), make("dd", "", bar(parts, scale), make("span", "number", `${sum(parts).toLocaleString("en")}: ${inWords(parts)}`))));
    }
    item.append(running);
  }
  return item;
}

/** From the key to the accept value, a line a step. */
export function acceptItem(accept, received) {
  const list = make("dl", "arithmetic");
  const line = (name, value, id) => {
    const shown = make("code", "", value);
    if (id) shown.id = id;
    list.append(make("div", "", make("dt", "", name), make("dd", "", shown)));
  };
  line("Sec-WebSocket-Key", accept.key, "accept-key");
  line("in bytes", accept.nonce_hex);
  line("+ the RFC’s GUID", accept.guid);
  line("= joined", accept.joined);
  line("→ SHA-1", accept.sha1_hex);
  line("→ base64", accept.accept, "accept-worked-out");
  line("the server sent", received ?? "nothing", "accept-received");
  const same = received === accept.accept;
  const verdict = make("p", same ? "good" : "bad", same ? "✓ The same: whoever answered has read the key." : "✗ Not the same: the client must close the connection.");
  const item = make("li", "step sum", make("h3", "", "From key to accept"), list, verdict);
  return item;
}

/** What the panel says of a span. */
export function explanation({ step, span }) {
  const count = span.end - span.start;
  const where = count === 1 ? `byte ${span.start}` : `bytes ${span.start} to ${span.end - 1}`;
  const kind = make("p", "faint small", make("span", "swatch"), ` ${span.part}, ${where}, ${countBytes(count)}`);
  kind.dataset.part = span.part;
  const parts = [make("h3", "", span.label), kind];
  if (span.bits.length) {
    const boxes = make("div", "bits");
    boxes.setAttribute("aria-hidden", "true");
    const list = make("ul", "bit-names");
    for (const group of span.bits) {
      boxes.append(make("span", "", ...[...group.bits].map((bit) => make("b", "", bit))));
      list.append(make("li", "", make("code", "", group.bits), " ", make("strong", "", group.name), `: ${group.says}`));
    }
    parts.push(boxes, list);
  } else if (span.shows) {
    parts.push(make("pre", "shows", span.shows));
  }
  parts.push(make("p", "", span.why));
  if (span.work.length) {
    parts.push(make("pre", "work", span.work.join("\n")));
  }
  parts.push(make("p", "faint small", `in “${step.title}”`));
  return parts;
}
