// WebSocket: ask once, by a handshake (RFC 6455, 4), and be sent a message whenever there is news. The twin of
// clients/websocket.py; the browser does the framing, and keeps pings and pongs to itself. So it asks for a heartbeat:
// an empty batch at the least every `heartbeatS`.

import { ANSWER_TIMEOUT_MS } from "./fetching.js";
import { OpenConnection } from "./open_connection.js";
import { ConnectionLost, Refused, Subscriber } from "./subscriber.js";
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
    const sizes = handshakeBytes(target);
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${target}`);
    const begunMs = performance.now();
    this.#socket = socket;
    const connection = new OpenConnection(this, { letGo: () => letGo(socket, begunMs), heartbeatS: this.heartbeatS });
    this.note({ exchange: connection.exchange, kind: "request", up: true, headBytes: sizes.up, text: `GET ${target}\nUpgrade: websocket` });
    connection.awaitAnswer();
    socket.onopen = () => connection.opened({ headBytes: sizes.down, text: "101 Switching Protocols", status: 101 });
    socket.onmessage = ({ data }) => {
      const bodyBytes = byteLength(data);
      connection.take(data, frameHeadBytes(bodyBytes, false), bodyBytes);
    };
    socket.onclose = ({ code, reason }) => {
      const why = `the server closed the WebSocket with ${code}${reason ? `: ${reason}` : ""}`;
      connection.end(OUR_FAULT.has(code) ? new Refused(why) : new ConnectionLost(connection.isOpen ? why : "the server cannot be reached"));
    };
    return connection.ended;
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
    socket.send(text);
    this.note({ exchange: 0, kind: "frame", up: true, headBytes: frameHeadBytes(bodyBytes, true), bodyBytes, text, publishes: true });
  }
}

function letGo(socket, begunMs) {
  socket.onmessage = socket.onclose = null;
  // Closed while it still connects, a socket makes Chromium complain on the console. But it must not connect for
  // ever: until it is through, a browser begins no other handshake with this server (RFC 6455, 4.1).
  if (socket.readyState === WebSocket.CONNECTING) {
    socket.onopen = () => socket.close();
    setTimeout(() => socket.close(), begunMs + ANSWER_TIMEOUT_MS - performance.now());
  } else {
    socket.close();
  }
}
