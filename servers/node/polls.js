/**
 * Short and long polling: a batch as the response, at once or when there is news (RFC 6202, section 2).
 *
 * A held request is a subscriber. One whose client has gone, or will send nothing more, gives its place up.
 */

import { afterOf, queryOf, waitOf } from "./query.js";

export const SHORT_POLL = "short-poll";
export const LONG_POLL = "long-poll";
const MS = 1000;

/** A poll's answer is never to be stored (RFC 9111, section 5.2.2.5). */
function answer(response, batch) {
  response.writeHead(200, {
    "Content-Type": "application/json",
    "Content-Length": batch.size,
    "Cache-Control": "no-store",
  });
  if (batch.isSmall) {
    response.end(batch.pieces[0]);
    return;
  }
  response.cork();
  for (const piece of batch.pieces) response.write(piece);
  response.end();
  response.uncork();
}

/** `GET /streams/<name>/short-poll?after=<cursor>` */
export function shortPoll(streams) {
  return (request, response) => {
    const stream = streams.get(request.params.name);
    const batch = stream.batch(stream.position(afterOf(queryOf(request))));
    const usage = stream.usage[SHORT_POLL];
    usage.requests += 1;
    usage.notifications += batch.count;
    answer(response, batch);
  };
}

/** `GET /streams/<name>/long-poll?after=<cursor>&wait=<seconds>` */
export function longPoll(streams, addresses) {
  return (request, response) => {
    const stream = streams.get(request.params.name);
    const query = queryOf(request);
    const position = stream.position(afterOf(query));
    const wait_s = waitOf(query);
    const batch = stream.batch(position);
    if (batch.news || wait_s === 0) {
      served(stream, batch);
      answer(response, batch);
      return;
    }
    const release = streams.subscribe(addresses.shareOf(request), stream, LONG_POLL);
    new HeldPoll(streams, stream, position, request, response, release).hold(wait_s);
  };
}

function served(stream, batch) {
  const usage = stream.usage[LONG_POLL];
  usage.requests += 1;
  usage.notifications += batch.count;
}

class HeldPoll {
  constructor(streams, stream, position, request, response, release) {
    Object.assign(this, { streams, stream, position, response, release });
    this.socket = request.socket;
    this.timer = null;
    this.depart = () => this.end(true);
  }

  hold(wait_s) {
    this.timer = setTimeout(() => this.end(false), wait_s * MS);
    // A client that has closed its own side alone is seen by `end`, one that has gone by `close`.
    this.socket.once("end", this.depart);
    this.response.once("close", this.depart);
    this.stream.waiting.add(this);
  }

  wake() {
    if (this.streams.stopping || this.stream.batch(this.position).news) this.end(false);
    else this.stream.waiting.add(this);
  }

  end(hasGone) {
    clearTimeout(this.timer);
    this.stream.waiting.delete(this);
    this.socket.removeListener("end", this.depart);
    this.response.removeListener("close", this.depart);
    this.release();
    const batch = this.stream.batch(this.position);
    served(this.stream, batch);
    if (this.response.destroyed) return;
    if (hasGone || this.streams.stopping) this.response.setHeader("Connection", "close");
    answer(this.response, batch);
  }
}
