/**
 * Every limit of the server, under the names and with the defaults of servers/settings.py.
 *
 * Each is an option (`--max-subscribers 10`), and is named in the answer that it causes.
 */

import { parseArgs } from "node:util";

const MIB = 1 << 20;

/** Name, default, least. */
const NUMBERS = [
  ["max_subscribers", 2000, 1],
  ["max_subscribers_per_address", 300, 1],
  ["max_streams", 1000, 1],
  ["max_notifications", 10_000, 1],
  ["max_notification_bytes", 2 * MIB, 256],
  ["max_log_bytes", 256 * MIB, 256],
  ["max_unaccepted_bytes", 64 * MIB, 256],
  ["ping_interval_s", 25, 0.1],
  ["request_timeout_s", 20, 0.1],
];
const LISTS = ["allow_host", "allow_origin", "trusted_proxy"];

const option = (name) => name.replaceAll("_", "-");

/** The settings and where to listen, from a command line; throws an Error whose message tells what to mend. */
export function fromArguments(words) {
  const options = {
    host: { type: "string", default: "127.0.0.1" },
    port: { type: "string", default: "8000" },
    "listen-fd": { type: "string" },
    "permessage-deflate": { type: "boolean", default: false },
  };
  for (const [name, value] of NUMBERS) options[option(name)] = { type: "string", default: String(value) };
  for (const name of LISTS) options[option(name)] = { type: "string", multiple: true, default: [] };
  const { values } = parseArgs({ args: words, options });
  const settings = {
    host: values.host,
    port: numberOf("port", values.port, 0),
    listen_fd: values["listen-fd"] === undefined ? null : numberOf("listen_fd", values["listen-fd"], 3),
    permessage_deflate: values["permessage-deflate"],
  };
  for (const [name, , least] of NUMBERS) settings[name] = numberOf(name, values[option(name)], least);
  for (const name of LISTS) settings[name] = values[option(name)];
  if (settings.max_notification_bytes > settings.max_log_bytes) {
    throw new Error("max_notification_bytes must not exceed max_log_bytes");
  }
  // JSON's \u-escapes take six bytes for one; with eight, 16 MiB can be echoed, as by our other servers.
  settings.max_body_bytes = 8 * settings.max_notification_bytes;
  settings.body_limit = `max_notification_bytes is ${settings.max_notification_bytes}`;
  return Object.freeze(settings);
}

function numberOf(name, text, least) {
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value) || value < least) {
    throw new Error(`${name} must be a number, at least ${least}, not ${text}`);
  }
  return value;
}
