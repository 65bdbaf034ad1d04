"""Who takes part in a class: browsers that bear a cookie which this server signed.

A class sits behind one address, so an address cannot be what limits are counted by; and a word that a browser
makes up cannot either, since it can make up any number. So each browser is given a signed word with its first
page, or with what it first sends to the class, and is one participant by it.

Rules:
1. An address may bring `MAX_OF_ADDRESS` participants; once it has been here for `OPEN_S` no more than
   `NEW_A_MINUTE` new ones a minute. Who was silent for `GONE_S` makes way for a new one of his address.
2. Who bears no cookie is known by the address and his own word, and is given the cookie again.
3. Whom the teacher has removed does not come back by the same cookie.
4. `MAX_PARTICIPANTS`, `MAX_ADDRESSES` and `MAX_REMOVED` are remembered; the longest silent is forgotten
   first. Who was forgotten is still known by the signature.
"""

import hmac
import secrets
import threading
import time
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Any

from servers.addresses import Addresses
from servers.demo.classroom import GONE_S, ClassFull, TooSoon
from servers.demo.guard import cookie_value

COOKIE = "wirelab_participant"
MAX_OF_ADDRESS = 80
OPEN_S = 120.0
NEW_A_MINUTE = 10
MINUTE_S = 60.0
AWAY_S = 600.0
MAX_PARTICIPANTS = 1000
MAX_ADDRESSES = 1000
MAX_REMOVED = 1000


class Removed(Exception):
    """The teacher has removed this participant."""


@dataclass
class Participant:
    """One browser."""

    address: str
    word: str | None
    last_s: float


@dataclass
class Address:
    """What has come from one address."""

    opened_s: float
    last_s: float
    new_s: deque[float] = field(default_factory=deque)


class Participants:
    """All of them; every method may be called from any thread."""

    def __init__(self, addresses: Addresses) -> None:
        self._key = secrets.token_bytes(32)
        self._addresses = addresses
        self._lock = threading.Lock()
        self._participants: OrderedDict[str, Participant] = OrderedDict()
        self._by_word: dict[tuple[str, str], str] = {}
        self._from: OrderedDict[str, Address] = OrderedDict()
        self._removed: OrderedDict[str, None] = OrderedDict()

    def signed(self, environ: dict[str, Any]) -> str | None:
        """Which participant the request's cookie names, if this server has signed it."""
        name, _, signature = cookie_value(environ, COOKIE).partition(".")
        if signature and hmac.compare_digest(signature.encode(), self._sign(name).encode()):
            return name
        return None

    def cookie(self, name: str) -> str:
        """What the browser is given to be this participant."""
        return f"{name}.{self._sign(name)}"

    def client(self, environ: dict[str, Any]) -> str:
        """Whom a rate is counted for: the participant, else the address."""
        name = self.signed(environ)
        if name is None or name in self._removed:
            return self._addresses.client(environ)
        with self._lock:
            known = self._participants.get(name)
            if known is not None:
                known.last_s = time.monotonic()
                self._participants.move_to_end(name)
        return f"participant {name}"

    def admit(self, environ: dict[str, Any], word: str | None = None, now_s: float | None = None) -> str:
        """The participant that the request comes from, a new one if need be.

        Raises Removed, ClassFull or TooSoon.
        """
        now_s = time.monotonic() if now_s is None else now_s
        address = self._addresses.client(environ)
        name = self.signed(environ)
        with self._lock:
            if name is None and word is not None:
                name = self._by_word.get((address, word))
            if name in self._removed:
                raise Removed("The teacher has taken you out of this class.")
            known = self._participants.get(name) if name else None
            if name is None or known is None:
                name = self._add(name, address, word, now_s)
            else:
                known.last_s = now_s
                self._participants.move_to_end(name)
            if here := self._from.get(address):
                here.last_s = now_s
                self._from.move_to_end(address)
            return name

    def remove(self, name: str) -> None:
        """Do not let this one come back."""
        with self._lock:
            self._removed[name] = None
            if len(self._removed) > MAX_REMOVED:
                self._removed.popitem(last=False)

    def _sign(self, name: str) -> str:
        return hmac.digest(self._key, name.encode(), "sha256").hex()[:32]

    def _add(self, name: str | None, address: str, word: str | None, now_s: float) -> str:
        """Remember a participant: a new one where it has no name yet. The caller holds the lock."""
        here = self._from.get(address)
        if here is None or now_s - here.last_s > AWAY_S:
            here = self._from[address] = Address(now_s, now_s)
        self._from.move_to_end(address)
        if len(self._from) > MAX_ADDRESSES:
            self._from.popitem(last=False)
        mine = [each for each, known in self._participants.items() if known.address == address]
        if len(mine) >= MAX_OF_ADDRESS:
            longest = min(mine, key=lambda each: self._participants[each].last_s)
            if now_s - self._participants[longest].last_s < GONE_S:
                raise ClassFull(
                    f"All {MAX_OF_ADDRESS} places that one address may have in the class are taken."
                )
            self._forget(longest)
        if name is None:
            while here.new_s and now_s - here.new_s[0] >= MINUTE_S:
                here.new_s.popleft()
            if now_s - here.opened_s >= OPEN_S:
                if len(here.new_s) >= NEW_A_MINUTE:
                    raise TooSoon(f"One address may bring {NEW_A_MINUTE} new participants a minute.")
                here.new_s.append(now_s)
            name = secrets.token_hex(8)
        self._participants[name] = Participant(address, word, now_s)
        if word is not None:
            self._by_word[address, word] = name
        if len(self._participants) > MAX_PARTICIPANTS:
            self._forget(next(iter(self._participants)))
        return name

    def _forget(self, name: str) -> None:
        gone = self._participants.pop(name)
        if gone.word is not None and self._by_word.get((gone.address, gone.word)) == name:
            del self._by_word[gone.address, gone.word]
