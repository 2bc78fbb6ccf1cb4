"""The FT1.2 codec: frames, noise, and hat-drivers' own encoder as the second opinion."""

from __future__ import annotations

import itertools
import random

import pytest
from hat.drivers.iec60870.link import common as hat
from hat.drivers.iec60870.link.encoder import Encoder
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pilots.domain.errors import ProtocolViolation
from pilots.drivers.iec101 import ft12, words
from pilots.drivers.iec101.ft12 import Damaged, Frame, Parser, encode
from pilots.drivers.iec60870 import asdu
from pilots.drivers.iec60870.asdu import Asdu, InformationObject, Sizes

SIZES = (0, 1, 2)
POLL = ft12.PRM | ft12.FCV | ft12.FCB | ft12.REQUEST_CLASS_2
FLOAT = asdu.encode(Asdu(13, 3, 1, (InformationObject(701, 1.5),)))


def octets_of(items: list[Frame | Damaged]) -> bytes:
    return b"".join(item.raw for item in items)


def frames_of(items: list[Frame | Damaged]) -> list[Frame]:
    return [item for item in items if isinstance(item, Frame)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("data", [b"", FLOAT, bytes(250)])
def test_a_frame_reads_back_as_it_was_written_whatever_pieces_it_comes_in(size: int, data: bytes) -> None:
    raw = encode(POLL, 3 if size else 0, size, data)
    for piece in (1, 2, 5, len(raw)):
        parser = Parser(size)
        items = [item for at in range(0, len(raw), piece) for item in parser.feed(raw[at : at + piece])]
        assert items == [Frame(raw, POLL, 3 if size else 0, data)]
        assert parser.holding == 0


@pytest.mark.parametrize("size", SIZES)
def test_hat_drivers_writes_the_same_octets(size: int) -> None:
    theirs = Encoder(hat.AddressSize(size), direction_valid=True)
    for function, data in itertools.product(hat.ReqFunction, (b"", FLOAT)):
        request = hat.ReqFrame(hat.Direction.A_TO_B, True, True, function, 1 if size else 0, data)
        control = ft12.DIRECTION | ft12.PRM | ft12.FCB | ft12.FCV | function.value
        assert encode(control, request.address, size, data) == theirs.encode(request)
    for answer, data in itertools.product(hat.ResFunction, (b"", FLOAT)):
        response = hat.ResFrame(hat.Direction.B_TO_A, True, True, answer, 1 if size else 0, data)
        (frame,) = frames_of(Parser(size).feed(bytes(theirs.encode(response))))
        assert (frame.function, frame.access_demand, frame.busy, frame.data) == (answer.value, True, True, data)
        assert not frame.from_primary and not frame.direction


def test_single_characters_are_frames_without_flags() -> None:
    ack, nack = frames_of(Parser(1).feed(b"\xe5\xa2"))
    assert ack.single and nack.single
    assert not (ack.from_primary or ack.access_demand or ack.busy or ack.direction)


@pytest.mark.parametrize("noise", ["00 ff", "68", "68 05", "68 05 05 00", "68 05 06 68", "10 49 02 4b 15"])
def test_a_frame_after_noise_is_found_and_the_noise_is_told(noise: str) -> None:
    raw = encode(POLL, 1, 1)
    parser = Parser(1)
    items = parser.feed(bytes.fromhex(noise) + raw) + parser.flush()
    assert frames_of(items)[-1].raw == raw
    assert octets_of(items) == bytes.fromhex(noise) + raw


def test_a_false_start_hides_a_frame_only_until_the_line_is_silent() -> None:
    raw, parser = encode(POLL, 1, 1), Parser(1)
    assert parser.feed(b"\x68\xff\xff\x68" + raw) == []
    assert parser.missing > 200
    assert [item.raw for item in parser.flush()] == [b"\x68\xff\xff\x68", raw]


@pytest.mark.parametrize("data", [b"", FLOAT])
def test_a_wrong_checksum_spoils_the_whole_frame_and_nothing_more(data: bytes) -> None:
    good = encode(ft12.DATA, 1, 1, data)
    bad = bytearray(good)
    bad[-2] ^= 1
    assert Parser(1).feed(bytes(bad) + good) == [Damaged(bytes(bad), "checksum"), Frame(good, ft12.DATA, 1, data)]


def test_octets_of_a_spoiled_frame_are_never_taken_for_an_answer() -> None:
    bad = bytearray(encode(ft12.DATA, 1, 1, b"\xe5" * 20))
    bad[-2] ^= 1
    assert frames_of(Parser(1).feed(bytes(bad))) == []


@pytest.mark.parametrize(("address", "size", "data"), [(256, 1, b""), (1, 0, b""), (1, 1, bytes(254)), (-1, 1, b"")])
def test_what_does_not_fit_a_frame_is_not_encoded(address: int, size: int, data: bytes) -> None:
    with pytest.raises(ValueError):
        encode(POLL, address, size, data)


@settings(
    max_examples=10_000,
    deadline=None,
    database=None,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.too_slow],
)
@given(st.binary(max_size=40))
def test_random_octets_come_out_as_frames_or_noise_in_order_and_complete(octets: bytes) -> None:
    cut = len(octets) // 2
    parser = Parser(cut % 3)
    items = parser.feed(octets[:cut]) + parser.feed(octets[cut:]) + parser.flush()
    assert octets_of(items) == octets
    assert parser.holding == 0
    assert all(words.describe(item.raw) for item in items)


def test_mutated_frames_are_read_or_refused_and_nothing_else() -> None:
    """10^4 frames with octets changed, lost or doubled: only ProtocolViolation may come of their ASDUs."""
    chance = random.Random(101)
    sizes = Sizes(1, 2, 2)
    for _ in range(10_000):
        raw = bytearray(encode(ft12.DATA, 1, 1, FLOAT))
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(raw))
            raw[at : at + chance.randint(0, 1)] = chance.randbytes(chance.randint(0, 2))
            raw = raw or bytearray(1)
        parser = Parser(1)
        items = parser.feed(bytes(raw)) + parser.flush()
        assert octets_of(items) == bytes(raw)
        for frame in frames_of(items):
            try:
                asdu.decode(frame.data, sizes)
            except ProtocolViolation:
                continue


def test_frames_are_described_in_words() -> None:
    assert words.describe(encode(POLL, 3, 1)) == "to 3: request of class 2 data, FCB 1"
    assert words.describe(encode(POLL, 300, 2)) == "to 300: request of class 2 data, FCB 1"
    assert words.describe(encode(ft12.ACD | ft12.DFC | ft12.ACK, 3, 1)) == "from 3: ACK, ACD: class 1 waits, DFC: buffer full"
    assert words.describe(b"\xe5") == "E5: ACK or no data"
    assert words.describe(b"\x01\x02") == "2 octets that are no frame: 01 02"


@pytest.mark.parametrize("sizes", [Sizes(2, 2, 3), Sizes(1, 1, 2), Sizes(1, 2, 2), Sizes(1, 1, 1)])
@pytest.mark.parametrize("address_size", [1, 2])
def test_the_asdu_is_described_whatever_its_sizes(sizes: Sizes, address_size: int) -> None:
    unit = Asdu(13, 3, 7, (InformationObject(101, 1.5), InformationObject(102, 2.5)))
    told = words.describe(encode(ft12.DATA, 7, address_size, asdu.encode(unit, sizes)))
    assert told.startswith("from 7: data: M_ME_NC_1 (13) spontaneous, CA 7: IOA 101 = 1.5")
