/**
 * What a publisher sends, before it is accepted: checked, and its data encoded once for every reader.
 */

import { membersOf } from "./json.js";
import { BadRequest } from "./refusals.js";

export const ENVELOPE_BYTES = 1024;
export const KEY_RULE = "1 to 64 visible ASCII characters (0x21 to 0x7E)";
const KEY = /^[!-~]{1,64}$/;
const MEMBERS = ["data", "due_us", "key"];
const DUE_US = /^-?[0-9]+$/;
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export const isKey = (text) => typeof text === "string" && KEY.test(text);

/**
 * Read `{"data":…,"due_us":…,"key":…}` from bytes; all but `data` may be left out.
 *
 * Returns {data, due_us, key, sourceLength}: `data` is compact JSON text, of which `maxBytes` are looked at.
 */
export function parseDraft(body, maxBytes) {
  let text;
  try {
    text = utf8.decode(body);
  } catch {
    throw new BadRequest("The body is not UTF-8; send JSON in UTF-8.");
  }
  return draftOf(membersOf(text, maxBytes + ENVELOPE_BYTES), body.length);
}

function draftOf(members, sourceLength) {
  if (!members?.has("data")) {
    throw new BadRequest('The body must be a JSON object with a "data" member.');
  }
  for (const name of members.keys()) {
    if (!MEMBERS.includes(name)) {
      const shown = JSON.stringify(name.slice(0, 40));
      throw new BadRequest(`Unknown member ${shown}; a notification has only ${MEMBERS.join(", ")}.`);
    }
  }
  const due = members.get("due_us");
  const due_us = due === undefined ? null : Number(due);
  if (due !== undefined && !(DUE_US.test(due) && due_us >= 0 && due_us < 2 ** 53)) {
    throw new BadRequest("due_us must be an integer, 0 <= due_us < 2^53, in microseconds of Unix time.");
  }
  let key = null;
  if (members.has("key")) {
    const given = members.get("key");
    key = given.startsWith('"') ? JSON.parse(given) : null;
    if (!isKey(key)) throw new BadRequest(`key must be a string of ${KEY_RULE}.`);
  }
  return { data: members.get("data"), due_us, key, sourceLength };
}
