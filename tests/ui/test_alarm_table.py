"""The rationalisation table: taken, compared, applied whole, faults by row and field."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from pilots.catalogue.alarm_rules import put_default_rules
from pilots.models import AlarmRule, AuditEvent, Pilot
from tests.alarms.builders import make_rule
from tests.ui.conftest import Plant

TABLE = "/pilots/es/commissioning/alarms/"
HEADS = "subject,kind,priority,limit,consequence,respond_s\n"


@pytest.fixture
def rule(plant: Plant) -> AlarmRule:
    return make_rule(plant.power, limit=80_000.0, kind="high")


def sent(client: Client, text: str, **more: str) -> Any:
    path = "apply" if more else "compare"
    return client.post(f"{TABLE}{path}", {"file": SimpleUploadedFile("rules.csv", text.encode()), **more}).json()


@pytest.mark.parametrize("path", ["", "rules.csv", "rules.xlsx"])
def test_only_engineers_come_here(viewer: Client, operator: Client, engineer: Client, rule: AlarmRule, path: str) -> None:
    assert engineer.get(TABLE + path).status_code == 200
    assert [client.get(TABLE + path).status_code for client in (viewer, operator)] == [403, 403]


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_the_table_that_was_taken_changes_nothing_when_it_comes_back(engineer: Client, plant: Plant, kind: str) -> None:
    put_default_rules(Pilot.objects.get())
    make_rule(plant.power, what="=SUM(1)", codes=[2, 3], suppress_when="soc > 5", realarm_s=600)
    taken = engineer.get(f"{TABLE}rules.{kind}").content
    file = SimpleUploadedFile(f"rules.{kind}", taken)
    answer = engineer.post(f"{TABLE}compare", {"file": file}).json()
    assert answer["errors"] == []
    assert answer["counts"] == {"errors": 0, "added": 0, "changed": 0, "removed": 0, "unchanged": AlarmRule.objects.count()}


def test_a_change_is_shown_first_and_applied_as_it_was_shown(engineer: Client, rule: AlarmRule) -> None:
    text = f"{HEADS}es-STO01/active_power,high,critical,90000,The battery trips.,300\n"
    shown = sent(engineer, text)
    assert shown["changed"][0]["point"] == "es-STO01/active_power: high"
    fields = {name: (old, new) for name, old, new in shown["changed"][0]["fields"]}
    assert fields == {
        "priority": ("medium", "critical"),
        "limit": ("80000.0", "90000.0"),
        "consequence": ("–", "The battery trips."),
        "respond_s": ("–", "300.0"),
    }
    assert AlarmRule.objects.get(pk=rule.pk).limit == 80_000
    assert sent(engineer, text, fingerprint=shown["fingerprint"]) == {"added": 0, "changed": 1, "removed": 0}
    rule.refresh_from_db()
    assert (rule.priority, rule.limit, rule.respond_s, rule.own, rule.todo) == (1, 90_000, 300, True, "Use less.")
    event = AuditEvent.objects.get(action="import alarm rules")
    assert (event.actor, event.subject) == ("enza", "rules.csv")
    assert event.details["es-STO01/active_power: high"]["limit"] == [80_000, 90_000]


def test_a_row_of_a_point_without_such_a_rule_is_a_new_rule(engineer: Client, plant: Plant) -> None:
    text = "subject,kind,priority,limit,what\nes-STO01/soc,low_low,2,5,Battery empty\n"
    answer = sent(engineer, text, fingerprint=sent(engineer, text)["fingerprint"])
    assert answer == {"added": 1, "changed": 0, "removed": 0}
    made = AlarmRule.objects.get(kind="low_low")
    assert (made.point, made.priority, made.limit, made.own) == (plant.storage.points.get(name="soc"), 2, 5, True)


@pytest.mark.parametrize(
    ("row", "column", "words"),
    [
        ("es-STO01/active_power,high,urgent,1,,", "priority", "none of critical, high, medium, low"),
        ("es-STO01/active_power,high,low,many,,", "limit", "is no number"),
        ("es-STO01/active_power,high,low,,,", "limit", "needs a limit"),
        ("es-STO01/active_power,high,low,1,,-5", "respond_s", "greater than or equal to 0"),
        ("es-STO01/active_power,higher,low,1,,", "kind", "none of high_high"),
        ("es-STO99/soc,high,low,1,,", "subject", "there is no such rule"),
        (",high,low,1,,", "subject", "is empty"),
    ],
)
def test_a_fault_names_row_and_field_and_stops_everything(
    engineer: Client, rule: AlarmRule, row: str, column: str, words: str
) -> None:
    good = "es-STO01/active_power,high,critical,1,,"
    text = f"{HEADS}{row}\n" if "es-STO01/active_power,high," in row else f"{HEADS}{good}\n{row}\n"
    shown = sent(engineer, text)
    fault = shown["errors"][0]
    assert (fault["row"], fault["column"]) == (text.count("\n"), column)
    assert words in fault["message"]
    assert "nothing was changed" in sent(engineer, text, fingerprint=shown["fingerprint"])["reason"]
    assert AlarmRule.objects.get().priority == 3


def test_what_moved_since_the_comparison_is_not_overwritten(engineer: Client, rule: AlarmRule) -> None:
    text = f"{HEADS}es-STO01/active_power,high,critical,1,,\n"
    shown = sent(engineer, text)
    AlarmRule.objects.update(limit=5)
    assert "Compare again" in sent(engineer, text, fingerprint=shown["fingerprint"])["reason"]
    assert AlarmRule.objects.get().limit == 5
