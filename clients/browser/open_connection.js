// A connection that stays open: what the subscribers that are sent messages (sse.js, websocket.js, engine.js) have in common.
//
// It is open from `opened` until `end`; only the first end counts. A browser does not tell when a server has vanished
// without a word: so with heartbeats it ends too if nothing comes for too long.

import { ANSWER_TIMEOUT_MS } from "./fetching.js";
import { ConnectionLost, nowMs } from "./subscriber.js";

/** It is lost after so many heartbeats that did not come. */
const HEARTBEATS_MISSED = 2;

/** A browser that slept finds its timers due before it hands out the messages that came meanwhile. */
const LOOK_AGAIN_MS = 500;

export class OpenConnection {
  isOpen = false;
  hasEnded = false;
  #subscriber;
  #letGo;
  #heartbeatS;
  #reject;
  #patience = 0;

  /** `letGo` lets go of what the browser holds, at the end. Without `heartbeatS` silence is no end. */
  constructor(subscriber, { letGo, heartbeatS = null }) {
    /** The number of the request that a loss leaves without an answer: at first the one that begins it. */
    this.exchange = ++subscriber.exchanges;
    this.#subscriber = subscriber;
    this.#letGo = letGo;
    this.#heartbeatS = heartbeatS;
    /** Rejects with the error that ended it. */
    this.ended = new Promise((_, reject) => {
      this.#reject = reject;
    });
    subscriber.aborter.signal.addEventListener("abort", () => this.end(new ConnectionLost("cut from this side")), { once: true });
  }

  /** Wait for the answer that opens it, and the first message, as long as for any answer. */
  awaitAnswer() {
    this.#waitFor("no answer", ANSWER_TIMEOUT_MS);
  }

  /** The server has answered well, and the connection stays open: note the answer's head. */
  opened({ headBytes, text, status }) {
    this.isOpen = true;
    this.#subscriber.requests += 1;
    this.#subscriber.note({ exchange: this.exchange, kind: "response", up: false, headBytes, text, status, stays: true });
  }

  /** Note a message that has come, and take the batch in it. */
  take(text, headBytes, bodyBytes, batch = text) {
    if (this.hasEnded) return;
    const atMs = nowMs();
    if (this.#heartbeatS === null) clearTimeout(this.#patience);
    else this.#waitFor("no heartbeat", HEARTBEATS_MISSED * 1000 * this.#heartbeatS);
    this.takeBatch(batch, atMs, (ids) => this.#subscriber.note({ exchange: 0, kind: "frame", up: false, atMs, headBytes, bodyBytes, text, ids }));
  }

  /** Take a batch as the subscriber does; what is none ends the connection. */
  takeBatch(batch, atMs, told) {
    try {
      this.#subscriber.take(batch, atMs, told);
    } catch (error) {
      this.end(error);
    }
  }

  end(error) {
    if (this.hasEnded) return;
    this.hasEnded = true;
    clearTimeout(this.#patience);
    this.#letGo();
    this.#subscriber.note({ exchange: this.exchange, kind: "lost", up: false, text: error.message, reached: this.isOpen });
    this.#reject(error);
  }

  #waitFor(what, ms) {
    clearTimeout(this.#patience);
    this.#patience = setTimeout(() => {
      this.#patience = setTimeout(() => this.end(new ConnectionLost(`${what} for ${ms / 1000} s`)), LOOK_AGAIN_MS);
    }, ms);
  }
}
