/**
 * Under which names the server answers, and the forms of a request's target (RFC 9112, section 3).
 *
 * Rules, as in servers/hosts.py:
 * 1. A server that listens on this machine only is reached by names of this machine only: loopback's, the address
 *    it is bound to, those of `allow_host`. Any other is 421: a page elsewhere can have its own name lead to
 *    127.0.0.1 (DNS rebinding), but its requests bear that name.
 * 2. A server that others can reach answers under any name.
 * 3. In an absolute target the host is in the target, and counts for all that looks at Host.
 */

import { isLoopback } from "./addresses.js";
import { BadRequest, Misdirected, NotFound, NotImplemented } from "./refusals.js";

const HOST = /^(\[[0-9A-Fa-f:.]+\]|(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+)(?::[0-9]{0,5})?$/;
const ABSOLUTE = /^([A-Za-z][A-Za-z0-9+.-]*):\/\/([^/?]*)(.*)$/;
const SCHEMES = ["http", "ws"];

/** The name or address in `name:port`, in lower case and without brackets; null if it is not that. */
function nameOf(host) {
  const match = HOST.exec(host);
  return match ? match[1].replace(/^\[|\]$/g, "").replace(/\.$/, "").toLowerCase() : null;
}

/** Returns what holds a request against the rules, and throws what refuses it. */
export function hostCheck(settings) {
  const bound = settings.host.toLowerCase();
  const allowed = new Set([bound, ...settings.allow_host.map(nameOf)]);
  const known = new Map();

  const refusal = (host) => {
    const name = nameOf(host);
    if (name === null) {
      return new BadRequest("Host is not one name or address, with a port or without (RFC 9112, section 3.2).");
    }
    if (!isLoopback(bound) || isLoopback(name) || allowed.has(name)) return null;
    return new Misdirected(
      "This server listens on its own machine only, and not under this name; ask for localhost, " +
        "or serve with --allow-host.",
    );
  };

  return (request) => {
    const { httpVersion } = request;
    if (httpVersion !== "1.1" && httpVersion !== "1.0") {
      throw new BadRequest("This server speaks HTTP/1.1 and HTTP/1.0.", { Connection: "close" });
    }
    refuseSecondHost(request.rawHeaders);
    const coding = request.headers["transfer-encoding"];
    if (coding !== undefined && httpVersion === "1.0") {
      throw new BadRequest("HTTP/1.0 has no Transfer-Encoding (RFC 9112, section 6.1).", { Connection: "close" });
    }
    if (coding !== undefined && coding.toLowerCase() !== "chunked") {
      throw new NotImplemented("Send the body without Transfer-Encoding, or chunked.", { Connection: "close" });
    }
    const absolute = request.url.startsWith("/") ? null : ABSOLUTE.exec(request.url);
    if (absolute) takeTarget(request, absolute);
    if (request.url.includes("#")) throw new BadRequest("A target has no fragment (RFC 9112, section 3.2.1).");
    const { host } = request.headers;
    if (host === undefined) {
      if (request.httpVersion === "1.1") throw new BadRequest("The Host header is missing (RFC 9112, section 3.2).");
      return;
    }
    let refused = known.get(host);
    if (refused === undefined) {
      refused = refusal(host);
      if (known.size >= 256) known.clear();
      known.set(host, refused);
    }
    if (refused) throw refused;
    if (request.url.startsWith("//")) throw new NotFound("There is nothing here: a path begins with one slash.");
  };
}

/** Node keeps the first, and says nothing of the others. */
function refuseSecondHost(rawHeaders) {
  let hosts = 0;
  for (let at = 0; at < rawHeaders.length; at += 2) {
    if (rawHeaders[at].length === 4 && rawHeaders[at].toLowerCase() === "host") hosts += 1;
  }
  if (hosts > 1) throw new BadRequest("Give Host only once (RFC 9112, section 3.2).", { Connection: "close" });
}

/** Section 3.2.2: let the host of an absolute target replace the header's. */
function takeTarget(request, [, scheme, host, rest]) {
  if (!SCHEMES.includes(scheme.toLowerCase())) {
    throw new Misdirected("The target's scheme is not http, which is all that is served here.");
  }
  if (request.headers.host !== undefined) request.headers.host = host;
  request.url = rest.startsWith("/") ? rest : `/${rest}`;
}
