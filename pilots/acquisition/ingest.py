"""The one door for values: everything measured enters here, whatever its protocol. [station]

`put` queues; one writer thread per process normalises and flushes, all values as columns: ONE transaction for latest values,
samples, alarms, set-point feedback and outbox. Only after its commit are the acknowledgements released, so a protocol that
acknowledges after `put` loses nothing to a crash (IEC 60870-5-104 5.1: the S-frame; OCPP: the CALLRESULT; REST: the 2xx).
Pages see values a window ahead of it (preview.py), alarms and set-points as they are committed.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import InterfaceError, OperationalError, close_old_connections, connections, transaction

from pilots.acquisition.awaited import Awaited
from pilots.acquisition.batch import Batch, Counters, Entry, IngestFull, Rows, Unstorable
from pilots.acquisition.by_hand import ByHand
from pilots.acquisition.clocks import Clocks
from pilots.acquisition.counter_resets import note_counter_resets
from pilots.acquisition.directory import Directory
from pilots.acquisition.entry_queue import EntryQueue
from pilots.acquisition.gathering import gather
from pilots.acquisition.preview import Preview
from pilots.acquisition.process_image import ProcessImage, write_latest_values
from pilots.acquisition.sorting import add_old, held_back, sort
from pilots.acquisition.supply import SupplyWatch
from pilots.alarms.evaluation import Judged, LimitWatch
from pilots.control.feedback import check_feedback
from pilots.domain.columns import NEVER
from pilots.domain.measurement import Measurement, RawReading
from pilots.domain.moments import microseconds
from pilots.domain.quality import Flag, Validity
from pilots.history.services import record_samples
from pilots.live.hub import hub
from pilots.northbound.outbox import enqueue_measurements

log = logging.getLogger(__name__)

#: Flushed at once when idle, else gathered this long: one commit serves many readings.
WINDOW_S = 0.1
#: Looked for so often: what moves an alarm. That, and what may prove a set-point, waits for no window; a flush takes longer than
#: this, so with many of them under way one follows the other, each with all that became urgent meanwhile.
LOOK_S = 0.005
QUEUE_BOUND = 200_000
FLUSH_BOUND = 50_000


class Ingest:
    """Queue and writer of this process. `put` may be called from any thread."""

    def __init__(self) -> None:
        self.directory = Directory()
        self.image = ProcessImage()
        self.clocks = Clocks()
        self.by_hand = ByHand()
        self.supply = SupplyWatch()
        self.alarms = LimitWatch()
        self.preview = Preview()
        self.awaited = Awaited()
        self.counters = Counters()
        self._queue = EntryQueue()
        self._look_due_s = 0.0
        #: When the writer last took everything, and when anything.
        self._emptied_s = self._taken_s = 0.0
        #: Whether what it took is urgent, and others wait for the end of their window.
        self._alone = False
        self._wake = threading.Condition()
        self._stopping = False
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
        return self._queue.size

    def put(self, device: str, readings: Sequence[RawReading], received: datetime) -> Future[None]:
        """Queued; the future is done once the readings are committed. Points the device does not have are counted.

        The readings belong to the queue from now on: nobody changes them. The future's exception: Unstorable, or a
        DatabaseError when the writer ended before the database came back. Raises IngestFull when the queue is at its bound.
        """
        urgent = self.awaited.are_in(self.directory, device, readings)
        return self._enqueue(Entry(device, readings, microseconds(received), urgent=urgent))

    def mark_old(self, newest: Mapping[int, Measurement]) -> Future[None]:
        """These newest values by point become questionable and old; a point renewed meanwhile stays as it is."""
        old = {
            point: replace(measurement, quality=measurement.quality.worse(Validity.QUESTIONABLE, Flag.OLD))
            for point, measurement in newest.items()
            if Flag.OLD not in measurement.quality.flags
        }
        return self._enqueue(Entry(old=old))

    def _enqueue(self, entry: Entry) -> Future[None]:
        if not entry.size:
            entry.done.set_result(None)
            return entry.done
        with self._wake:
            if self._queue.size + entry.size > QUEUE_BOUND:
                self.counters.refused += entry.size
                raise IngestFull("The database does not take values just now: the queue is full.")
            self._queue.add(entry)
            # The writer waits for the first, for an urgent one and for a full batch: waking it for each costs more than the put.
            if len(self._queue) == 1 or self._queue.urgent or self._queue.size >= FLUSH_BOUND:
                self._wake.notify_all()
        return entry.done

    # The writer thread

    def _write_forever(self) -> None:
        self._load()
        while True:
            if entries := self._take():
                self._flush_until_written(entries)
            elif self._stopping:
                break
            # Also with values coming all the time: a delay may be that of a point which says nothing more.
            if self._rest_s() == 0.0 and not self._delays_elapsed() and not entries:
                self._ended.wait(1.0)
        connections.close_all()

    def _load(self) -> None:
        while not self._stopping:
            try:
                self.directory.refresh(force=True)
                self.image.load(self.directory.table)
                self.alarms.follow(self.directory.table.ids)
                self.awaited.ask()
                return
            except DatabaseError as error:
                log.warning("ingest waits for the database: %s", error)
                close_old_connections()
                self._ended.wait(1.0)

    def _take(self) -> list[Entry]:
        """All that came in a window; before it ends, and alone, what devices told that have urgent news."""
        if not self._await_one():
            return []
        while self._wait_s() > 0:
            self._look_ahead()
            with self._wake:
                # Asked again under the lock: who put something urgent meanwhile has waked nobody.
                self._wake.wait(max(0.0, min(LOOK_S, self._wait_s())))
        with self._wake:
            self._taken_s = time.monotonic()
            self._alone = self._window_left_s() > 0
            if self._alone:
                return self._queue.take_urgent()
            self._emptied_s = self._taken_s
            self.preview.forget_waiting()
            return self._queue.take(FLUSH_BOUND)

    def _await_one(self) -> bool:
        """False when an alarm's delay has run out before anything came; with nothing queued also at the end."""
        with self._wake:
            while not self._queue and not self._stopping:
                if not self._wake.wait(self._rest_s()):
                    return False
        return True

    def _window_left_s(self) -> float:
        """How long more may be gathered."""
        if self._stopping or self._queue.size >= FLUSH_BOUND:
            return 0.0
        return self._emptied_s + WINDOW_S - time.monotonic()

    def _wait_s(self) -> float:
        """How long nothing is taken yet."""
        left_s = self._window_left_s()
        return min(left_s, self._taken_s + LOOK_S - time.monotonic()) if self._queue.urgent else left_s

    def _look_ahead(self) -> None:
        """What moves an alarm is no longer left waiting; pages see what has come before it is stored."""
        if time.monotonic() < self._look_due_s:
            return
        cpu_s = time.thread_time()
        with self._wake:
            entries = self._queue.unseen()
        points, latest = self.directory.table, self.image.latest
        if self.image.points is not points:
            return
        try:
            if entries:
                arrived = gather(entries, points)
                arrived = arrived.take(~held_back(arrived, self.image))
                newer = arrived.take(arrived.measurements.source_us >= latest.source_us[arrived.slots])
                turning = self.alarms.turning(points.ids, newer.slots, newer.measurements, latest.value)
                if turning.size:
                    with self._wake:
                        self._queue.hurry({points.entries[slot].device for slot in turning})
                self.preview.add(newer)
            if (news := self.preview.due_news(latest)) is not None:
                hub(settings.REDIS_URL).publish(self.supply.told(news))
        except Exception:  # the flush meets it again and says what it is
            log.exception("values were not shown ahead")
        # A tenth of a core at most: in a flood looking would cost as much as storing.
        self._look_due_s = time.monotonic() + 9 * (time.thread_time() - cpu_s)

    def _rest_s(self) -> float | None:
        """Until an alarm's delay runs out; None when none runs."""
        return None if self.alarms.due_us == NEVER else max(0.0, self.alarms.due_us / 1e6 - time.time())

    def _delays_elapsed(self) -> bool:
        """What was on its way long enough is an alarm, whether or not a value comes. False where it could not be told."""
        try:
            judged = self._judged(lambda: self.alarms.elapse(self.image.latest.value, now=datetime.now(UTC)))
        except (OperationalError, InterfaceError) as error:
            log.warning("alarms wait for the database: %s", error)
            close_old_connections()
            judged = None
        if judged is not None:
            self.alarms.keep(judged)
        return judged is not None

    def _judged(self, judge: Callable[[], Judged]) -> Judged | None:
        """None where the alarms could not be told: that is undone alone and looked at again, for no value is refused for them.

        Raises what a retry may mend.
        """
        try:
            with transaction.atomic():
                return judge()
        except (OperationalError, InterfaceError):
            raise
        except Exception:  # values are kept whatever a rule or its table does
            self.counters.alarms_failed += 1
            log.exception("alarms of these values were not told")
            return None

    def _flush_until_written(self, entries: list[Entry]) -> None:
        pause_s = 0.2
        while True:
            try:
                batch = self._flush(entries)
            except (OperationalError, InterfaceError) as error:
                # The database is away: keep everything, nothing is acknowledged, try again until it is back.
                if self._stopping:
                    _fail(entries, error)
                    return
                log.warning("flush waits for the database: %s", error)
                close_old_connections()
                self._ended.wait(pause_s)
                pause_s = min(pause_s * 2, 5.0)
            except Exception as error:  # noqa: BLE001  the outermost loop of the writer: no value may end it
                if not self._settle():
                    self._isolate(entries, error)
                    return
            else:
                self._release(entries, batch)
                return

    def _isolate(self, entries: list[Entry], error: Exception) -> None:
        """One bad value must not take the others with it: halve until it stands alone, then set it aside and count it."""
        if middle := len(entries) // 2:
            self._flush_until_written(entries[:middle])
            self._flush_until_written(entries[middle:])
            return
        (entry,) = entries
        if entry.size < 2:
            self.counters.poisoned += 1
            log.error("%s could not be stored: %s", entry, error)
            _fail(entries, Unstorable(f"The database refuses this value: {error}"))
            return
        parts = entry.halves()
        for part in parts:
            self._flush_until_written([part])
        # The sender hears of a failure only if nothing at all was stored: sending the good half again helps nobody.
        errors = [part.done.exception() for part in parts]
        if all(errors):
            entry.done.set_exception(errors[0])
        else:
            entry.done.set_result(None)

    def _settle(self) -> bool:
        """Nothing is owed any more: what hinders it must not hinder what came since. False when nothing was."""
        owed = self.image.forgive()
        try:
            with transaction.atomic():
                write_latest_values(owed)
        except DatabaseError as error:
            log.error("latest values of the last second were not written: %s", error)
        return len(owed) > 0

    def _flush(self, entries: list[Entry]) -> Batch:
        """One transaction. Whatever it raises, nothing was written and the image has not changed."""
        started, now = time.perf_counter(), datetime.now(UTC)
        arrived = self._gathered(entries)
        points = arrived.points
        self.image.follow(points)
        self.image.by_hand, self.image.awaited = self.by_hand.mask(points), self.awaited.mask(points)
        batch = sort(arrived, self.image)
        add_old(batch, {point: value for entry in entries for point, value in entry.old.items()}, self.image, now)
        batch.unknown = sum(len(entry.readings) for entry in entries) - len(arrived)
        self._choose_written(batch)
        samples = batch.samples
        with transaction.atomic():
            write_latest_values(batch.written)
            record_samples(samples.ids, samples.measurements, now=now, may_repeat=batch.doubtful)
            note_counter_resets(batch, now=now)
            batch.alarms = self._judged(lambda: self._alarms_of(batch.latest, now)) or Judged()
            batch.setpoints = check_feedback(batch.latest, now=now)
            pilots = points.pilots[samples.slots]
            enqueue_measurements(pilots, samples.slots, samples.measurements, names=points.names, now=now)
        self.counters.flush_seconds += time.perf_counter() - started
        return batch

    def _gathered(self, entries: list[Entry]) -> Rows:
        """What a device tells of a point that was commissioned a moment ago may come once: only then is it counted as unknown."""
        self.directory.refresh()
        arrived = gather(entries, self.directory.table)
        if len(arrived) == sum(len(entry.readings) for entry in entries):
            return arrived
        self.directory.refresh(force=True)  # at most once a flush, so that invented names do not load the database
        if self.directory.table is arrived.points:
            return arrived
        return gather(entries, self.directory.table)

    def _alarms_of(self, latest: Rows, now: datetime) -> Judged:
        self.alarms.follow(latest.points.ids)
        return self.alarms.evaluate(latest.slots, latest.measurements, self.image.latest.value, now=now)

    def _choose_written(self, batch: Batch) -> None:
        """With more waiting the next flush comes at once: rows that were written just now can wait for it."""
        written, owed, now_s = batch.latest, self.image.owed(batch.latest.slots), time.monotonic()
        if self._alone:  # few rows: who hears of the alarm finds the value that raised it
            owed = owed.take(np.zeros(len(owed), dtype=bool))
        elif self._queue:
            written, owed = self.image.due(written, now_s), self.image.due(owed, now_s)
        batch.written, batch.shown = written.joined(owed), batch.latest.joined(owed)

    def _release(self, entries: list[Entry], batch: Batch) -> None:
        """After the commit: memory follows, senders hear that it is stored, browsers see it."""
        self.image.update(batch, time.monotonic())
        self.alarms.keep(batch.alarms)
        self.counters.flushes += 1
        self.counters.readings += sum(entry.size for entry in entries) - batch.unknown
        self.counters.unknown += batch.unknown
        self.counters.samples += len(batch.samples)
        self.counters.late += batch.late
        self.counters.repeated += batch.repeated
        if batch.setpoints:
            self.awaited.ask()
        for entry in entries:
            entry.done.set_result(None)
        self.clocks.watch(entries)
        try:
            hub(settings.REDIS_URL).publish(self.supply.told(self.preview.unseen(batch.shown)) + batch.setpoints)
        except Exception:  # a page that cannot be served is no reason to stop storing
            log.exception("changes were stored but not shown")


def _fail(entries: list[Entry], error: Exception) -> None:
    for entry in entries:
        entry.done.set_exception(error)


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
