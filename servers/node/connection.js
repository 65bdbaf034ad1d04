/**
 * One WebSocket on the server's side: the `ws` package's, with what the contract adds.
 *
 * Rules:
 * 1. The close frame says why (RFC 6455, section 7.4.1), also if `ws` itself closes.
 * 2. A message is handled where it is read. A peer that does not take the answers to what it sends (pongs, echoes,
 *    acknowledgements) is not read from until it has taken them.
 * 3. What has come of a message counts as unaccepted until it is whole and handled. If there is room for no more of
 *    it the connection is closed, and likewise if a large one does not come whole in time.
 * 4. A peer is pinged; it is cut at the next ping if earlier pings have gone unanswered for PONG_PATIENCE_MS. While
 *    a write is under way the kernel watches the peer (TCP_USER_TIMEOUT).
 */

import { WebSocket } from "./packages.js";
import { Refused } from "./refusals.js";
import { lateness } from "./bodies.js";
import { Claim, FREE_BYTES } from "./unaccepted.js";

const GOING_AWAY = 1001;
const PONG_PATIENCE_MS = 1000;
const BYTES_PER_S = 64 * 1024;
const MS = 1000;
const MAX_REASON_BYTES = 123;
const CLOSE_TIMEOUT_MS = 2000;
/** `ws` keeps an object for each: many of a byte would take a hundred times what was sent. */
const MAX_FRAGMENTS = 128 * 1024;

export class Connection extends WebSocket {
  /**
   * Called once, right after the handshake. `onMessage(data, isBinary)` may throw Refused. `pings`: whether it is
   * pinged here.
   */
  listen(socket, { settings, unaccepted, pinger, onMessage, onEnd, onDrain, pings = true }) {
    this.socket = socket;
    this.pings = pings;
    this.settings = settings;
    this.claim = new Claim(unaccepted);
    this.coming = 0;
    this.comingSinceMs = null;
    this.unansweredSinceMs = null;
    this.refused = false;
    this.onMessage = onMessage;
    this.onEnd = onEnd;
    this.onDrain = onDrain;
    this.unwatch = pinger.watch(this);
    socket.on("data", (piece) => this.took(piece.length));
    socket.on("drain", () => {
      if (this.isPaused) this.resume();
      this.onDrain?.();
    });
    this.on("message", (data, isBinary) => this.handle(data, isBinary));
    this.on("ping", (data) => this.reply(() => this.pong(data)));
    this.on("pong", () => {
      this.unansweredSinceMs = null;
    });
    this.on("close", () => this.ended());
    // `ws` has closed with the code already.
    this.on("error", () => {
      this.refused = true;
    });
  }

  took(size) {
    if (this.refused || this.readyState !== WebSocket.OPEN) return;
    this.coming += size;
    try {
      this.claim.hold(this.coming);
    } catch (error) {
      this.refuse(error);
    }
  }

  handle(data, isBinary) {
    if (this.refused || this.readyState !== WebSocket.OPEN) return;
    try {
      this.onMessage(data, isBinary);
    } catch (error) {
      this.refuse(error);
    }
    this.coming = 0;
    this.comingSinceMs = null;
    this.claim.release();
  }

  /** Send something that the peer has asked for by what it sent. */
  reply(send) {
    if (this.readyState !== WebSocket.OPEN) return;
    send();
    if (this.socket.writableNeedDrain) this.pause();
  }

  /** Nothing more is looked at; the view delivers what was accepted before, and closes. */
  refuse(error) {
    if (!(error instanceof Refused)) console.error(error);
    this.refused = true;
    this.claim.release();
    // `ws` would go on putting messages together. What still comes is dropped until the peer closes.
    this.socket.removeAllListeners("data").resume();
    this.onEnd();
    const code = error.closeCode ?? 1011;
    this.close(code, error instanceof Refused ? error.message : "The server failed on this message.");
  }

  goAway() {
    this.onEnd();
    this.close(GOING_AWAY);
  }

  ended() {
    this.unwatch();
    this.claim.release();
    this.onEnd();
  }

  close(code, reason) {
    if (this.isPaused) this.resume();
    super.close(code, typeof reason === "string" ? short(reason) : (reason ?? this.reasonFor(code)));
  }

  /** Where `ws` closes by itself: what came breaks a rule of the protocol, or a limit. */
  reasonFor(code) {
    if (code === 1007) return "A text message must be UTF-8.";
    if (code === 1009) {
      const most = this.settings.max_body_bytes;
      return `A message may take ${most} bytes at the most (8 times max_notification_bytes).`;
    }
    if (code === 1008) return `A message may come in ${MAX_FRAGMENTS} fragments at the most.`;
    return undefined;
  }

  /** Called by the pinger, with the time for which the server was awake. */
  due(awakeMs) {
    if (this.coming > FREE_BYTES) {
      this.comingSinceMs ??= awakeMs;
      const most = (this.settings.request_timeout_s + this.coming / BYTES_PER_S) * MS;
      if (awakeMs - this.comingSinceMs > most) {
        this.refuse(lateness(this.settings.request_timeout_s));
        return;
      }
    }
    if (!this.pings) return;
    if (this.unansweredSinceMs !== null && awakeMs - this.unansweredSinceMs >= PONG_PATIENCE_MS) {
      this.terminate();
    } else if (this.readyState === WebSocket.OPEN && this.socket.writableLength === 0) {
      this.unansweredSinceMs ??= awakeMs;
      this.ping();
    }
  }
}

/** What `ws` is to do for all of these connections. */
export const CONNECTION_OPTIONS = {
  noServer: true,
  clientTracking: false,
  WebSocket: Connection,
  maxFragments: MAX_FRAGMENTS,
  closeTimeout: CLOSE_TIMEOUT_MS,
  // One message or ping of a peer for each turn of the event loop: who sends without pause takes turns with all.
  allowSynchronousEvents: false,
  // Ours wait until the peer takes them.
  autoPong: false,
  // No subprotocol is spoken, so none is agreed to.
  handleProtocols: () => false,
};

/** A reason that fits a close frame, which holds 125 bytes with the code (section 5.5). */
function short(reason) {
  let bytes = Buffer.from(reason).subarray(0, MAX_REASON_BYTES);
  // Not in the middle of a character.
  while (bytes.length > 0 && Buffer.from(bytes.toString()).length !== bytes.length) bytes = bytes.subarray(0, -1);
  return bytes;
}
