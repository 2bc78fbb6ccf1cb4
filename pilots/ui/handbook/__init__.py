"""The handbook inside the product: topics of pages, tasks and reading, drawn with the product's own symbols and words."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from pilots.ui.handbook.pages import PAGES
from pilots.ui.handbook.tasks import READING, REFERENCE, TASKS
from pilots.ui.handbook.topic import Topic, Words

SECTIONS: tuple[tuple[Words, tuple[Topic, ...]], ...] = (
    (_("Tasks of a shift"), TASKS),
    (_("Reading what you see"), READING),
    (_("Pages"), PAGES),
    (_("Keys, roles, words"), REFERENCE),
)
TOPICS: dict[str, Topic] = {topic.key: topic for _title, topics in SECTIONS for topic in topics}
_BY_ROUTE = {route: topic.key for topic in PAGES for route in topic.routes}


def topic_of(route: str) -> str:
    """The key of the topic of the page behind a route's name; empty where there is no such page."""
    return _BY_ROUTE.get(route, "")
