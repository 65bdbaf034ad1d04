"""Who a request comes from, for what each client has a share of.

Rules:
1. A client is an address; in IPv6 the first 64 bits of it, since a host there has all the rest.
2. X-Forwarded-For is believed if the connection comes from a trusted proxy, and nobody else's: the client is
   the last address in it that is no trusted proxy's. All that is no address there is one client.
3. Loopback and trusted proxies have no share of their own: they may take all that there is.
"""

import ipaddress
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

from servers.names import Address, address_of

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

UNKNOWN = "unknown"
REMEMBERED = 10_000


def networks(texts: Iterable[str]) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """Addresses or networks such as 10.0.0.0/8; raises ValueError."""
    return [ipaddress.ip_network(text, strict=False) for text in texts]


class Addresses:
    """Tells clients apart, by one server's settings."""

    def __init__(self, trusted_proxy: Iterable[str]) -> None:
        self._trusted = networks(trusted_proxy)
        self._tell = lru_cache(maxsize=REMEMBERED)(self._client_and_share)

    def client(self, environ: "WSGIEnvironment") -> str:
        """Whom a request comes from."""
        return self._of(environ.get("REMOTE_ADDR", ""), environ.get("HTTP_X_FORWARDED_FOR", ""))[0]

    def share(self, environ: "WSGIEnvironment") -> str | None:
        """Whose share a request's subscriber takes; None if he may take all that there is."""
        return self.share_of(environ.get("REMOTE_ADDR", ""), environ.get("HTTP_X_FORWARDED_FOR", ""))

    def share_of(self, peer: str, forwarded: str) -> str | None:
        """The same, by the connection's address and the field X-Forwarded-For."""
        client, has_share = self._of(peer, forwarded)
        return client if has_share else None

    def _of(self, peer: str, forwarded: str) -> tuple[str, bool]:
        return self._tell(peer, forwarded if self._trusted else "")

    def _client_and_share(self, peer: str, forwarded: str) -> tuple[str, bool]:
        address = _parse(peer)
        hops = forwarded.split(",") if forwarded else []
        while address is not None and self._is_trusted(address) and hops:
            address = _parse(hops.pop())
        if address is None:
            return UNKNOWN, True
        has_share = not (address.is_loopback or self._is_trusted(address))
        if has_share and address.version == 6:
            return str(ipaddress.ip_network((address, 64), strict=False)), True
        return str(address), has_share

    def _is_trusted(self, address: Address) -> bool:
        return any(address in network for network in self._trusted)


def _parse(text: str) -> Address | None:
    """An address, perhaps with a port, in brackets or quotes."""
    bare = text.strip().strip('"')
    if bare.startswith("["):
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:
        bare = bare.partition(":")[0]
    return address_of(bare.partition("%")[0])
