# No `from __future__ import annotations` here: c104 checks the annotations of its callbacks and wants the types themselves.
"""The yardstick for field.iec104_vs_c104: c104 as client, one callback a point that reads value, quality and time. [bench]

`python -m tests.bench.c104_client PORT OBJECTS POINTS` prints the CPU seconds that a point cost this whole process.
"""

import os
import sys
import time

os.environ["TZ"] = "UTC"
time.tzset()

import c104  # noqa: E402

PATIENCE_S = 60.0


class Reader:
    """Counts and reads every value."""

    def __init__(self) -> None:
        self.points = 0
        self.last: tuple[object, object, object] = (None, None, None)

    def take(self, point: c104.Point, previous_info: c104.Information, message: c104.IncomingMessage) -> c104.ResponseState:
        self.last = (point.value, point.quality, point.recorded_at)
        self.points += 1
        return c104.ResponseState.SUCCESS


def main(port: int, objects: int, expected: int) -> float:
    client, reader = c104.Client(tick_rate_ms=100), Reader()
    connection = client.add_connection("127.0.0.1", port, init=c104.Init.NONE)
    assert connection is not None
    station = connection.add_station(1)
    assert station is not None
    for address in range(1, objects + 1):
        point = station.add_point(address, c104.Type.M_ME_TF_1)
        assert point is not None
        point.on_receive(callable=reader.take)
    started, end = time.process_time(), time.monotonic() + PATIENCE_S
    client.start()
    while reader.points < expected and time.monotonic() < end:
        time.sleep(0.01)
        if connection.state == c104.ConnectionState.OPEN_MUTED:
            connection.unmute()  # the library sometimes forgets its STARTDT
    cost = (time.process_time() - started) / max(reader.points, 1)
    client.stop()
    return cost


if __name__ == "__main__":
    print(main(*(int(argument) for argument in sys.argv[1:4])), flush=True)
