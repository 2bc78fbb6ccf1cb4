"""What the ways out have in common. [operation]"""

from __future__ import annotations

from pilots.domain.errors import PilotsError

#: A receiver that takes longer has not got it.
TIMEOUT_S = 5.0
REPEAT_WORDS = "This may be a repeat: it is not known whether the first one arrived."


class NotDelivered(PilotsError):
    """A message did not arrive; the sentence says why. `permanent`: trying again does not help."""

    code = "not_delivered"

    def __init__(self, sentence: str, *, permanent: bool = False) -> None:
        super().__init__(sentence)
        self.permanent = permanent
