"""Links by the API: figures now, a month's quality, the frames of a connection."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from django.db import connection as database

from pilots.acquisition import asking
from pilots.models import Connection, FieldRequest, Link, LinkHour
from tests.api.conftest import Plant, api, problem
from tests.builders import make_connection, make_device


@pytest.fixture
def link(plant: Plant) -> Link:
    scada = make_device(plant.es, "es-SCADA", kind="scada")
    line = make_connection(plant.es, "es-rtu01", protocol="iec104")
    statistics = {"p50_ms": 12.5, "loss": 0.01, "sent": 40, "kinds": {"crc": 1}}
    Connection.objects.filter(pk=line.pk).update(state="up", statistics=statistics)
    form = {"protocol": "IEC 104", "medium": "fibre", "role": "ours", "connection": line}
    return Link.objects.create(pilot=plant.es, letter="a", end_a=scada, end_b=plant.battery, **form)


def test_a_link_of_ours_has_the_figures_of_its_connection(link: Link) -> None:
    (row,) = api().get("/pilots/es/links").json()["results"]
    figures = row["figures"]
    assert (row["letter"], row["connection"], row["state"]) == ("a", "es-rtu01", "unknown")
    assert (figures["p50_ms"], figures["p95_ms"], figures["loss"], figures["sent"], figures["retries"]) == (
        12.5,
        None,
        0.01,
        40,
        0,
    )


def test_an_observed_link_has_no_figures_and_a_foreign_pilot_no_links(link: Link, plant: Plant) -> None:
    Link.objects.update(role="observed")
    assert api().get("/pilots/es/links").json()["results"][0]["figures"] is None
    problem(api("read", pilots=[plant.nl]).get("/pilots/es/links"), 404, "unknown_pilot")


def test_a_months_quality_tells_targets_and_misses(link: Link) -> None:
    hour = datetime(2026, 10, 5, 7, tzinfo=UTC)
    measured = {"requests": 100, "lost": 1, "round_trip_p50_s": 0.1, "round_trip_p95_s": 0.15}
    LinkHour.objects.create(link=link, hour=hour, up_s=1800, down_s=1800, **measured)
    (row,) = api().get("/pilots/es/links/quality", month="2026-10").json()["results"]
    assert (row["availability_percent"], row["availability_target_percent"], row["loss_percent"]) == (50.0, 99.9, 1.0)
    assert row["misses"] == ["availability", "loss"]
    assert api().get("/pilots/es/links/quality").json()["results"][0]["availability_percent"] is None


@pytest.mark.parametrize("month", ["2026-13", "october", "2026-1", "٢٠٢٦-10"])
def test_a_month_that_is_none_is_refused(link: Link, month: str) -> None:
    assert problem(api().get("/pilots/es/links/quality", month=month), 400, "invalid_field")["field"] == "month"


@contextmanager
def answering(**answer: object) -> Iterator[None]:
    """A gateway's part: the first question that comes gets this answer."""

    def work() -> None:
        try:
            for _ in range(200):
                if FieldRequest.objects.filter(answer__isnull=True).update(**answer):
                    return
                time.sleep(0.01)
        finally:
            database.close()

    thread = threading.Thread(target=work)
    thread.start()
    yield
    thread.join()


@pytest.mark.django_db(transaction=True)
def test_frames_come_from_the_gateway_with_their_words(link: Link) -> None:
    with answering(answer={"count": 7, "frames": [[6, 1700000000000, True, 12, "0001", "read 2 registers"]]}):
        form = api("control").get("/connections/es-rtu01/frames", after=5).json()
    assert form["count"] == 7
    assert form["frames"] == [
        {"number": 6, "at_ms": 1700000000000, "sent": True, "length": 12, "raw": "0001", "words": "read 2 registers"}
    ]
    assert FieldRequest.objects.get().question == {"after": 5}


@pytest.mark.django_db(transaction=True)
def test_no_gateway_is_said_so(link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "PATIENCE_S", 0.2)
    assert "No gateway answered" in problem(api("control").get("/connections/es-rtu01/frames"), 503, "no_gateway")["detail"]


def test_frames_need_control_a_whole_pilot_and_a_number(link: Link, plant: Plant) -> None:
    path = "/connections/es-rtu01/frames"
    problem(api("read").get(path), 403, "not_authorised")
    problem(api("control", pilots=[plant.nl]).get(path), 404, "not_found")
    problem(api("control", devices=[plant.battery]).get(path), 404, "not_found")
    problem(api("control").get("/connections/es-push/frames"), 404, "not_found")
    assert problem(api("control").get(path, after="many"), 400, "invalid_field")["field"] == "after"
