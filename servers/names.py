"""Names and addresses of hosts, as they stand in Host and in options."""

import ipaddress
import re

HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+)(?::[0-9]{0,5})?")
"""uri-host and port (RFC 9110, section 7.2)."""


def host_of(text: str) -> str | None:
    """The name or address in `name:port`, in lower case and without brackets; None if it is not that."""
    match = HOST.fullmatch(text)
    return match[1].strip("[]").rstrip(".").lower() if match else None


def is_loopback(name: str) -> bool:
    """Whether this is a name or an address of the machine itself (RFC 6761, section 6.3)."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback
