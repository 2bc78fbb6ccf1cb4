"""The one door for values: everything measured enters here, whatever its protocol. [station]

`put` normalises and queues; one writer thread per process flushes: ONE transaction for latest values, samples, set-point
feedback and outbox. Only after its commit are the acknowledgements released and the frames published, so a protocol that
acknowledges after `put` loses nothing to a crash (IEC 60870-5-104 5.1: the S-frame; OCPP: the CALLRESULT; REST: the 2xx).
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from datetime import UTC, datetime

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import InterfaceError, OperationalError, close_old_connections, connections, transaction

from pilots.acquisition.batch import Batch, Counters, Entry, IngestFull, Unstorable
from pilots.acquisition.directory import Directory, PointEntry
from pilots.acquisition.process_image import ProcessImage, write_latest_values
from pilots.control.feedback import check_feedback, pending_points
from pilots.domain.measurement import Measurement, RawReading, is_significant, normalise
from pilots.domain.quality import Flag, Validity
from pilots.history.services import NewSample, new_sample, record_samples
from pilots.live.frames import Change, point_row
from pilots.live.hub import hub
from pilots.northbound.outbox import OutgoingValue, enqueue_measurements

log = logging.getLogger(__name__)

#: Flushed at once when idle, else gathered this long: one commit serves many readings.
WINDOW_S = 0.1
#: One sample at least so often, however still the value.
MIN_SAMPLE_INTERVAL_S = 60.0
QUEUE_BOUND = 200_000
FLUSH_BOUND = 20_000


class Ingest:
    """Queue and writer of this process. `put` may be called from any thread."""

    def __init__(self) -> None:
        self.directory = Directory()
        self.image = ProcessImage()
        self.counters = Counters()
        self._queue: deque[Entry] = deque()
        self._queued = 0
        self._wake = threading.Condition()
        self._stopping = False
        self._urgent = False
        self._pending: frozenset[int] = frozenset()
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()

    def start(self) -> None:
        """The writer runs; a second call changes nothing."""
        with self._wake:
            if self._thread is None:
                self._stopping = False
                self._ended.clear()
                self._thread = threading.Thread(target=self._write_forever, name="ingest", daemon=True)
                self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Everything queued is written, then the writer ends."""
        with self._wake:
            self._stopping = True
            self._ended.set()
            self._wake.notify_all()
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(timeout_s)

    @property
    def queued(self) -> int:
        """Readings waiting for the next flush."""
        return self._queued

    def put(self, device: str, readings: Sequence[RawReading], received: datetime) -> Future[None]:
        """Queued; the future is done once the readings are committed. Points the device does not have are counted.

        The future's exception: Unstorable, or a DatabaseError when the writer ended before the database came back.
        Raises IngestFull when the queue is at its bound.
        """
        points = self.directory.device(device)
        entry = Entry([])
        for reading in readings:
            point = points.get(reading.point)
            if point is None:
                entry.unknown.append((device, reading, received))
            else:
                entry.items.append((point, _normalised(reading, point, received)))
        return self._enqueue(entry)

    def mark_old(self, newest: Mapping[int, Measurement]) -> Future[None]:
        """These newest values by point become questionable and old; a point renewed meanwhile stays as it is."""
        items = []
        for point_id, measurement in newest.items():
            entry = self.directory.point(point_id)
            if entry is not None and Flag.OLD not in measurement.quality.flags:
                quality = measurement.quality.worse(Validity.QUESTIONABLE, Flag.OLD)
                items.append((entry, replace(measurement, quality=quality)))
        return self._enqueue(Entry(items, marks_old=True))

    def note_pending_setpoint(self) -> None:
        """Feedback is awaited: from now on it never waits for a batch."""
        self._pending = frozenset(pending_points())

    def _enqueue(self, entry: Entry) -> Future[None]:
        if not entry.size:
            entry.done.set_result(None)
            return entry.done
        entry.urgent = any(point.id in self._pending for point, _ in entry.items)
        with self._wake:
            if self._queued + entry.size > QUEUE_BOUND:
                self.counters.refused += entry.size
                raise IngestFull("The database does not take values just now: the queue is full.")
            self._queue.append(entry)
            self._queued += entry.size
            self._urgent = self._urgent or entry.urgent
            self._wake.notify_all()
        return entry.done

    # The writer thread

    def _write_forever(self) -> None:
        self._load()
        last_flush = 0.0
        while True:
            entries = self._take(last_flush)
            if not entries:
                break
            last_flush = time.monotonic()
            self._flush_until_written(entries)
        connections.close_all()

    def _load(self) -> None:
        while not self._stopping:
            try:
                self.directory.refresh(force=True)
                self.image.load()
                self.note_pending_setpoint()
                return
            except DatabaseError as error:
                log.warning("ingest waits for the database: %s", error)
                close_old_connections()
                self._ended.wait(1.0)

    def _take(self, last_flush: float) -> list[Entry]:
        with self._wake:
            while not self._queue and not self._stopping:
                self._wake.wait()
            while not self._stopping and not self._urgent and self._queued < FLUSH_BOUND:
                rest = last_flush + WINDOW_S - time.monotonic()
                if rest <= 0:
                    break
                self._wake.wait(rest)
            taken, size = [], 0
            while self._queue and size < FLUSH_BOUND:
                taken.append(self._queue.popleft())
                size += taken[-1].size
            self._queued -= size
            self._urgent = any(entry.urgent for entry in self._queue)
            return taken

    def _flush_until_written(self, entries: list[Entry]) -> None:
        pause_s = 0.2
        while True:
            try:
                batch = self._flush(entries)
            except (OperationalError, InterfaceError) as error:
                # The database is away: keep everything, nothing is acknowledged, try again until it is back.
                if self._stopping:
                    self._fail(entries, error)
                    return
                log.warning("flush waits for the database: %s", error)
                close_old_connections()
                self._ended.wait(pause_s)
                pause_s = min(pause_s * 2, 5.0)
            except Exception as error:  # noqa: BLE001  the outermost loop of the writer: no value may end it
                self._isolate(entries, error)
                return
            else:
                self._release(entries, batch)
                return

    def _isolate(self, entries: list[Entry], error: Exception) -> None:
        """One bad value must not take the others with it: halve until it stands alone, then set it aside and count it."""
        if len(entries) > 1:
            middle = len(entries) // 2
            self._flush_until_written(entries[:middle])
            self._flush_until_written(entries[middle:])
            return
        (entry,) = entries
        if len(entry.items) < 2:
            self.counters.poisoned += entry.size
            log.error("%s could not be stored: %s", entry.items[0][0].reference if entry.items else "a reading", error)
            self._fail(entries, Unstorable(f"The database refuses this value: {error}"))
            return
        middle = len(entry.items) // 2
        parts = [Entry(items, marks_old=entry.marks_old) for items in (entry.items[:middle], entry.items[middle:])]
        for part in parts:
            self._flush_until_written([part])
        # The sender hears of a failure only if nothing at all was stored: sending the good half again helps nobody.
        errors = [part.done.exception() for part in parts]
        if all(errors):
            entry.done.set_exception(errors[0])
        else:
            entry.done.set_result(None)

    def _fail(self, entries: list[Entry], error: Exception) -> None:
        for entry in entries:
            entry.done.set_exception(error)

    def _flush(self, entries: list[Entry]) -> Batch:
        """One transaction. Whatever it raises, nothing was written and nothing of this object has changed."""
        started = time.perf_counter()
        if self.directory.refresh():
            self.image.forget_unknown(self.directory)
        self._look_again(entries)
        batch = self._sort(entries)
        now = datetime.now(UTC)
        with transaction.atomic():
            write_latest_values(batch.latest)
            record_samples(_samples(batch.samples), may_repeat=_samples(batch.doubtful))
            batch.setpoints = check_feedback(batch.latest, now=now)
            enqueue_measurements([_outgoing(entry, measurement) for entry, measurement in batch.samples], now=now)
        self.counters.flush_seconds += time.perf_counter() - started
        return batch

    def _look_again(self, entries: list[Entry]) -> None:
        """Readings that came before their point was known here (at the start, after a change) find it now or are counted."""
        for entry in entries:
            for device, reading, received in entry.unknown:
                point = self.directory.device(device).get(reading.point)
                if point is None:
                    self.counters.unknown += 1
                else:
                    entry.items.append((point, _normalised(reading, point, received)))
            entry.unknown = []

    def _release(self, entries: list[Entry], batch: Batch) -> None:
        """After the commit: memory follows, senders hear that it is stored, browsers see it."""
        self.image.update(batch.latest, batch.kept)
        for entry in entries:
            entry.done.set_result(None)
        self.counters.flushes += 1
        self.counters.readings += sum(len(entry.items) for entry in entries)
        self.counters.samples += len(batch.samples)
        self.counters.late += batch.late
        self.counters.repeated += batch.repeated
        if batch.setpoints:
            self._pending -= batch.latest.keys()
        try:
            hub(settings.REDIS_URL).publish(_changes(batch.changed) + batch.setpoints)
        except Exception:  # a page that cannot be served is no reason to stop storing
            log.exception("changes were stored but not shown")

    def _sort(self, entries: list[Entry]) -> Batch:
        """Decides for each measurement what it is: newer, late, repeated or old data, and whether history keeps it."""
        batch = Batch()
        for entry in entries:
            for point, measurement in entry.items:
                newest = batch.latest.get(point.id) or self.image.newest(point.id)
                if entry.marks_old:
                    self._sort_old(batch, point, measurement, newest)
                elif newest is not None and measurement.source_time < newest.source_time:
                    # Source time decides: a late spontaneous report goes to history only, never over a newer value.
                    batch.late += 1
                    batch.doubtful.append((point, measurement))
                    batch.samples.append((point, measurement))
                else:
                    self._sort_new(batch, point, measurement, newest)
        return batch

    def _sort_new(self, batch: Batch, point: PointEntry, measurement: Measurement, newest: Measurement | None) -> None:
        if newest is not None and _same(measurement, newest):
            # No news for the history, but renewed: pages must not let it grow old.
            batch.repeated += 1
            batch.latest[point.id] = measurement
            batch.changed.append((point, measurement))
            return
        kept = batch.kept.get(point.id) or self.image.kept(point.id)
        batch.latest[point.id] = measurement
        batch.changed.append((point, measurement))
        if is_significant(measurement, kept, deadband=point.spec.deadband, min_interval_s=MIN_SAMPLE_INTERVAL_S):
            batch.kept[point.id] = measurement
            batch.samples.append((point, measurement))
            if newest is None or newest.source_time == measurement.source_time:
                batch.doubtful.append((point, measurement))

    def _sort_old(self, batch: Batch, point: PointEntry, marked: Measurement, newest: Measurement | None) -> None:
        if newest is not None and newest.received_time > marked.received_time:
            return  # renewed between the mark and this flush
        batch.latest[point.id] = marked
        batch.changed.append((point, marked))
        # In history the mark stands at the moment the value became old: until then it held.
        moment = datetime.now(UTC)
        batch.samples.append((point, replace(marked, source_time=moment, received_time=moment)))
        batch.kept[point.id] = marked


def _normalised(reading: RawReading, point: PointEntry, received: datetime) -> Measurement:
    return normalise(reading, point.spec, received=received, simulated=point.simulated)


def _same(new: Measurement, old: Measurement) -> bool:
    return (new.source_time, new.value, new.quality, new.text) == (old.source_time, old.value, old.quality, old.text)


def _samples(of: list[tuple[PointEntry, Measurement]]) -> list[NewSample]:
    return [
        new_sample(entry.id, source_time=m.source_time, received_time=m.received_time, value=m.value, quality=m.quality.pack())
        for entry, m in of
    ]


def _outgoing(entry: PointEntry, measurement: Measurement) -> OutgoingValue:
    return OutgoingValue(entry.pilot_id, entry.device, entry.spec.name, entry.spec.unit, measurement)


def _changes(changed: list[tuple[PointEntry, Measurement]]) -> list[Change]:
    rows: dict[str, dict[str, list[object]]] = {}
    for entry, measurement in changed:
        # A point that changed twice in one flush shows its newest value only.
        rows.setdefault(entry.pilot, {})[entry.reference] = point_row(entry.reference, measurement)
    return [Change(pilot, points=list(points.values())) for pilot, points in rows.items()]


_ingest: Ingest | None = None
_ingest_lock = threading.Lock()


def ingest() -> Ingest:
    """This process's ingest with its writer running."""
    global _ingest
    with _ingest_lock:
        if _ingest is None:
            _ingest = Ingest()
        _ingest.start()
        return _ingest
