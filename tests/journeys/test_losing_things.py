"""What happens when something is gone: simulators, the platform, the field process. Acknowledged means kept."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from tests.journeys.api import Json, moment, stamp
from tests.journeys.installation import CODES, Installation
from tests.journeys.peers import ForeignMeter, Pusher, Sender, Station

#: Points that are renewed at least so often are waited for; three of the others' intervals would only make the wait longer.
QUICK_S = 5.0
TAKE_OVER_S = 15.0
LOOK_S = 2.0
#: One device a protocol whose connection we hold: its loss is noticed, not only waited for.
OUR_CONNECTIONS = {"es-STO01", "bg-PM01", "nl-EVSE01"}


def quick_points(scada: Installation) -> dict[str, float]:
    """The measured points with a short period, with the age (s) at which they are old data."""
    rows = [row for code in CODES for row in scada.api.all("points", pilot=code, limit=5000)]
    return {
        f"{row['device']}/{row['point']}": row["max_age_s"]
        for row in rows
        if not row["writable"] and row["max_age_s"] is not None and row["max_age_s"] <= 3 * QUICK_S
    }


def good(scada: Installation, references: dict[str, float]) -> set[str]:
    """Those of these points that show a good value now."""
    shown = {key: row for code in CODES for key, row in scada.api.latest(pilot=code).items()}
    return {key for key in references if key in shown and shown[key]["quality"]["validity"] == "good"}


@contextmanager
def senders(scada: Installation) -> Iterator[dict[str, Sender]]:
    """A charge point and a pushing device that count on their own side what the product acknowledged."""
    key = scada.secrets()["charge_points"]["xx-EVSE01"]
    with Station(lambda: scada.ports["ocpp"], key) as station, Pusher(scada.api) as pusher:
        peers: dict[str, Sender] = {"xx/xx-EVSE01/active_power": station, "xx/xx-WX/irradiance_ghi": pusher}
        scada.until(lambda: all(sender.acknowledged for sender in peers.values()), 30, "both senders are acknowledged")
        yield peers


def check_both_sides(scada: Installation, peers: dict[str, Sender], start: datetime) -> None:
    """All that a device was told is kept stands in history, and all of history has reached the platform exactly once."""
    end = datetime.now(UTC)
    for reference, sender in peers.items():
        kept = {(row["t"], row["value"]) for row in scada.api.history([reference], start, end)}
        lost = {(value["t"], value["value"]) for value in sender.acknowledged} - kept
        assert not lost, f"{reference}: {len(lost)} of {len(sender.acknowledged)} acknowledged values are not in history"
    references = ["es/es-STO01/active_power", "de/de-GRID/active_power", "nl/nl-EVSE01/active_power", *peers]
    wanted = {_name(row) for row in scada.api.history(references, start, end)}
    assert wanted

    def missing() -> set[tuple[object, ...]]:
        return wanted - {_name(row) for entry in scada.ledger("platform") for row in entry["values"]}

    # The longest pause between two tries is a minute.
    scada.until(lambda: not missing() or None, 90, f"{len(wanted)} samples at the platform")
    check_sequences(scada.ledger("platform"))


def _name(row: Json) -> tuple[object, ...]:
    return row["device"], row["point"], row["t"], row["value"]


def check_sequences(ledger: list[Json]) -> None:
    """Per pilot and epoch: every number from the first on, each once, in order."""
    assert len({entry["key"] for entry in ledger}) == len(ledger), "a key was kept twice"
    numbers: dict[tuple[str, int], list[int]] = {}
    for entry in ledger:
        numbers.setdefault((entry["pilot"], entry["epoch"]), []).append(entry["sequence"])
    for place, found in numbers.items():
        assert found == list(range(1, len(found) + 1)), f"{place}: {found[:5]} ... {found[-5:]} of {len(found)}"


def test_without_its_simulators_a_pilot_is_old_and_comes_back_and_the_platform_misses_nothing(
    scada: Installation, foreign: ForeignMeter
) -> None:
    start = datetime.now(UTC)
    points = quick_points(scada)
    scada.until(lambda: len(good(scada, points)) > 0.9 * len(points), 30, "good values")
    with senders(scada) as peers:
        scada.children["simulators"].kill()
        killed = time.monotonic()
        held = {key: age for key, age in points.items() if key.split("/")[0] in OUR_CONNECTIONS}
        assert {key.split("/")[0] for key in held} == OUR_CONNECTIONS
        scada.until(lambda: not good(scada, held) or None, 3 * QUICK_S, "old data in three periods")
        # What is pushed to us grows old by age alone, in exactly three periods; looking at five pilots takes a moment itself.
        rest_s = killed + 3 * QUICK_S + LOOK_S - time.monotonic()
        scada.until(lambda: not good(scada, points) or None, rest_s, "old data in three periods, pushed ones too")
        # The platform is away too: what is measured meanwhile waits.
        accepted = len(scada.ledger("platform"))
        pushed = len(peers["xx/xx-WX/irradiance_ghi"].acknowledged)
        scada.until(
            lambda: time.monotonic() - killed > 20 and len(peers["xx/xx-WX/irradiance_ghi"].acknowledged) > pushed,
            40,
            "acknowledged without the platform",
        )
        assert len(scada.ledger("platform")) == accepted
        scada.start_simulators()
        scada.until(lambda: len(good(scada, points)) > 0.9 * len(points), 60, "good values again, without a restart")
    check_both_sides(scada, peers, start)


def test_killing_the_field_process_loses_nothing_acknowledged_and_writes_nothing_twice(
    scada: Installation, foreign: ForeignMeter
) -> None:
    start = datetime.now(UTC)
    with senders(scada) as peers:
        if scada.mode == "production":
            standby = scada.spawn("standby", "run_scada", "--role", "field")
            scada.until(lambda: "running" in standby.log.read_text(), 30, "a second field worker")
        number = scada.api.ask("de-STO90", "p_set", 7_100.0, valid_s=90, reason="before the kill").json()["id"]
        acknowledged = {name: len(sender.acknowledged) for name, sender in peers.items()}
        scada.children[scada.field].kill()
        killed = datetime.now(UTC)
        if scada.mode == "production":
            scada.children["field"] = scada.children.pop("standby")
            scada.until(
                lambda: taken_over(scada, killed, OURS) and listens(scada),
                TAKE_OVER_S,
                "the other field worker reads what we connect to and listens for the others",
            )
            scada.until(lambda: taken_over(scada, killed), 30, "charge points, which take their time, have come back")
        else:
            scada.start_server("all")
            scada.wait_ready()
            scada.until(lambda: taken_over(scada, killed), 30, "every pilot is read again")
        scada.until(
            lambda: all(len(sender.acknowledged) > acknowledged[name] + 3 for name, sender in peers.items()),
            30,
            "acknowledged again",
        )
        check_one_write(scada, number)
    check_both_sides(scada, peers, start)


OURS = ("es/es-STO01/active_power", "de/de-STO90/active_power")


def taken_over(scada: Installation, since: datetime, references: tuple[str, ...] = (*OURS, "nl/nl-EVSE01/active_power")) -> bool:
    """Whether a value of every protocol has been received since then."""
    try:
        return all(moment(scada.api.value(reference)["received"]) > since for reference in references)
    except ValueError:
        return False


def listens(scada: Installation) -> bool:
    """Whether a charge point would be let in."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", scada.ports["ocpp"])) == 0


def check_one_write(scada: Installation, number: str) -> None:
    """The set-point from before the kill has one honest end and reached the device at most once."""
    record = scada.until(
        lambda: found if (found := scada.api.setpoint(number))["state"] in ("executed", "failed", "expired") else None,
        60,
        "the set-point has its end",
    )
    written = [entry for entry in scada.ledger("writes") if entry["device"] == "de-STO90" and entry["value"] == 7_100.0]
    assert len(written) <= 1
    assert record["state"] != "executed" or len(written) == 1
    scada.api.send("POST", f"setpoints/{number}/cancel", json={"reason": "the journey is over"})


def test_a_message_that_was_answered_before_is_not_stored_twice(scada: Installation, foreign: ForeignMeter) -> None:
    now = datetime.now(UTC)
    row = {"device": "xx-WX", "point": "temp_ambient", "t": stamp(now), "value": 17.25, "unit": "degC"}
    first, again = (scada.api.push("xx", [row], f"journey-{stamp(now)}") for _ in range(2))
    assert first.status_code == again.status_code == 200
    assert first.json() == again.json()
    rows = scada.api.history(["xx/xx-WX/temp_ambient"], now - timedelta(seconds=1), now + timedelta(seconds=1))
    assert len([found for found in rows if found["t"] == row["t"]]) == 1
