"""A simulated IoT feed on the stream `sensors`: a few rooms' sensors, one reading a second each.

It is read while somebody watches, as the race is, so a laptop left open overnight is not filled with
readings. Each value is a random walk that is pulled back to its usual level: it looks alive, and stays in
range.
"""

import json
import random
import threading
import time
from typing import NamedTuple

from servers.demo.race import LOOK_S, WATCHED_S
from servers.drafts import parse_draft
from servers.stream import Streams

STREAM = "sensors"


class Sensor(NamedTuple):
    """A simulated device: what it measures, its usual level, and how far a second may move it."""

    name: str
    unit: str
    usual: float
    step: float


SENSORS = (
    Sensor("Greenhouse", "°C", 24.0, 0.25),
    Sensor("Cold store", "°C", -18.0, 0.2),
    Sensor("Workshop", "dB", 62.0, 2.0),
    Sensor("Classroom", "ppm CO₂", 850.0, 18.0),
    Sensor("Wind turbine", "rpm", 14.0, 0.5),
    Sensor("Rain barrel", "%", 57.0, 0.6),
)


class SensorFeed:
    """The thread that publishes readings while a page looks."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self._values = {sensor.name: sensor.usual for sensor in SENSORS}
        self._watched_s = -WATCHED_S
        self._lock = threading.Lock()
        self._running = False

    def watch(self) -> None:
        """Note that somebody looks now."""
        with self._lock:
            self._watched_s = time.monotonic()
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, daemon=True, name="sensor feed").start()

    def _run(self) -> None:
        turn = 0
        while not self._streams.stopping:
            if time.monotonic() - self._watched_s > WATCHED_S:
                time.sleep(LOOK_S)
                continue
            self._read(SENSORS[turn % len(SENSORS)])
            turn += 1
            time.sleep(1 / len(SENSORS))

    def _read(self, sensor: Sensor) -> None:
        value = self._values[sensor.name]
        value += random.gauss(0, sensor.step) + (sensor.usual - value) * 0.02
        self._values[sensor.name] = value
        data = {"sensor": sensor.name, "unit": sensor.unit, "value": round(value, 1), "simulated": True}
        self._streams.to_publish(STREAM).publish(parse_draft(json.dumps({"data": data})))
