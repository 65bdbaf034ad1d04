/**
 * JSON, checked and made compact without reading its numbers.
 *
 * JSON.parse rounds integers beyond 2^53, makes 1 of 1.0 and Infinity of 1e400, so a value that went through it
 * is not what was sent. Here text goes in and text comes out:
 *
 * Rules:
 * 1. White space between tokens goes. A number keeps its digits.
 * 2. A string with escapes is written anew, as UTF-8 with only the escapes that JSON asks for, so that the same
 *    string is always the same bytes. Other strings are taken as they are.
 * 3. What no reader can be given is refused: NaN, Infinity (also as 1e400), lone surrogates, integers of more than
 *    MAX_DIGITS digits, what is nested deeper than MAX_NESTING.
 * 4. Reading ends as soon as what is kept exceeds `mostKept`: refusing costs less than accepting.
 */

import { BadRequest, TooLarge } from "./refusals.js";

export const MAX_NESTING = 100;
// As many as our other servers read.
const MAX_DIGITS = 4300;

const PLAIN = /[^"\\\u0000-\u001f]*/y;
const NUMBER = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/y;
const NOT_NUMBERS = ["NaN", "Infinity", "-Infinity"];
const WORDS = ["true", "false", "null"];
const LONE_SURROGATE = /\p{Surrogate}/u;
const [TAB, LF, CR, SPACE, QUOTE, COMMA, COLON, BACKSLASH] = [9, 10, 13, 32, 34, 44, 58, 92];
const [OPEN_LIST, END_LIST, OPEN_OBJECT, END_OBJECT] = [91, 93, 123, 125];

const bad = (detail) => new BadRequest(`The body is not JSON: ${detail}.`);

/** One text, read from its beginning to its end. */
class Scanner {
  constructor(text, mostKept) {
    this.text = text;
    this.at = 0;
    // All up to `copied` is in `kept`, as it is to be kept.
    this.kept = [];
    this.copied = 0;
    this.dropped = 0;
    this.mostKept = mostKept;
  }

  fail(what) {
    if (this.at >= this.text.length) throw bad("it ends too soon");
    throw bad(`${what} at character ${this.at + 1}`);
  }

  /** Keep `by` instead of what stands between two places. */
  replace(start, end, by) {
    this.kept.push(this.text.slice(this.copied, start), by);
    this.copied = end;
    this.dropped += end - start - by.length;
  }

  space() {
    const { text } = this;
    const start = this.at;
    let at = start;
    for (let code; (code = text.charCodeAt(at)) <= SPACE; at++) {
      if (code !== SPACE && code !== LF && code !== CR && code !== TAB) break;
    }
    if (at > start) {
      this.at = at;
      this.replace(start, at, "");
    }
  }

  /** Whether this character comes next; it is passed over. */
  takes(code) {
    if (this.text.charCodeAt(this.at) !== code) return false;
    this.at += 1;
    return true;
  }

  /** A value of the outermost object, as the text to keep. */
  member() {
    this.kept = [];
    this.copied = this.at;
    this.value(1);
    this.kept.push(this.text.slice(this.copied, this.at));
    return this.kept.join("");
  }

  /** A value inside of so many lists and objects. */
  value(depth) {
    const code = this.text.charCodeAt(this.at);
    if (this.at - this.dropped > this.mostKept) {
      throw new TooLarge(
        `The notification takes more than ${this.mostKept} bytes, white space and escapes apart ` +
          "(max_notification_bytes).",
      );
    }
    if (code === QUOTE) this.string();
    else if (code === OPEN_OBJECT) this.object(depth + 1);
    else if (code === OPEN_LIST) this.list(depth + 1);
    else if (!this.number() && !this.word()) this.fail("no value");
  }

  list(depth) {
    this.open(depth);
    if (this.takes(END_LIST)) return;
    do {
      this.space();
      this.value(depth);
      this.space();
    } while (this.takes(COMMA));
    if (!this.takes(END_LIST)) this.fail("neither , nor ]");
  }

  object(depth, onMember = null) {
    this.open(depth);
    if (this.takes(END_OBJECT)) return;
    do {
      this.space();
      if (this.text.charCodeAt(this.at) !== QUOTE) this.fail("no member's name");
      const name = this.string();
      this.space();
      if (!this.takes(COLON)) this.fail("no :");
      this.space();
      if (onMember) onMember(name());
      else this.value(depth);
      this.space();
    } while (this.takes(COMMA));
    if (!this.takes(END_OBJECT)) this.fail("neither , nor }");
  }

  open(depth) {
    if (depth > MAX_NESTING) {
      throw new BadRequest(`The JSON is nested deeper than ${MAX_NESTING} levels; flatten it.`);
    }
    this.at += 1;
    this.space();
  }

  /** Pass over a string; returns what gives its value. */
  string() {
    const { text } = this;
    const start = this.at;
    PLAIN.lastIndex = start + 1;
    PLAIN.test(text);
    let at = PLAIN.lastIndex;
    if (text.charCodeAt(at) === QUOTE) {
      this.at = at + 1;
      return () => text.slice(start + 1, at);
    }
    for (let code; (code = text.charCodeAt(at)) !== QUOTE; at += code === BACKSLASH ? 2 : 1) {
      if (!(code >= SPACE)) {
        this.at = at;
        this.fail("a string with a control character, or without end,");
      }
    }
    let value;
    try {
      value = JSON.parse(text.slice(start, at + 1));
    } catch {
      this.fail("a string with a bad escape");
    }
    if (LONE_SURROGATE.test(value)) {
      throw new BadRequest("The data holds a lone surrogate, which UTF-8 cannot encode.");
    }
    this.replace(start, at + 1, JSON.stringify(value));
    this.at = at + 1;
    return () => value;
  }

  number() {
    NUMBER.lastIndex = this.at;
    const match = NUMBER.exec(this.text);
    if (!match) return false;
    const [digits, fraction, exponent] = match;
    if (!fraction && !exponent) {
      if (digits.length > MAX_DIGITS) this.fail(`an integer of more than ${MAX_DIGITS} digits`);
    } else if (!Number.isFinite(Number(digits))) {
      throw new BadRequest("A number in the data is too large: it would be read as infinite.");
    }
    this.at += digits.length;
    return true;
  }

  word() {
    const { text, at } = this;
    for (const word of NOT_NUMBERS) {
      if (text.startsWith(word, at)) throw bad(`${word} is not a JSON number`);
    }
    const word = WORDS.find((each) => text.startsWith(each, at));
    if (!word) return false;
    this.at += word.length;
    return true;
  }
}

/** The members of an object: a Map from each name to the compact text of its value; null if it is no object. */
export function membersOf(text, mostKept = Infinity) {
  const scanner = new Scanner(text, mostKept);
  const members = new Map();
  scanner.space();
  const isObject = text.charCodeAt(scanner.at) === OPEN_OBJECT;
  if (isObject) scanner.object(1, (name) => members.set(name, scanner.member()));
  else scanner.value(0);
  scanner.space();
  if (scanner.at < text.length) scanner.fail("more than one value");
  return isObject ? members : null;
}
