"""Names and addresses of hosts, as they stand in Host, in X-Forwarded-For and in options."""

import ipaddress
import re

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+)(?::[0-9]{0,5})?")
"""uri-host and port (RFC 9110, section 7.2)."""


def host_of(text: str) -> str | None:
    """The name or address in `name:port`, in lower case and without brackets; None if it is not that."""
    match = HOST.fullmatch(text)
    return match[1].strip("[]").rstrip(".").lower() if match else None


def address_of(text: str) -> Address | None:
    """An IP address, of IPv4 where IPv6 only wraps it; None if it is none."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def is_loopback(name: str) -> bool:
    """Whether this is a name or an address of the machine itself (RFC 6761, section 6.3)."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    address = address_of(name)
    return address is not None and address.is_loopback
