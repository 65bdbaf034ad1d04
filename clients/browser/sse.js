// Server-sent events: ask once, by the browser's EventSource, and be sent an event whenever there is news (HTML, 9.2). The
// twin of clients/sse.py.
//
// What EventSource hides from a page: the answer's status and headers, comments, the retries of its own (after a fixed time,
// some seconds, which never grows), and why it failed. After any status but 200 it ends for good.
// So here every error ends it, and a new one comes from our cursor after the pauses of all subscribers. If it was never
// opened, one fetch of the same target asks for the reason. Since comments are hidden it asks for a heartbeat, as a
// WebSocket does (websocket.js).

import { fetchWithin } from "./fetching.js";
import { OpenConnection } from "./open_connection.js";
import { ConnectionLost, Subscriber, inFlight, refusal } from "./subscriber.js";
import WebSocketSubscriber from "./websocket.js";
import { byteLength, eventHeadBytes, eventStreamBytes } from "./wire_sizes.js";

export default class SseSubscriber extends Subscriber {
  static transport = "sse";
  static theory = WebSocketSubscriber.theory;

  run() {
    const target = this.target(this.heartbeatS === null ? {} : { heartbeat: String(this.heartbeatS) });
    const sizes = eventStreamBytes(target);
    const source = new EventSource(target);
    // It takes one of the six connections that a browser opens to a server by HTTP/1.1, for as long as it is open.
    inFlight.requests += 1;
    const letGo = () => {
      source.close();
      inFlight.requests -= 1;
    };
    const connection = new OpenConnection(this, { letGo, heartbeatS: this.heartbeatS });
    this.note({ exchange: connection.exchange, kind: "request", up: true, headBytes: sizes.up, text: `GET ${target}\nAccept: text/event-stream` });
    connection.awaitAnswer();
    source.onopen = () => connection.opened({ headBytes: sizes.down, text: "200 OK\ntext/event-stream", status: 200 });
    source.onmessage = ({ data, lastEventId }) => {
      const bodyBytes = byteLength(data);
      connection.take(data, eventHeadBytes(lastEventId, bodyBytes), bodyBytes);
    };
    source.onerror = async () => {
      source.close();
      connection.end(connection.isOpen ? new ConnectionLost("the event stream was lost") : await this.#reason(target));
    };
    return connection.ended;
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
