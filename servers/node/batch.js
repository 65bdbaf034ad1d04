/**
 * Consecutive notifications, as the bytes that every transport sends.
 *
 * A small batch is one piece, joined once for all who are at its cursor, and what a transport wraps around it is
 * wrapped once too: `shared(frame)`. A large one stays in the pieces that the log has, and these are written, so
 * a reader who is slow to take it holds no copy.
 */

import { Sender } from "./packages.js";

const JOINED_BYTES = 64 * 1024;
const [TEXT, COMMA] = [1, Buffer.from(",")];

export class Batch {
  constructor(pieces, count, lastId, cursor, news) {
    this.size = pieces.reduce((size, piece) => size + piece.length, 0);
    this.isSmall = this.size <= JOINED_BYTES;
    this.pieces = this.isSmall ? [Buffer.concat(pieces, this.size)] : pieces;
    this.count = count;
    this.lastId = lastId;
    this.cursor = cursor;
    this.news = news;
    this.wrapped = new Map();
  }

  /** What keeping this batch takes beside the log, about. */
  get bytesHeld() {
    return this.isSmall ? this.size : 8 * this.pieces.length;
  }

  /** `frame(this)`, computed once if the batch is small. */
  shared(frame) {
    if (!this.isSmall) return frame(this);
    let made = this.wrapped.get(frame);
    if (made === undefined) this.wrapped.set(frame, (made = frame(this)));
    return made;
  }

  text() {
    return Buffer.concat(this.pieces, this.size).toString();
  }
}

/** The notifications of a batch, with what stands before and after them. */
export function piecesOf(encoded, cursor, missed) {
  const pieces = [Buffer.from('{"notifications":[')];
  for (const each of encoded) {
    if (pieces.length > 1) pieces.push(COMMA);
    pieces.push(each);
  }
  pieces.push(Buffer.from(`],"cursor":"${cursor}","missed":${missed}}`));
  return pieces;
}

/** An unmasked text frame (RFC 6455, section 5.2), in pieces to write: one, if the batch is small. */
export function textFrame(batch) {
  if (!batch.isSmall) return [frameHeader(batch.size), ...batch.pieces];
  return [textFrameOf(batch.pieces[0])];
}

/** A frame in one piece. `ws` masks nothing that a server sends, and so leaves the payload as it is. */
export function textFrameOf(payload) {
  return Buffer.concat(Sender.frame(payload, { fin: true, opcode: TEXT, mask: false, readOnly: true, rsv1: false }));
}

/** Only for what takes more than 65,535 bytes. */
function frameHeader(size) {
  const header = Buffer.alloc(10);
  header[0] = 0x80 | TEXT;
  header[1] = 127;
  header.writeBigUInt64BE(BigInt(size), 2);
  return header;
}

/** Write all pieces in one go. False if the socket keeps some of it, and says `drain` when it does not any more. */
export function writeAll(socket, pieces) {
  if (pieces.length === 1) return socket.write(pieces[0]);
  socket.cork();
  for (const piece of pieces) socket.write(piece);
  socket.uncork();
  return !socket.writableNeedDrain;
}
