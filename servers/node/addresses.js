/**
 * Who a request comes from, for the share of the subscribers that one address may have.
 *
 * Rules, as in servers/addresses.py:
 * 1. A client is an address; in IPv6 the first 64 bits of it.
 * 2. X-Forwarded-For is believed from a trusted proxy only: the client is the last address in it that is no
 *    trusted proxy's. All that is no address there is one client.
 * 3. Loopback and trusted proxies have no share of their own: they may take all that there is.
 */

import { BlockList, isIP, isIPv6 } from "node:net";

const UNKNOWN = "unknown";
const LOOPBACK = new BlockList();
LOOPBACK.addSubnet("127.0.0.0", 8, "ipv4");
LOOPBACK.addAddress("::1", "ipv6");

const contains = (list, address) => list.check(address, isIPv6(address) ? "ipv6" : "ipv4");

/** Whether this is a name or an address of the machine itself (RFC 6761, section 6.3). */
export function isLoopback(name) {
  if (name === "localhost" || name.endsWith(".localhost")) return true;
  return isIP(name) > 0 && contains(LOOPBACK, name);
}

export class Addresses {
  /** `trusted`: addresses or networks such as 10.0.0.0/8. */
  constructor(trusted) {
    this.trusted = new BlockList();
    for (const text of trusted) {
      const [address, bits] = text.split("/");
      if (isIP(address) === 0) throw new Error(`trusted_proxy: ${text} is no address or network`);
      const family = isIPv6(address) ? "ipv6" : "ipv4";
      this.trusted.addSubnet(address, bits === undefined ? (family === "ipv6" ? 128 : 32) : Number(bits), family);
    }
  }

  /** Whose share counts for this request; null for who has no share but all. */
  shareOf(request) {
    let address = parse(request.socket.remoteAddress ?? "");
    const hops = (request.headers["x-forwarded-for"] ?? "").split(",");
    while (address !== null && hops.length > 0 && hops[0] !== "" && contains(this.trusted, address)) {
      address = parse(hops.pop());
    }
    if (address === null) return UNKNOWN;
    if (contains(LOOPBACK, address) || contains(this.trusted, address)) return null;
    return isIPv6(address) ? firstHalf(address) : address;
  }
}

/** An address, perhaps with a port, in brackets or quotes; of IPv4 if IPv6 only wraps it. */
function parse(text) {
  let bare = text.trim().replaceAll('"', "");
  if (bare.startsWith("[")) bare = bare.slice(1).split("]")[0];
  else if (bare.split(":").length === 2) [bare] = bare.split(":");
  [bare] = bare.split("%");
  if (/^::ffff:[0-9.]+$/i.test(bare)) bare = bare.slice("::ffff:".length);
  return isIP(bare) > 0 ? bare : null;
}

/** The network of 64 bits that an IPv6 address is in, always in the same words. */
function firstHalf(address) {
  const [before, after = ""] = address.split("::");
  const groups = before.split(":").filter(Boolean);
  if (address.includes("::")) {
    const missing = 8 - groups.length - after.split(":").filter(Boolean).length;
    groups.push(...Array(missing).fill("0"), ...after.split(":").filter(Boolean));
  }
  return groups.slice(0, 4).map((group) => parseInt(group, 16).toString(16)).join(":");
}
