// What every subscriber of a browser does the same way: one cursor, one stream of notifications. The twin of
// clients/subscriber.py; a transport is a class in a file of its own that says in `run` how it asks.
//
// Rules:
// 1. `start()` runs until `close()`. Whatever is not a well-formed answer is retried: lost connections, the answers 5xx,
//    408 and 429, and what a browser makes of an answer that was cut (an empty 200). The subscriber comes back
//    after a pause and asks from its cursor. Only another 4xx that says why (RFC 9457) ends it in the state `refused`.
// 2. The pause doubles from BACKOFF_FIRST_MS to BACKOFF_MOST_MS, each drawn between half of it and the whole. It begins
//    anew when a connection has held: the server answered, and HELD_MS have passed since the last pause. A Retry-After
//    is obeyed up to RETRY_AFTER_MOST_S, and up to half as much again is added. The same pause follows a poll that was
//    answered with nothing new well before its wait. (Here somebody is watching, so pauses, the wait for an answer and
//    heartbeats are shorter: 2, 10 and 5 s, and 5, 30 and 25 s in the Python twin.)
// 3. `cut(ms)` drops the connection from this side, as a lost network would, and stays away for that long. Then it
//    resumes from its cursor like after any other loss.
// 4. Times are milliseconds of `nowMs()`: Unix time by this browser's clock, uncorrected. clock.js corrects.
// 5. Bytes: bodies are counted, heads (headers, frame headers) are computed by wire_sizes.js.
// 6. Nothing here touches the page. What happens is told by callbacks, which must not throw:
//      onNotifications(notifications, arrivedMs)   new ones, once each, in order; `arrivedMs` is when their message did
//      onWire(event)     every message as it is sent or arrives: {exchange, kind, up, atMs, headBytes, bodyBytes,
//                        text, ids, status, stays, reached, publishes}. kind: "request", "response" (`stays`: its connection
//                        stays open for more), "frame", "lost" (an exchange's end without an answer; `reached` tells whether
//                        the server may have got it) or "skipped" (a tick not asked). `publishes`: it carries a publish.
//      onState(state, why)   connecting, open, waiting (for the next attempt), cut, refused, closed
// 7. Bounded: a subscriber keeps counters, one cursor and one batch; whoever listens keeps what it wants.

import { ANSWER_TIMEOUT_MS, fetchWithin } from "./fetching.js";
import { BadBatch, Receiver } from "./receiver.js";
import { byteLength, requestHeadBytes, responseHeadBytes } from "./wire_sizes.js";

const BACKOFF_FIRST_MS = 100;
const BACKOFF_MOST_MS = 2000;
const RETRY_AFTER_MOST_S = 60;
/** A connection that has lasted so long has held. */
const HELD_MS = 2000;
/** A poll is answered early if less than this share of its wait has passed. */
const EARLY_SHARE = 0.5;

/** Unix time in milliseconds by this browser's clock, at the resolution of performance.now(). */
export const nowMs = () => performance.timeOrigin + performance.now();

/** How many requests this page waits for the answers of, now. Six an origin is what HTTP/1.1 gives a browser. */
export const inFlight = { requests: 0 };

/** The connection was lost, or the server asks to come back later. */
export class ConnectionLost extends Error {
  constructor(message, retryAfterS = null) {
    super(message);
    this.retryAfterS = retryAfterS;
  }
}

/** The server will not have what we ask; asking again would not help. */
export class Refused extends Error {}

export class Subscriber {
  /** The transport's name: in the registry and in the URL. */
  static transport = "";

  /** Pauses since a connection has held. */
  #failures = 0;
  /** Whether a batch has come since the last pause. */
  #answered = false;
  /** When the last pause was over, by performance.now(). */
  #resumedMs = 0;
  #wake = () => {};
  #pollIntervalS;

  /** Polls use `pollIntervalS` or `waitS`, both seconds. What stays open asks for a sign of life every `heartbeatS`. */
  constructor(stream, { pollIntervalS = 1, waitS = 25, heartbeatS = 5, after = null, onNotifications, onWire, onState } = {}) {
    this.stream = stream;
    this.waitS = waitS;
    this.heartbeatS = heartbeatS;
    this.receiver = new Receiver(after);
    this.requests = 0;
    this.empty_responses = 0;
    this.skipped_ticks = 0;
    this.reconnects = 0;
    this.bytes = { headUp: 0, bodyUp: 0, headDown: 0, bodyDown: 0 };
    this.state = "closed";
    this.closed = true;
    this.exchanges = 0;
    this.onNotifications = onNotifications ?? (() => {});
    this.onWire = onWire ?? (() => {});
    this.onState = onState ?? (() => {});
    this.#pollIntervalS = pollIntervalS;
    this.aborter = new AbortController();
    this.cutUntilMs = 0;
  }

  get transport() {
    return this.constructor.transport;
  }

  get pollIntervalS() {
    return this.#pollIntervalS;
  }

  /** A new T counts at once: whoever sleeps for the next tick is woken, and draws a new grid. */
  set pollIntervalS(seconds) {
    if (seconds === this.#pollIntervalS) return;
    this.#pollIntervalS = seconds;
    this.#wake();
  }

  /** Follow the stream until `close()`; resolves then. */
  async start() {
    if (!this.closed) return;
    this.closed = false;
    this.#resumedMs = performance.now();
    let connected = false;
    while (!this.closed) {
      this.tell("connecting");
      try {
        if (connected) this.reconnects += 1;
        connected = true;
        await this.run();
      } catch (error) {
        this.drop();
        if (this.closed) break;
        if (error instanceof ConnectionLost) {
          await this.#backOff(error);
        } else {
          this.closed = true;
          this.tell("refused", error.message);
          return;
        }
      }
    }
    this.tell("closed");
  }

  /** End, soon and quietly. */
  close() {
    if (this.closed) return;
    this.closed = true;
    this.drop();
    this.#wake();
  }

  /** Drop the connection and stay away for `ms`; then resume from the cursor. */
  cut(ms) {
    if (this.closed) return;
    this.cutUntilMs = performance.now() + ms;
    this.drop();
    this.#wake();
  }

  /** Publish on this stream, the way that this transport has upstream. Resolves when it was sent and taken. */
  async publish(data) {
    const body = JSON.stringify({ data });
    const target = `/streams/${this.stream}/notifications`;
    const { response, text } = await this.ask("POST", target, body);
    if (response.status !== 201) throw refusal(response, text);
  }

  /** Ask until ConnectionLost: this is what makes a transport. */
  async run() {
    throw new Error(`${this.constructor.name} does not say how it asks`);
  }

  /** Let go of the connection at once. Transports that hold more than fetches add to it. */
  drop() {
    this.aborter.abort();
    this.aborter = new AbortController();
  }

  /** Count what a message takes on the wire, and tell who listens. */
  note(event) {
    const whole = { atMs: nowMs(), headBytes: 0, bodyBytes: 0, text: "", ids: [], ...event };
    this.bytes[whole.up ? "headUp" : "headDown"] += whole.headBytes;
    this.bytes[whole.up ? "bodyUp" : "bodyDown"] += whole.bodyBytes;
    this.onWire(whole);
  }

  tell(state, why = "") {
    if (state === this.state && !why) return;
    this.state = state;
    this.onState(state, why);
  }

  /** The request target: this stream on this transport, from the cursor. */
  target(query = {}) {
    const search = new URLSearchParams(query);
    if (this.receiver.cursor !== null) search.set("after", this.receiver.cursor);
    return `/streams/${this.stream}/${this.transport}${search.size ? `?${search}` : ""}`;
  }

  /** Ask for a batch, to be held for `heldS`, and hand on what is new in it; throws ConnectionLost or Refused. */
  async poll(query = {}, heldS = 0) {
    const askedMs = performance.now();
    const { response, text, arrivedMs, exchange, bodyBytes, headBytes } = await this.ask("GET", this.target(query), undefined, heldS);
    const arrived = { exchange, kind: "response", up: false, atMs: arrivedMs, headBytes, bodyBytes, status: response.status };
    if (response.status !== 200) {
      this.note({ ...arrived, text: `${response.status} ${response.statusText}\n${text}` });
      throw refusal(response, text);
    }
    const notifications = this.take(text, arrivedMs, (ids) => this.note({ ...arrived, text, ids }));
    this.requests += 1;
    if (notifications.length) return;
    this.empty_responses += 1;
    if (performance.now() - askedMs < heldS * 1000 * EARLY_SHARE) await this.#pause();
  }

  /** Hand a message to the receiver, and tell who listens; `told` gets the new ids before the notifications go out.
   *  Throws ConnectionLost for what is no batch: it may have been cut, or come from something in between. */
  take(message, arrivedMs, told) {
    let notifications;
    try {
      notifications = this.receiver.receive(message);
    } catch (error) {
      if (!(error instanceof BadBatch)) throw error;
      told([]);
      throw new ConnectionLost(`the answer is no batch: ${error.message}`);
    }
    this.#answered = true;
    this.tell("open");
    told(notifications.map(({ id }) => id));
    if (notifications.length) this.onNotifications(notifications, arrivedMs);
    return notifications;
  }

  /** One request and its whole answer, counted; throws ConnectionLost. */
  async ask(method, target, body, heldS = 0) {
    const exchange = ++this.exchanges;
    const upBytes = body === undefined ? 0 : byteLength(body);
    this.note({
      exchange, kind: "request", up: true, headBytes: requestHeadBytes(method, target, upBytes), bodyBytes: upBytes,
      text: `${method} ${target}${body === undefined ? "" : `\n${body}`}`, publishes: method === "POST",
    });
    inFlight.requests += 1;
    try {
      const response = await fetchWithin(target, {
        method, body, signal: this.aborter.signal, withinMs: heldS * 1000 + ANSWER_TIMEOUT_MS,
        headers: body === undefined ? {} : { "Content-Type": "application/json" },
      });
      const bytes = await response.arrayBuffer();
      const arrivedMs = nowMs();
      const headBytes = responseHeadBytes(response);
      const text = new TextDecoder().decode(bytes);
      if (method !== "GET") {
        this.note({
          exchange, kind: "response", up: false, atMs: arrivedMs, headBytes, bodyBytes: bytes.byteLength,
          text: `${response.status} ${response.statusText}\n${text}`, status: response.status,
        });
      }
      return { response, text, arrivedMs, exchange, bodyBytes: bytes.byteLength, headBytes };
    } catch (error) {
      const why = error.name === "AbortError" ? "cut from this side" : error.name === "TimeoutError" ? "no answer in time" : "the server cannot be reached";
      this.note({ exchange, kind: "lost", up: false, text: why, reached: error.name !== "TypeError" });
      throw new ConnectionLost(why);
    } finally {
      inFlight.requests -= 1;
    }
  }

  /** Sleep for `ms`, or until something changes (cut, close, a new T): then resolves to false. */
  sleep(ms) {
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#wake = () => {};
        resolve(true);
      }, Math.max(0, ms));
      this.#wake = () => {
        this.#wake = () => {};
        clearTimeout(timer);
        resolve(false);
      };
    });
  }

  /** Whether we were told to stay away, or to end. */
  get away() {
    return this.closed || performance.now() < this.cutUntilMs;
  }

  async #backOff(lost) {
    const cutMs = this.cutUntilMs - performance.now();
    if (cutMs > 0) {
      this.#failures = 0;
      this.tell("cut", "cut from this side");
      await this.#stay(cutMs, () => this.closed);
      this.#resume();
      return;
    }
    this.tell("waiting", lost.message);
    await this.#pause(lost.retryAfterS, () => this.closed);
  }

  /** Sleep for as long as the rules say, or until `over`. */
  async #pause(retryAfterS = null, over = () => this.away) {
    if (this.#answered && performance.now() - this.#resumedMs >= HELD_MS) this.#failures = 0;
    let pauseMs = Math.min(BACKOFF_MOST_MS, BACKOFF_FIRST_MS * 2 ** Math.min(this.#failures, 16));
    this.#failures += 1;
    if (retryAfterS === null) {
      pauseMs *= 0.5 + Math.random() / 2;
    } else {
      pauseMs = Math.max(pauseMs, Math.min(retryAfterS, RETRY_AFTER_MOST_S) * 1000) * (1 + Math.random() / 2);
    }
    await this.#stay(pauseMs, over);
    this.#resume();
  }

  #resume() {
    this.#answered = false;
    this.#resumedMs = performance.now();
  }

  /** Sleep the whole time, whatever wakes us meanwhile, unless it is `over`. */
  async #stay(ms, over) {
    const untilMs = performance.now() + ms;
    for (let leftMs = ms; leftMs > 0 && !over(); leftMs = untilMs - performance.now()) await this.sleep(leftMs);
  }
}

/** Whether the same would not be answered better later. */
export const isFinal = (status) => status >= 400 && status < 500 && status !== 408 && status !== 429;

/** The error that an answer stands for: to be asked again, or, where the server says what to mend, to be told. */
export function refusal(response, text) {
  const { status } = response;
  const detail = problemDetail(text);
  const message = `the server answered ${status}${detail ? `: ${detail}` : ""}`;
  if (detail && isFinal(status)) return new Refused(message);
  const retryAfter = response.headers.get("retry-after")?.trim() ?? "";
  return new ConnectionLost(message, /^[0-9]+$/.test(retryAfter) ? Number(retryAfter) : null);
}

/** The sentence of a problem+json answer (RFC 9457), or "" for anything else. */
function problemDetail(text) {
  try {
    const { detail, title } = JSON.parse(text);
    return String(detail ?? title ?? "");
  } catch {
    return "";
  }
}
