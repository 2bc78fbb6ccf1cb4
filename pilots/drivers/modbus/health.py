"""Which units answer, and when a silent one is asked again. [zone: field]"""

from __future__ import annotations

from dataclasses import dataclass

MISSES = 3
FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 60.0


@dataclass(slots=True)
class UnitHealth:
    """One unit behind a gateway. After three missed cycles it is down and asked only every 5, 10, 20 .. 60 s:
    each question to a dead unit holds up all its neighbours for a whole time-out."""

    missed: int = 0
    answered: bool = False
    pause_s: float = 0.0
    next_try: float = 0.0

    @property
    def up(self) -> bool | None:
        if self.missed >= MISSES:
            return False
        return True if self.answered else None

    def may_ask(self, now: float) -> bool:
        return self.missed < MISSES or now >= self.next_try

    def note_answer(self) -> None:
        if self.missed or not self.answered:
            self.missed, self.answered, self.pause_s, self.next_try = 0, True, 0.0, 0.0

    def note_silence(self, now: float) -> None:
        self.missed += 1
        if self.missed >= MISSES:
            self.pause_s = min(2 * self.pause_s or FIRST_PAUSE_S, LONGEST_PAUSE_S)
            self.next_try = now + self.pause_s
