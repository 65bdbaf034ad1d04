"""The class: who takes part by which transport, and the latencies that their browsers have measured.

Rules:
1. Numbers, not names: a student is a random word that the browser made up, or the participant that the
   server knows it as (`participants.py`), and is shown as a number. A participant's pages are one student.
2. Everything is bounded: `MAX_STUDENTS` take part (one silent for `GONE_S` gives the place up when it is
   needed), with `MAX_PAGES` pages each, a report holds `MAX_LATENCIES` latencies and comes `REPORTS_PER_S` at
   the most, the newest `MAX_SAMPLES` latencies are kept, and as many predictions as there may be students.
3. A report counts once, however often it is sent: each bears a number that rises.
4. Dealing gives each transport an equal share of those who are here, by chance; who comes later gets the
   transport that has the fewest.
5. Latencies are kept as they were reported, with the error of the browser's clock beside them; a negative
   one is such an error, not a delivery before its time.
6. A participant's predictions are one, the last. Others' are shown to the teacher, and to who has predicted
   too; from then on his own stay as they are.
"""

import csv
import io
import math
import random
import re
import threading
from bisect import bisect_left, insort
from collections import Counter, OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

MAX_STUDENTS = 200
MAX_PAGES = 4
MAX_LATENCIES = 100
MAX_REPORT_BYTES = 4 * 1024
REPORTS_PER_S = 2.0
MAX_SAMPLES = 100_000
HERE_S = 10.0
GONE_S = 60.0
MAX_LATENCY_MS = 600_000.0
STUDENT = re.compile(r"[a-z0-9-]{8,40}", re.ASCII)
COUNTERS = ("missed", "lost", "duplicates")
EDGES_MS = tuple(round(10 ** (step / 5), 4) for step in range(-5, 21))
"""Bounds of the histogram's bars, five a decade from 0.1 ms to 10 s; the first and the last bar are open."""
PREDICTED = ("latency_ms", "requests_per_minute")
CSV_COLUMNS = ("student", "transport", "latency_ms", "clock_error_ms", "reported_us")


class BadReport(ValueError):
    """What a browser sent cannot be counted; the text tells what to mend."""


class TooLate(Exception):
    """Who has seen others' predictions cannot change his own."""


class ClassFull(Exception):
    """There is no place left."""


class TooSoon(Exception):
    """A student reports too often."""


class Sample(NamedTuple):
    """One latency that one browser measured."""

    student: int
    transport: str
    latency_ms: float
    clock_error_ms: float | None
    reported_us: int


@dataclass
class Page:
    """One page of a student's browser."""

    report: int = 0
    counters: dict[str, dict[str, int]] = field(default_factory=dict)


@dataclass
class Student:
    """One browser that takes part."""

    number: int
    transport: str
    last_s: float
    tokens: float = REPORTS_PER_S * 2
    simulated: bool = False
    pages: OrderedDict[str, Page] = field(default_factory=OrderedDict)

    def page(self, word: str) -> Page:
        """This page's own count of reports; the longest silent is forgotten first."""
        page = self.pages.pop(word, None) or Page()
        self.pages[word] = page
        if len(self.pages) > MAX_PAGES:
            self.pages.popitem(last=False)
        return page


class Classroom:
    """All of a class's state; every method may be called from any thread."""

    def __init__(self, transports: Iterable[str]) -> None:
        self._transports = tuple(transports)
        self._lock = threading.Lock()
        self._numbers = 0
        self._round = 0
        self._reset()

    def reset(self) -> None:
        """Forget latencies and predictions, and who took part."""
        with self._lock:
            self._reset()

    def _reset(self) -> None:
        self._students: OrderedDict[str, Student] = OrderedDict()
        self._samples: deque[Sample] = deque()
        self._sorted: dict[str, list[float]] = {name: [] for name in self._transports}
        self._deliveries: Counter[str] = Counter()
        self._predictions: OrderedDict[str, dict[str, dict[str, float]]] = OrderedDict()
        self._has_seen: set[str] = set()

    def report(self, sent: Any, now_s: float, now_us: int, who: str | None = None) -> dict[str, Any]:
        """Take a browser's report, also an empty one; tells which transport it has been dealt.

        `{"student": "<word>", "report": 7, "transport": "websocket", "latencies_ms": [3.1, …],
        "clock_error_ms": 0.8, "missed": 0, "lost": 0, "duplicates": 0}`; all but `student` may be left
        out, and the counters count from the page's beginning on this transport. `who` is the participant that
        it comes from; without one the page's word is taken for it.
        Raises BadReport, ClassFull or TooSoon.
        """
        word, number, transport, latencies_ms, clock_error_ms, counters = self._parse(sent)
        with self._lock:
            student = self._admit(who or word, now_s)
            student.simulated = sent.get("simulated") is True
            student.tokens = min(REPORTS_PER_S * 2, student.tokens + (now_s - student.last_s) * REPORTS_PER_S)
            student.last_s = now_s
            if student.tokens < 1:
                raise TooSoon(f"A browser may report {REPORTS_PER_S:g} times a second.")
            student.tokens -= 1
            page = student.page(word)
            if transport and number > page.report:
                page.report = number
                page.counters[transport] = counters
                for latency_ms in latencies_ms:
                    self._add(Sample(student.number, transport, latency_ms, clock_error_ms, now_us))
            return {
                "student": student.number,
                "transport": student.transport,
                "round": self._round,
                "simulated": student.simulated,
            }

    def deal(self, now_s: float) -> None:
        """Give everybody a transport by chance, in equal shares."""
        with self._lock:
            here = [student for student in self._students.values() if now_s - student.last_s < HERE_S]
            random.shuffle(here)
            order = random.sample(self._transports, len(self._transports))
            for place, student in enumerate(here):
                student.transport = order[place % len(order)]
            self._round += 1

    def predict(self, sent: Any, who: str | None = None) -> None:
        """Keep what a participant (or a page) predicts, in the place of what was before.

        `{"page": "<word>", "predictions": {"websocket": {"latency_ms": 5, "requests_per_minute": 0}, …}}`;
        either number may be left out. Raises BadReport or TooLate.
        """
        page = word_in(sent, "page")
        predictions = sent.get("predictions") if isinstance(sent, dict) else None
        if not isinstance(predictions, dict) or not predictions.keys() <= set(self._transports):
            raise BadReport(f"predictions must be an object; its members are {', '.join(self._transports)}.")
        kept: dict[str, dict[str, float]] = {}
        for transport, values in predictions.items():
            if not isinstance(values, dict) or not values.keys() <= set(PREDICTED):
                raise BadReport(f"A prediction has only {' and '.join(PREDICTED)}.")
            kept[transport] = {name: _number(name, value, 0, 1e7) for name, value in values.items()}
        who = who or page
        with self._lock:
            if who in self._has_seen:
                raise TooLate("You have seen what others predicted, so yours stay as they are.")
            self._predictions.pop(who, None)
            self._predictions[who] = kept
            if len(self._predictions) > MAX_STUDENTS:
                self._has_seen.discard(self._predictions.popitem(last=False)[0])

    def remove(self, number: int) -> str | None:
        """Take a student out, with all that came from him; tells who it was, None if there is none."""
        with self._lock:
            whose = [who for who, student in self._students.items() if student.number == number]
            if not whose:
                return None
            who = whose[0]
            del self._students[who]
            self._predictions.pop(who, None)
            self._has_seen.discard(who)
            samples, self._samples = self._samples, deque()
            for sample in samples:
                if sample.student == number:
                    self._unsort(sample)
                    self._deliveries[sample.transport] -= 1
                else:
                    self._samples.append(sample)
            return who

    def shows_predictions(self, who: str | None) -> bool:
        """Whether this participant may see what others predicted; if so, that he has."""
        with self._lock:
            if who is None or who not in self._predictions:
                return False
            self._has_seen.add(who)
            return True

    def numbers(self) -> list[dict[str, Any]]:
        """Who takes part: what the teacher needs to remove one."""
        with self._lock:
            return [
                {"student": student.number, "transport": student.transport, "pages": len(student.pages)}
                for student in self._students.values()
            ]

    def summary(self, now_s: float, predictions: bool = True) -> dict[str, Any]:
        """What the class's page shows, perhaps with `predictions`; what has not been measured is None."""
        with self._lock:
            here = [student for student in self._students.values() if now_s - student.last_s < HERE_S]
            by_transport = Counter(student.transport for student in here)
            return {
                "students": len(here),
                "simulated_students": sum(student.simulated for student in here),
                "students_most": MAX_STUDENTS,
                "round": self._round,
                "edges_ms": EDGES_MS,
                "samples_most": MAX_SAMPLES,
                "predictions_count": len(self._predictions),
                "transports": {
                    name: self._of_transport(name, by_transport[name], predictions)
                    for name in self._transports
                },
            }

    def _of_transport(self, name: str, students: int, predictions: bool) -> dict[str, Any]:
        latencies = self._sorted[name]
        at = [0, *(bisect_left(latencies, edge) for edge in EDGES_MS), len(latencies)]
        told = [
            page.counters[name]
            for student in self._students.values()
            for page in student.pages.values()
            if name in page.counters
        ]
        shown = self._predictions.values() if predictions else ()
        return {
            "students": students,
            "deliveries": self._deliveries[name],
            "latency_ms_p50": _quantile(latencies, 0.5),
            "latency_ms_p99": _quantile(latencies, 0.99),
            "histogram": [after - before for before, after in pairwise(at)],
            **{counter: sum(each[counter] for each in told) for counter in COUNTERS},
            "predictions": {
                figure: sorted(each[name][figure] for each in shown if figure in each.get(name, {}))
                for figure in PREDICTED
            },
        }

    def latencies_csv(self) -> str:
        """Every latency that is kept, oldest first, as CSV."""
        with self._lock:
            samples = list(self._samples)
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(CSV_COLUMNS)
        writer.writerows(samples)
        return out.getvalue()

    def _parse(self, sent: Any) -> tuple[str, int, str | None, list[float], float | None, dict[str, int]]:
        if not isinstance(sent, dict):
            raise BadReport("A report is a JSON object.")
        word = word_in(sent, "student")
        transport = sent.get("transport")
        if transport is not None and transport not in self._transports:
            raise BadReport(f"transport must be one of {', '.join(self._transports)}.")
        latencies = sent.get("latencies_ms", [])
        if not isinstance(latencies, list) or len(latencies) > MAX_LATENCIES:
            raise BadReport(f"latencies_ms must be a list of {MAX_LATENCIES} numbers at the most.")
        latencies_ms = [
            _number("latencies_ms", value, -MAX_LATENCY_MS, MAX_LATENCY_MS) for value in latencies
        ]
        error = sent.get("clock_error_ms")
        clock_error_ms = None if error is None else _number("clock_error_ms", error, 0, MAX_LATENCY_MS)
        counters = {name: int(_number(name, sent.get(name, 0), 0, 1e9)) for name in COUNTERS}
        number = int(_number("report", sent.get("report", 0), 0, 1e9))
        return word, number, transport, latencies_ms, clock_error_ms, counters

    def _admit(self, who: str, now_s: float) -> Student:
        """The student that this is, who takes a place where it is a new one. The caller holds the lock."""
        student = self._students.get(who)
        if student is None:
            if len(self._students) >= MAX_STUDENTS:
                longest = next(iter(self._students))
                if now_s - self._students[longest].last_s < GONE_S:
                    raise ClassFull(f"All {MAX_STUDENTS} places of the class are taken.")
                del self._students[longest]
            self._numbers += 1
            taken = Counter(
                each.transport for each in self._students.values() if now_s - each.last_s < HERE_S
            )
            fewest = min(taken[name] for name in self._transports)
            transport = random.choice([name for name in self._transports if taken[name] == fewest])
            student = self._students[who] = Student(self._numbers, transport, now_s)
        self._students.move_to_end(who)
        return student

    def _add(self, sample: Sample) -> None:
        if len(self._samples) >= MAX_SAMPLES:
            self._unsort(self._samples.popleft())
        self._samples.append(sample)
        insort(self._sorted[sample.transport], sample.latency_ms)
        self._deliveries[sample.transport] += 1

    def _unsort(self, sample: Sample) -> None:
        """Leave a latency out of the histograms. The caller holds the lock."""
        latencies = self._sorted[sample.transport]
        del latencies[bisect_left(latencies, sample.latency_ms)]


def word_in(sent: Any, member: str) -> str:
    """The word by which a page calls itself; raises BadReport."""
    word = sent.get(member) if isinstance(sent, dict) else None
    if not isinstance(word, str) or not STUDENT.fullmatch(word):
        raise BadReport(f"{member} must be a word of 8 to 40 of a-z, 0-9 and the hyphen.")
    return word


def _number(name: str, value: Any, least: float, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadReport(f"{name} must hold numbers.")
    if not least <= value <= most:
        raise BadReport(f"{name} must be {least:g} to {most:g}.")
    return value


def _quantile(ordered: list[float], share: float) -> float | None:
    """The least value that at least this share does not exceed (the nearest rank)."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None
