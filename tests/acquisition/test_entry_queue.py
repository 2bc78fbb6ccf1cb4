"""What waits for the writer: nothing is lost or told twice, and no value overtakes another of its device."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pilots.acquisition.batch import Entry
from pilots.acquisition.entry_queue import EntryQueue
from pilots.domain.measurement import RawReading

DEVICES = ["es-A", "es-B", "es-C"]
PUT = st.tuples(st.sampled_from(DEVICES), st.integers(1, 3), st.booleans())
DEEDS = st.lists(
    st.one_of(PUT, st.sampled_from(["look", "all", "some", "urgent"]), st.sets(st.sampled_from(DEVICES))), max_size=40
)


def entry(device: str, values: int = 1, urgent: bool = False) -> Entry:
    return Entry(device, [RawReading("active_power", float(n)) for n in range(values)], urgent=urgent)


@given(DEEDS)
def test_all_comes_out_once_in_the_order_of_its_device(deeds: list[tuple[str, int, bool] | str | set[str]]) -> None:
    queue = EntryQueue()
    came: list[Entry] = []
    seen: list[Entry] = []
    gone: list[Entry] = []
    for deed in deeds:
        if isinstance(deed, tuple):
            came.append(entry(*deed))
            queue.add(came[-1])
        elif isinstance(deed, set):
            queue.hurry(deed)
        elif deed == "look":
            seen += queue.unseen()
        elif deed == "urgent":
            taken = queue.take_urgent()
            left = {each.device for each in came if not any(each is other for other in (*gone, *taken))}
            assert not {each.device for each in taken} & left, "all of a device"
            gone += taken
        else:
            gone += queue.take(100 if deed == "all" else 3)
        waiting = [each for each in came if not any(each is other for other in gone)]
        assert (len(queue), queue.size) == (len(waiting), sum(each.size for each in waiting))
        assert queue.urgent == any(each.urgent for each in waiting)
    seen += queue.unseen()
    assert len({id(each) for each in seen}) == len(seen), "looked at once"
    waiting = queue.take(10**6)
    assert all(any(each is other for other in (*seen, *gone)) for each in waiting)
    gone += waiting
    for device in DEVICES:
        assert [id(e) for e in gone if e.device == device] == [id(e) for e in came if e.device == device]


def test_what_was_taken_is_no_longer_looked_at_and_the_rest_still_is() -> None:
    queue = EntryQueue()
    first, second, third = entry("es-A"), entry("es-B", urgent=True), entry("es-A")
    queue.add(first)
    queue.add(second)
    assert queue.unseen() == [first, second]
    queue.add(third)
    assert queue.take_urgent() == [second]
    assert queue.unseen() == [third]
