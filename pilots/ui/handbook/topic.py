"""What a topic of the handbook and a key of a page are."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.functional import Promise

from pilots.models import Role

Words = str | Promise


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """A topic: short paragraphs, and beside them what can be drawn or listed from the product itself."""

    key: str
    title: Words
    body: tuple[Words, ...]
    #: Names of the routes whose page this is.
    routes: tuple[str, ...] = ()
    #: Who may do what it tells of; empty: everybody who sees the page.
    roles: tuple[Role, ...] = ()
    #: Scripts whose keys work there.
    keys: tuple[str, ...] = ()
    #: A template of templates/pilots/help/ drawn below the text.
    figure: str = ""


@dataclass(frozen=True, slots=True)
class Key:
    """Keys as a browser names them, any of which does the same."""

    keys: tuple[str, ...]
    does: Words
    #: Done by the browser itself (a link, a form), not by a script of ours.
    native: bool = False
