"""What an engineer changed, kept to be looked at and gone back to, and files on their way in. [zone: none, configuration]"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

from django.db import models
from django.db.models.signals import post_delete, post_save, pre_delete
from simple_history.models import HistoricalRecords


class EditHistory(HistoricalRecords):
    """A model's history of what people configure. `catalogue.edit_history` writes it, and nothing else does.

    The package writes a row at each `save()`; here gateways save states of the same rows many times a second.
    """

    def __init__(self, *, states: Iterable[str] = ()) -> None:
        super().__init__(
            excluded_fields=list(states),
            # The name, as in the audit trail: it stays when the account goes.
            history_user_id_field=models.CharField(max_length=150, blank=True),
            history_user_getter=_actor_of,
            history_user_setter=_set_actor,
        )

    def finalize(self, sender: Any, **kwargs: Any) -> None:
        super().finalize(sender, **kwargs)
        for signal, listener in ((post_save, self.post_save), (post_delete, self.post_delete), (pre_delete, self.pre_delete)):
            signal.disconnect(listener, sender=sender)


def _actor_of(entry: Any) -> str:
    return str(entry.history_user_id)


def _set_actor(entry: Any, actor: str) -> None:
    entry.history_user_id = actor


class Upload(models.Model):
    """A file between its preview and its import; whichever web process answers next finds it here."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    of = models.CharField(max_length=40)  # the model it is for
    by = models.CharField(max_length=150)
    name = models.CharField(max_length=100)
    content = models.BinaryField()
    at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return self.name
