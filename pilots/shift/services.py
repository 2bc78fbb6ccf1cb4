"""What operators do at a handover: write notes, correct them, sign. Each deed is audited; nothing is ever changed. [operation]

Who may, decide the callers.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from django.db import IntegrityError, transaction

from pilots.audit.services import audited, record_event
from pilots.domain.errors import PilotsError
from pilots.domain.shift import Shift
from pilots.models import Pilot, ShiftNote, ShiftSignature, Side

LONGEST_NOTE = 2000


class HandoverRefused(PilotsError):
    """A handover cannot be written or signed like this; the sentence says why."""

    code = "handover"


def write_note(pilot: Pilot, shift: Shift, *, by: str, text: str, now: datetime, corrects: ShiftNote | None = None) -> ShiftNote:
    """The note stands for everybody who sees the pilot, in place of `corrects` when that is given.

    Raises HandoverRefused for an empty or too long text, a shift to come, and a note of another shift or corrected before.
    """
    text = text.strip()
    if not text:
        raise HandoverRefused("Write what the next shift has to know.")
    if len(text) > LONGEST_NOTE:
        raise HandoverRefused(f"A note has {LONGEST_NOTE} characters at most; write a second one.")
    _check_begun(shift, now)
    if corrects is not None and _shift_of(corrects) != (pilot.pk, shift.start, shift.end):
        raise HandoverRefused("That note is of another shift.")
    note = ShiftNote(pilot=pilot, shift_start=shift.start, shift_end=shift.end, at=now, by=by[:120], text=text, corrects=corrects)
    details = {"text": text, **({"corrects": corrects.text, "corrects_by": corrects.by} if corrects is not None else {})}
    with audited():
        _save(note, "That note was corrected before: correct the newest one.")
        _audit(
            "correct shift note" if corrects is not None else "write shift note", pilot, shift, by=by, now=now, details=details
        )
    return note


def sign(pilot: Pilot, shift: Shift, side: Side, *, by: str, now: datetime) -> ShiftSignature:
    """The shift is handed over or taken over.

    Raises HandoverRefused out of order, twice, by one person for both sides, or before the shift began.
    """
    _check_begun(shift, now)
    of_shift = ShiftSignature.objects.filter(pilot=pilot, shift_start=shift.start, shift_end=shift.end)
    signature = ShiftSignature(pilot=pilot, shift_start=shift.start, shift_end=shift.end, at=now, by=by[:120], side=side)
    with audited():
        if side is Side.INCOMING:
            outgoing = of_shift.filter(side=Side.OUTGOING).first()
            if outgoing is None:
                raise HandoverRefused("The outgoing operator signs first.")
            if outgoing.by == signature.by:
                raise HandoverRefused("Two persons sign: nobody takes over from themselves.")
        _save(signature, "This was signed before.")
        notes = ShiftNote.objects.filter(pilot=pilot, shift_start=shift.start, shift_end=shift.end).count()
        action = "sign shift off" if side is Side.OUTGOING else "take shift over"
        _audit(action, pilot, shift, by=by, now=now, details={"notes": notes})
    return signature


def _check_begun(shift: Shift, now: datetime) -> None:
    if shift.start >= now:
        raise HandoverRefused("This shift has not begun yet.")


def _save(row: ShiftNote | ShiftSignature, taken: str) -> None:
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError as error:
        raise HandoverRefused(taken) from error


def _shift_of(note: ShiftNote) -> tuple[int, datetime, datetime]:
    return note.pilot_id, note.shift_start, note.shift_end


def _audit(action: str, pilot: Pilot, shift: Shift, *, by: str, now: datetime, details: Mapping[str, object]) -> None:
    named = f"shift {shift.start:%Y-%m-%dT%H:%MZ} to {shift.end:%Y-%m-%dT%H:%MZ}"
    record_event(at=now, actor=by, action=action, pilot=pilot.code, subject=named, details=details)
