"""Frames on their way to the browsers: numbered without gaps, in order, and honest about what was lost."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import fields

import orjson
import pytest
import redis

from pilots.live import hub as hub_module
from pilots.live.frames import Change
from pilots.live.hub import Hub, RedisHub, channel_of
from tests.waiting import until

Heard = list[tuple[int, str, bool]]

#: Journeys run their installations on database 1.
CHANNEL = channel_of("redis://localhost/0")


def change(pilot: str = "es", value: float = 1.0) -> Change:
    return Change(pilot, points=[[f"{pilot}-STO01/active_power", value, 0, 0, 0]])


def listening(hub: Hub, pilot: str = "es") -> Heard:
    heard: Heard = []
    hub.subscribe(pilot, lambda n, text, gap: heard.append((n, text, gap)))
    return heard


def test_frames_are_numbered_from_one_up_in_one_epoch() -> None:
    hub = Hub()
    heard = listening(hub)
    hub.publish([change(value=float(n)) for n in range(3)])
    frames = [orjson.loads(text) for _, text, _ in heard]
    assert [frame["n"] for frame in frames] == [1, 2, 3]
    assert {frame["epoch"] for frame in frames} == {hub.epoch}
    assert [frame["points"][0][1] for frame in frames] == [0.0, 1.0, 2.0]


def test_each_pilot_has_its_own_numbers() -> None:
    hub = Hub()
    hub.publish([change("nl"), change("nl")])
    heard = listening(hub)
    hub.publish([change("nl"), change("es")])
    assert [n for n, _, _ in heard] == [1]
    assert hub.number("nl") == 3


def test_a_listener_is_told_where_it_comes_in() -> None:
    hub = Hub()
    hub.publish([change()] * 4)
    heard: Heard = []
    start = hub.subscribe("es", lambda n, text, gap: heard.append((n, text, gap)))
    hub.publish([change()])
    assert (start, heard[0][0]) == (4, 5)


def test_a_crowd_of_pages_gets_the_newest_values_and_states_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub()
    heard = listening(hub)
    crowd = [lambda n, text, gap: None for _ in range(hub_module.FEW)]
    for each in crowd:
        hub.subscribe("es", each)
    monkeypatch.setattr(hub_module, "PAGE_S", 3600.0)
    hub.publish([change(value=1.0), change(value=2.0), Change("es", points=[["es-PV01/active_power", 5.0, 0, 0, 0]])])
    assert [orjson.loads(text)["points"][0][1] for _, text, _ in heard] == [1.0]
    hub.publish([Change("es", setpoints=[{"id": "x", "state": "executed"}])])
    assert [n for n, _, _ in heard] == [1, 2]
    frame = orjson.loads(heard[1][1])
    assert [(row[0], row[1]) for row in frame["points"]] == [("es-STO01/active_power", 2.0), ("es-PV01/active_power", 5.0)]
    assert frame["setpoints"] == [{"id": "x", "state": "executed"}]


def test_values_that_gather_for_a_crowd_leave_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub()
    heard = listening(hub)
    for number in range(hub_module.FEW):
        hub.subscribe("es", lambda n, text, gap, number=number: None)  # type: ignore[misc]
    monkeypatch.setattr(hub_module, "PAGE_S", 0.05)
    hub.publish([change(value=1.0), change(value=2.0), change(value=3.0)])
    until(lambda: len(heard) == 2)
    assert orjson.loads(heard[1][1])["points"][0][1] == 3.0


def test_who_left_hears_nothing() -> None:
    hub = Hub()
    heard: Heard = []

    def listener(n: int, text: str, gap: bool) -> None:
        heard.append((n, text, gap))

    hub.subscribe("es", listener)
    hub.unsubscribe("es", listener)
    hub.publish([change()])
    assert heard == []


def test_many_publishers_give_every_listener_one_order() -> None:
    hub = Hub()
    heard = listening(hub)
    threads = [threading.Thread(target=lambda: hub.publish([change()] * 50)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [n for n, _, _ in heard] == list(range(1, 201))


def test_another_hub_has_another_epoch() -> None:
    assert Hub().epoch != Hub().epoch


def test_the_gateway_is_woken_until_it_leaves() -> None:
    hub = Hub()
    woken: list[str] = []
    hub.on_wake(woken.append)
    hub.wake("es-rtu01")
    hub.forget_waker(woken.append)
    hub.wake("es-rtu01")
    assert woken == ["es-rtu01"]


if "TEST_REDIS_URL" in os.environ:
    # Only `make test` starts a Redis; without one these tests do not exist, rather than being skipped in silence.
    URL = os.environ["TEST_REDIS_URL"]

    @pytest.fixture
    def pair() -> Iterator[tuple[RedisHub, RedisHub]]:
        """A publisher and a web process, both subscribed."""
        hubs = RedisHub(URL), RedisHub(URL)
        client = redis.Redis.from_url(URL)
        until(lambda: dict(client.pubsub_numsub(CHANNEL))[CHANNEL.encode()] == 2)
        yield hubs
        for hub in hubs:
            hub.close()
        until(lambda: dict(client.pubsub_numsub(CHANNEL))[CHANNEL.encode()] == 0)
        client.close()

    def test_a_change_reaches_the_other_process(pair: tuple[RedisHub, RedisHub]) -> None:
        heard = listening(pair[1])
        parts = {
            "points": [["es-STO01/soc", 7.0, 0, 0, 0]],
            "links": [["a", "x", "y", "up", 0, "", None]],
            "setpoints": [{"id": "1"}],
        }
        parts |= {"guards": {"off": []}, "supply": {"es-AN01": ["live"]}}
        assert {field.name for field in fields(Change)} == {"pilot", *parts}
        pair[0].publish([Change("es", **parts)])  # type: ignore[arg-type]
        until(lambda: heard)
        frame = orjson.loads(heard[0][1])
        assert {name: frame[name] for name in parts} == parts
        assert heard[0][2] is False

    def test_a_lost_message_makes_every_pilots_pages_look_anew(pair: tuple[RedisHub, RedisHub]) -> None:
        pair[0].publish([change("nl")])
        until(lambda: pair[1].number("nl") == 1)
        spain, netherlands = listening(pair[1], "es"), listening(pair[1], "nl")
        pair[0]._sent += 1  # a message that Redis lost
        pair[0].publish([change("nl")])
        until(lambda: spain)
        assert spain[-1][2] is True
        assert netherlands[-1][2] is True

    def test_threads_that_publish_at_once_overtake_nobody(pair: tuple[RedisHub, RedisHub]) -> None:
        heard = listening(pair[1])
        threads = [threading.Thread(target=lambda: pair[0].publish([change()] * 200)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        until(lambda: len(heard) >= 1200)
        assert not any(gap for _, _, gap in heard)

    def test_after_a_failure_redis_is_left_alone_a_moment_and_what_was_not_sent_is_a_gap(
        pair: tuple[RedisHub, RedisHub], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pair[0].publish([change()])
        until(lambda: pair[1].number("es") == 1)
        heard, tried = listening(pair[1]), []

        def refuse(*_: object) -> None:
            tried.append(1)
            raise redis.ConnectionError

        with monkeypatch.context() as away:
            away.setattr(pair[0]._outlet, "publish", refuse)
            pair[0].publish([change()] * 5)
        assert len(tried) == 1
        # Nobody says anything more, and yet the pages hear that they missed something.
        until(lambda: heard)
        assert [gap for _, _, gap in heard] == [True]

    def test_a_restarted_publisher_is_no_gap(pair: tuple[RedisHub, RedisHub]) -> None:
        pair[0].publish([change()])
        until(lambda: pair[1].number("es") == 1)
        heard = listening(pair[1])
        newcomer = RedisHub(URL)
        newcomer.publish([change()])
        newcomer.close()
        until(lambda: heard)
        assert [gap for _, _, gap in heard] == [False]

    def test_a_publisher_first_heard_in_mid_count_is_a_gap(pair: tuple[RedisHub, RedisHub]) -> None:
        heard = listening(pair[1])
        pair[0]._sent = 5
        pair[0].publish([change()])
        until(lambda: len(heard) == 2)
        assert heard[-1][2] is True

    def test_strangers_on_the_channel_do_no_harm(pair: tuple[RedisHub, RedisHub]) -> None:
        heard = listening(pair[1])
        client = redis.Redis.from_url(URL)
        for words in (b"no JSON", b"[]", b'{"publisher": "x"}', b"7"):
            client.publish(CHANNEL, words)
        client.close()
        pair[0].publish([change()])
        until(lambda: heard)
        assert heard[0][0] == 1

    def test_wake_ups_travel_between_processes(pair: tuple[RedisHub, RedisHub]) -> None:
        woken: list[str] = []
        pair[1].on_wake(woken.append)
        pair[0].wake("es-rtu01")
        until(lambda: woken)
        assert woken == ["es-rtu01"]

    def test_a_redis_that_is_away_stops_no_publisher() -> None:
        hub = RedisHub("redis://127.0.0.1:9/0")
        hub.publish([change()])
        hub.wake("es-rtu01")
        assert hub._sent == 2  # counted, so that what was lost is a gap
        hub.close()
