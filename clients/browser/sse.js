// Server-sent events: ask once, by the browser's EventSource, and be sent an event whenever there is news (HTML, 9.2). The
// twin of clients/sse.py.
//
// What EventSource hides from a page: the answer's status and headers, comments, the retries of its own (after a fixed time,
// some seconds, which never grows), and why it failed. After any status but 200 it ends for good.
// So here every error ends it, and a new one comes from our cursor after the pauses of all subscribers. If it was never
// opened, one fetch of the same target asks for the reason. Since comments are hidden it asks for a heartbeat, as a
// WebSocket does (websocket.js).

import { ANSWER_TIMEOUT_MS, fetchWithin } from "./fetching.js";
import { ConnectionLost, HEARTBEATS_MISSED, LOOK_AGAIN_MS, Subscriber, inFlight, nowMs, refusal } from "./subscriber.js";
import { byteLength, eventHeadBytes, eventStreamBytes } from "./wire_sizes.js";

export default class SseSubscriber extends Subscriber {
  static transport = "sse";

  /** What theory says of it (bench/analysis/theory/sse.py). */
  static theory({ one_way_ms: d }) {
    return { latency_ms_p50: d, latency_formula: "d", requests_per_minute: 0, requests_formula: "0" };
  }

  run() {
    const target = this.target(this.heartbeatS === null ? {} : { heartbeat: String(this.heartbeatS) });
    const exchange = ++this.exchanges;
    const sizes = eventStreamBytes(target);
    const source = new EventSource(target);
    this.bytes.headUp += sizes.up;
    this.onWire({ exchange, kind: "request", up: true, atMs: nowMs(), headBytes: sizes.up, bodyBytes: 0, text: `GET ${target}\nAccept: text/event-stream`, ids: [] });
    // It takes one of the six connections that a browser opens to a server by HTTP/1.1, for as long as it is open.
    inFlight.requests += 1;
    return new Promise((_, reject) => {
      let opened = false;
      let ended = false;
      let patience = 0;
      const waitFor = (what, ms) => {
        clearTimeout(patience);
        patience = setTimeout(() => {
          patience = setTimeout(() => end(new ConnectionLost(`${what} for ${ms / 1000} s`)), LOOK_AGAIN_MS);
        }, ms);
      };
      const end = (error) => {
        if (ended) return;
        ended = true;
        clearTimeout(patience);
        source.close();
        inFlight.requests -= 1;
        this.onWire({ exchange, kind: "lost", up: false, atMs: nowMs(), headBytes: 0, bodyBytes: 0, text: error.message, ids: [], reached: opened });
        reject(error);
      };
      waitFor("no answer", ANSWER_TIMEOUT_MS);
      source.onopen = () => {
        opened = true;
        this.requests += 1;
        this.bytes.headDown += sizes.down;
        this.onWire({ exchange, kind: "response", up: false, atMs: nowMs(), headBytes: sizes.down, bodyBytes: 0, text: "200 OK\ntext/event-stream", ids: [], status: 200 });
      };
      source.onmessage = ({ data, lastEventId }) => {
        if (ended) return;
        const atMs = nowMs();
        if (this.heartbeatS === null) clearTimeout(patience);
        else waitFor("no heartbeat", HEARTBEATS_MISSED * 1000 * this.heartbeatS);
        const bodyBytes = byteLength(data);
        const headBytes = eventHeadBytes(lastEventId, bodyBytes);
        this.bytes.headDown += headBytes;
        this.bytes.bodyDown += bodyBytes;
        try {
          this.take(data, atMs, (ids) => this.onWire({ exchange: 0, kind: "frame", up: false, atMs, headBytes, bodyBytes, text: data, ids }));
        } catch (error) {
          end(error);
        }
      };
      source.onerror = async () => {
        source.close();
        if (ended || opened) end(new ConnectionLost("the event stream was lost"));
        else end(await this.#reason(target));
      };
      this.aborter.signal.addEventListener("abort", () => end(new ConnectionLost("cut from this side")), { once: true });
    });
  }

  /** Why the server does not answer with events: the same request again, as one whose answer a page may read. */
  async #reason(target) {
    try {
      const response = await fetchWithin(target, { signal: this.aborter.signal });
      if (response.ok) {
        response.body?.cancel();
        return new ConnectionLost("the event stream was lost before it began");
      }
      return refusal(response, await response.text());
    } catch {
      return new ConnectionLost("the server cannot be reached");
    }
  }
}
