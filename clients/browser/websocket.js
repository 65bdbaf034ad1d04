// WebSocket: ask once, by a handshake (RFC 6455, 4), and be sent a message whenever there is news. The twin of
// clients/websocket.py; the browser does the framing, and keeps pings and pongs to itself. So it asks for a heartbeat:
// an empty batch at the least every `heartbeatS`. After HEARTBEATS_MISSED that did not come the server is taken for gone.

import { ANSWER_TIMEOUT_MS } from "./fetching.js";
import { ConnectionLost, HEARTBEATS_MISSED, LOOK_AGAIN_MS, Refused, Subscriber, nowMs } from "./subscriber.js";
import { byteLength, frameHeadBytes, handshakeBytes } from "./wire_sizes.js";

// The server finds fault with what we sent; coming back with the same would end the same (RFC 6455, 7.4.1).
const OUR_FAULT = new Set([1002, 1003, 1007, 1008, 1009, 1010]);

export default class WebSocketSubscriber extends Subscriber {
  static transport = "websocket";
  #socket = null;

  /** What theory says of it (bench/analysis/theory/websocket.py). */
  static theory({ one_way_ms: d }) {
    return { latency_ms_p50: d, latency_formula: "d", requests_per_minute: 0, requests_formula: "0" };
  }

  run() {
    const target = this.target(this.heartbeatS === null ? {} : { heartbeat: String(this.heartbeatS) });
    const exchange = ++this.exchanges;
    const sizes = handshakeBytes(target);
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${target}`);
    this.#socket = socket;
    this.bytes.headUp += sizes.up;
    this.onWire({ exchange, kind: "request", up: true, atMs: nowMs(), headBytes: sizes.up, bodyBytes: 0, text: `GET ${target}\nUpgrade: websocket`, ids: [] });
    return new Promise((_, reject) => {
      let upgraded = false;
      let ended = false;
      let patience = 0;
      const waitFor = (what, ms) => {
        clearTimeout(patience);
        patience = setTimeout(() => {
          patience = setTimeout(() => {
            end(new ConnectionLost(`${what} for ${ms / 1000} s`));
            socket.close();
          }, LOOK_AGAIN_MS);
        }, ms);
      };
      const end = (error) => {
        if (ended) return;
        ended = true;
        clearTimeout(patience);
        this.onWire({ exchange, kind: "lost", up: false, atMs: nowMs(), headBytes: 0, bodyBytes: 0, text: error.message, ids: [], reached: upgraded });
        socket.onmessage = socket.onclose = null;
        // Closed while it still connects, a socket makes Chromium complain on the console. But it must not connect for
        // ever: until it is through, a browser begins no other handshake with this server (RFC 6455, 4.1).
        if (socket.readyState === WebSocket.CONNECTING) {
          socket.onopen = () => socket.close();
          setTimeout(() => socket.close(), ANSWER_TIMEOUT_MS);
        } else {
          socket.close();
        }
        reject(error);
      };
      waitFor("no answer", ANSWER_TIMEOUT_MS);
      socket.onopen = () => {
        upgraded = true;
        this.requests += 1;
        this.bytes.headDown += sizes.down;
        this.onWire({ exchange, kind: "response", up: false, atMs: nowMs(), headBytes: sizes.down, bodyBytes: 0, text: "101 Switching Protocols", ids: [], status: 101 });
      };
      socket.onmessage = ({ data }) => {
        const atMs = nowMs();
        if (this.heartbeatS === null) clearTimeout(patience);
        else waitFor("no heartbeat", HEARTBEATS_MISSED * 1000 * this.heartbeatS);
        const bodyBytes = byteLength(data);
        const headBytes = frameHeadBytes(bodyBytes, false);
        this.bytes.headDown += headBytes;
        this.bytes.bodyDown += bodyBytes;
        try {
          this.take(data, atMs, (ids) => this.onWire({ exchange: 0, kind: "frame", up: false, atMs, headBytes, bodyBytes, text: data, ids }));
        } catch (error) {
          end(error);
        }
      };
      socket.onclose = ({ code, reason }) => {
        const why = `the server closed the WebSocket with ${code}${reason ? `: ${reason}` : ""}`;
        end(OUR_FAULT.has(code) ? new Refused(why) : new ConnectionLost(upgraded ? why : "the server cannot be reached"));
      };
      this.aborter.signal.addEventListener("abort", () => end(new ConnectionLost("cut from this side")), { once: true });
    });
  }

  drop() {
    super.drop();
    this.#socket = null;
  }

  /** Publish on the connection that is there; its own delivery is the acknowledgement. */
  async publish(data) {
    const socket = this.#socket;
    if (socket?.readyState !== WebSocket.OPEN) throw new ConnectionLost("the WebSocket is not open");
    const text = JSON.stringify({ data });
    const bodyBytes = byteLength(text);
    const headBytes = frameHeadBytes(bodyBytes, true);
    socket.send(text);
    this.bytes.headUp += headBytes;
    this.bytes.bodyUp += bodyBytes;
    this.onWire({ exchange: 0, kind: "frame", up: true, atMs: nowMs(), headBytes, bodyBytes, text, ids: [] });
  }
}
