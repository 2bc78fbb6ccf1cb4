"""Alarms told by mail and webhook, over real sockets: what, whom, when, how often, and where to never."""

from __future__ import annotations

import hmac
import json
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
import trustme
from django.test import Client

from pilots.alarms.occurrences import Coming, Going, turn
from pilots.alarms.services import acknowledge
from pilots.alarms.upkeep import keep_up
from pilots.domain.alarm import Priority
from pilots.models import Alarm, AuditEvent, Delivery, NotificationContact, NotificationRule, NotifiedAlarm, Role
from pilots.notifications import sending, webhook
from pilots.notifications.planning import IN_A_MESSAGE, plan_notifications
from pilots.notifications.sending import ABANDONED, PATIENCE, send_notifications, take_back_abandoned
from pilots.notifications.services import notify
from pilots.notifications.webhook import key_of, may_be_asked
from tests.admin.conftest import LogIn, log_in, read_form, said, staff
from tests.alarms.builders import make_rule
from tests.builders import make_device, make_pilot, make_point
from tests.notifications.peers import MailServer, Receiver, mail_server, receiver
from tests.ui.conftest import Plant, plant

__all__ = ["log_in", "plant"]
NOW = datetime(2026, 6, 12, 12, 5, tzinfo=UTC)  # 14:05 in Madrid
MINUTE = timedelta(minutes=1)


@pytest.fixture
def mails(settings: Any) -> Iterator[MailServer]:
    with mail_server() as sink:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_USE_TLS = "127.0.0.1", sink.port, False
        settings.PUBLIC_URL = "https://scada.example"
        yield sink


@pytest.fixture
def hook(settings: Any) -> Iterator[Receiver]:
    with receiver() as far_end:
        settings.WEBHOOK_NETWORKS = [ip_network("127.0.0.0/8"), ip_network("::1/128")]
        yield far_end


def make_contact(rule: NotificationRule, address: str = "ops@example.org", **fields: Any) -> NotificationContact:
    way = "mail" if "@" in address else "webhook"
    return NotificationContact.objects.create(rule=rule, address=address, **({"way": way} | fields))


def make_notification(plant: Plant, *addresses: str, **fields: Any) -> NotificationRule:
    form = {"pilot": plant.pilot, "zone": "Europe/Madrid", "since": NOW - timedelta(days=1), "name": "room"}
    rule = NotificationRule.objects.create(**(form | fields))
    for address in addresses:
        make_contact(rule, address)
    return rule


def come(plant: Plant, *, at: datetime = NOW, **fields: Any) -> Alarm:
    fields = {"what": "Battery temperature: trip limit", "priority": 1, "todo": "Look at the room. Call the maker."} | fields
    rule = make_rule(plant.power, **fields)
    turn([Coming(rule.pk, at, 91_500.0, 80_000.0)], [], now=at)
    return Alarm.objects.get(rule=rule)


def crowd(plant: Plant, count: int) -> list[Alarm]:
    """So many alarms of as many devices, a second apart."""
    points = [make_point(make_device(plant.pilot, f"es-STO{number + 10}")) for number in range(count)]
    rules = [make_rule(point, priority=1) for point in points]
    for number, rule in enumerate(rules):
        turn([Coming(rule.pk, NOW - timedelta(seconds=number), 1.0, 0.0)], [], now=NOW)
    return list(Alarm.objects.filter(rule__in=rules))


def test_a_mail_says_what_where_since_when_and_leads_to_the_alarm(plant: Plant, mails: MailServer) -> None:
    make_notification(plant, "ops@example.org")
    alarm = come(plant, at=NOW - MINUTE)
    assert notify(now=NOW) == 1
    (mail,) = mails.mails
    text = mail.get_content()
    assert mail["Subject"] == "[critical] Granollers: es-STO01/active_power Battery temperature: trip limit"
    assert (mail["To"], mail["Auto-Submitted"]) == ("ops@example.org", "auto-generated")
    for words in ("2026-06-12 14:04:00 CEST (Europe/Madrid)", f"https://scada.example/alarms/{alarm.pk}/", "Look at the room."):
        assert words in text, words
    delivery = Delivery.objects.get()
    assert mail["Message-ID"].startswith(f"<{delivery.pk}@")
    assert (delivery.state, delivery.attempts, delivery.outcome) == ("sent", 1, "Taken by 127.0.0.1.")


def test_nothing_is_told_twice_and_what_comes_together_is_told_together(plant: Plant, mails: MailServer) -> None:
    make_notification(plant, "ops@example.org")
    crowd(plant, IN_A_MESSAGE + 3)
    for minutes in range(3):
        notify(now=NOW + minutes * MINUTE)
    (mail,) = mails.mails
    assert f"and {IN_A_MESSAGE + 2} more" in mail["Subject"]
    assert "And 3 more." in mail.get_content()
    assert NotifiedAlarm.objects.count() == IN_A_MESSAGE + 3


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"priority": Priority.CRITICAL}, 1),
        ({"priority": Priority.HIGH}, 1),
        ({"kinds": ["link_down"]}, 0),
        ({"kinds": ["link_down", "high"]}, 1),
        ({"pilot": None}, 1),
        ({"enabled": False}, 0),
        ({"since": NOW}, 0),
    ],
)
def test_a_rule_tells_what_it_is_for(plant: Plant, fields: dict[str, Any], told: int) -> None:
    make_notification(plant, "ops@example.org", **fields)
    come(plant, at=NOW - MINUTE)
    assert plan_notifications(now=NOW) == told


def test_what_is_less_urgent_hidden_seen_or_elsewhere_is_not_told(plant: Plant) -> None:
    make_notification(plant, "ops@example.org", priority=Priority.HIGH)
    other = make_point(make_device(make_pilot("nl"), "nl-STO01"))
    elsewhere = make_rule(other, priority=1)
    turn([Coming(elsewhere.pk, NOW, 1.0, 0.0)], [], now=NOW)
    come(plant, priority=3)
    hidden, seen = come(plant, subject="hidden"), come(plant, subject="seen")
    Alarm.objects.filter(pk=hidden.pk).update(hidden="shelved")
    acknowledge([seen.pk], among=Alarm.objects.all(), by="olaf", comment="", now=NOW)
    assert plan_notifications(now=NOW) == 0


def test_quiet_hours_of_the_rules_zone_hold_back_until_they_end(plant: Plant, mails: MailServer) -> None:
    make_notification(plant, "ops@example.org", quiet_from=time(13, 0), quiet_until=time(15, 0))
    come(plant, priority=2)  # 14:05 in Madrid: quiet
    assert [notify(now=NOW + timedelta(minutes=minutes)) for minutes in (0, 54, 55)] == [0, 0, 1]
    loud = come(plant, subject="loud", priority=1)
    assert plan_notifications(now=NOW) == 1
    assert NotifiedAlarm.objects.get(alarm=loud).at == NOW


@pytest.mark.parametrize(("hour", "quiet"), [(21, False), (22, True), (3, True), (6, False)])
def test_quiet_hours_may_pass_midnight(hour: int, quiet: bool) -> None:
    rule = NotificationRule(zone="UTC", quiet_from=time(22), quiet_until=time(6))
    moment = datetime(2026, 6, 12, hour, tzinfo=UTC)
    assert [rule.is_quiet(priority, moment) for priority in (1, 2)] == [False, quiet]


def test_the_next_contact_is_told_while_nobody_has_acknowledged(plant: Plant, mails: MailServer) -> None:
    rule = make_notification(plant, "first@example.org")
    make_contact(rule, "boss@example.org", after_min=10)
    make_contact(rule, "chief@example.org", after_min=20)
    alarm = come(plant, at=NOW - timedelta(hours=1))
    for minutes in (0, 9, 10, 15):
        notify(now=NOW + minutes * MINUTE)
    assert [mail["To"] for mail in mails.mails] == ["first@example.org", "boss@example.org"]
    acknowledge([alarm.pk], among=Alarm.objects.all(), by="olaf", comment="", now=NOW + 16 * MINUTE)
    assert notify(now=NOW + 30 * MINUTE) == 0


def test_what_asks_again_is_told_again_from_the_first_to_whom_it_escalates(plant: Plant, mails: MailServer) -> None:
    rule = make_notification(plant, "first@example.org")
    make_contact(rule, "second@example.org", after_min=10)
    alarm = come(plant, realarm_s=1800)
    notify(now=NOW)
    acknowledge([alarm.pk], among=Alarm.objects.all(), by="ana", comment="", now=NOW + MINUTE)
    keep_up(NOW + 30 * MINUTE)
    assert [notify(now=NOW + 30 * MINUTE), len(mails.mails)] == [0, 1]  # it has been quiet for 29 minutes
    keep_up(NOW + 31 * MINUTE)
    assert [notify(now=NOW + minutes * MINUTE) for minutes in (31, 32, 41)] == [1, 0, 1]
    assert [mail["To"] for mail in mails.mails] == ["first@example.org", "first@example.org", "second@example.org"]


def test_what_returned_unseen_is_told_as_such(plant: Plant, mails: MailServer) -> None:
    make_notification(plant, "ops@example.org")
    alarm = come(plant, at=NOW - MINUTE)
    assert alarm.rule is not None
    turn([], [Going(alarm.rule.pk, NOW)], now=NOW)
    notify(now=NOW)
    assert "returned to normal, not acknowledged" in mails.mails[0].get_content()


def test_a_refused_mail_is_tried_again_with_patience_and_then_given_up(plant: Plant, mails: MailServer) -> None:
    make_notification(plant, "ops@example.org")
    come(plant)
    mails.refusals = ["451 try later"] * (len(PATIENCE) + 1)
    moment = NOW
    for wait in (timedelta(0), *PATIENCE):
        assert notify(now=moment + wait - timedelta(seconds=1)) == 0
        moment += wait
        assert notify(now=moment) == 0
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.attempts, mails.refusals) == ("failed", len(PATIENCE) + 1, [])
    assert "451" in delivery.outcome


def test_an_address_that_is_none_is_not_tried_again(plant: Plant, mails: MailServer) -> None:
    make_notification(plant, "nobody@example.org")
    come(plant)
    mails.refusals = ["550 no such user"]
    notify(now=NOW)
    assert (Delivery.objects.get().state, Delivery.objects.get().attempts) == ("failed", 1)


def test_without_a_mail_server_the_log_says_so(plant: Plant, settings: Any) -> None:
    settings.EMAIL_HOST = ""
    make_notification(plant, "ops@example.org")
    come(plant)
    notify(now=NOW)
    assert Delivery.objects.get().outcome == "No mail server is set: INVADE_SMTP_HOST is empty."


def test_a_webhook_gets_the_alarms_signed(plant: Plant, hook: Receiver) -> None:
    rule = make_notification(plant, hook.url)
    alarm = come(plant)
    assert notify(now=NOW) == 1
    ((path, headers, body),) = hook.calls
    delivery, contact = Delivery.objects.get(), rule.contacts.get()
    at, said_signature = headers["X-Invade-Signature"].removeprefix("t=").split(",v1=")
    expected = hmac.new(key_of(contact).encode(), f"{at}.".encode() + body, "sha256").hexdigest()
    assert (path, headers["Host"], said_signature) == ("/hook?room=1", f"localhost:{hook.port}", expected)
    told = json.loads(body)
    assert (told["id"], told["id"], told["may_be_a_repeat"]) == (str(delivery.pk), headers["Idempotency-Key"], False)
    assert [(each["id"], each["priority"], each["value"]) for each in told["alarms"]] == [(str(alarm.pk), "critical", 91_500.0)]
    assert delivery.outcome == "The webhook answered 200."


@pytest.mark.parametrize(("name", "state"), [("localhost", "sent"), ("elsewhere.example", "waiting")])
def test_a_certificate_is_checked_against_the_name_though_the_address_is_called(
    plant: Plant, settings: Any, monkeypatch: pytest.MonkeyPatch, name: str, state: str
) -> None:
    authority, served, trusting = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert(name).configure_cert(served)
    authority.configure_trust(trusting)
    monkeypatch.setattr(webhook, "_trust", lambda: trusting)
    settings.WEBHOOK_NETWORKS = [ip_network("127.0.0.0/8"), ip_network("::1/128")]
    with receiver(served) as far_end:
        make_notification(plant, far_end.url)
        come(plant)
        notify(now=NOW)
        assert (Delivery.objects.get().state, len(far_end.calls)) == (state, int(state == "sent"))


@pytest.mark.parametrize(("code", "state"), [(500, "waiting"), (302, "waiting"), (404, "failed")])
def test_a_webhook_that_does_not_take_it_is_noted_and_never_followed(plant: Plant, hook: Receiver, code: int, state: str) -> None:
    make_notification(plant, hook.url)
    come(plant)
    hook.answers = [code]
    notify(now=NOW)
    delivery = Delivery.objects.get()
    assert (len(hook.calls), delivery.state, delivery.outcome) == (1, state, f"The webhook answered {code}.")


def test_a_crash_between_sending_and_noting_repeats_once_and_says_so(
    plant: Plant, hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_notification(plant, hook.url)
    come(plant)

    def dies(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(sending, "_note", dies)
        for moment in (NOW, NOW + ABANDONED + MINUTE):
            with pytest.raises(KeyboardInterrupt):
                notify(now=moment)
    assert send_notifications(now=NOW + 3 * ABANDONED) == 0
    assert [json.loads(body)["may_be_a_repeat"] for _path, _headers, body in hook.calls] == [False, True]
    assert len({headers["Idempotency-Key"] for _path, headers, _body in hook.calls}) == 1
    assert (Delivery.objects.get().state, Delivery.objects.get().attempts) == ("failed", 2)


def test_what_another_worker_claimed_is_left_alone(plant: Plant, hook: Receiver) -> None:
    make_notification(plant, hook.url)
    come(plant)
    plan_notifications(now=NOW)
    Delivery.objects.update(state="sending", claimed_at=NOW)
    take_back_abandoned(now=NOW + ABANDONED)
    assert send_notifications(now=NOW + ABANDONED) == 0
    assert hook.calls == []


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "192.168.1.1", "169.254.169.254", "100.100.100.200", "0.0.0.0", "224.0.0.1"),
        *("::1", "fe80::1", "fd00:ec2::254", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::"),
    ],
)
def test_addresses_inside_are_refused(address: str, settings: Any) -> None:
    assert not may_be_asked(ip_address(address))
    settings.WEBHOOK_NETWORKS = [ip_network("10.0.0.0/8")]
    assert may_be_asked(ip_address(address)) is address.startswith("10.")


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"])
def test_public_addresses_may_be_asked(address: str) -> None:
    assert may_be_asked(ip_address(address))


def test_a_name_that_leads_inside_is_refused_before_anything_is_sent(plant: Plant, hook: Receiver, settings: Any) -> None:
    settings.WEBHOOK_NETWORKS = []
    make_notification(plant, hook.url)
    come(plant)
    notify(now=NOW)
    delivery = Delivery.objects.get()
    assert (hook.calls, delivery.state) == ([], "failed")
    assert "INVADE_WEBHOOK_NETWORKS" in delivery.outcome


def test_the_test_button_tells_every_contact_at_once(plant: Plant, log_in: LogIn, mails: MailServer, hook: Receiver) -> None:
    rule = make_notification(plant, "ops@example.org", hook.url, quiet_from=time(0), quiet_until=time(23, 59))
    client = staff(log_in, Role.ENGINEER, plant.pilot)
    answer = client.post(f"/admin/pilots/notificationrule/{rule.pk}/test/", follow=True)
    assert (len(mails.mails), len(hook.calls)) == (1, 1)
    assert "no alarm is behind it" in mails.mails[0].get_content()
    assert "The webhook answered 200." in said(answer) and "Taken by" in said(answer)
    told = AuditEvent.objects.get(action="test notification").details
    assert (told["mail ops@example.org"], told[f"webhook http://localhost:{hook.port}"]) == ("sent", "sent")


def test_rules_are_changed_by_engineers_of_their_pilot_and_secrets_stay_out_of_the_trail(plant: Plant, log_in: LogIn) -> None:
    rule = make_notification(plant, "https://hooks.example/T0P-SECRET")
    everywhere = make_notification(plant, pilot=None, name="all")
    client: Client = staff(log_in, Role.ENGINEER, plant.pilot)
    page = f"/admin/pilots/notificationrule/{rule.pk}/change/"
    form = read_form(client, page) | {"enabled": "on", "quiet_from": "22:00:00", "quiet_until": "06:00:00"}
    form |= {"contacts-0-address": "https://hooks.example/N3W-SECRET"}
    assert client.post(page, form).status_code == 302
    rule.refresh_from_db()
    assert (rule.quiet_from, rule.since) == (time(22), NOW - timedelta(days=1))
    told = AuditEvent.objects.get(action="change notification rule")
    assert "SECRET" not in json.dumps(told.details)
    assert client.get(f"/admin/pilots/notificationrule/{everywhere.pk}/change/").status_code == 302
    viewer = staff(log_in, Role.VIEWER, plant.pilot)
    assert viewer.get(page).status_code == 403


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("kinds", '["gossip"]', "Kinds are a list of"),
        ("quiet_from", "22:00:00", "have a beginning and an end"),
        ("zone", "Mars/Base", "Europe/Madrid"),
        ("contacts-0-address", "ops", "no mail address"),
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused_at_its_field(
    plant: Plant, log_in: LogIn, field: str, value: str, words: str
) -> None:
    rule = make_notification(plant, "ops@example.org")
    client = staff(log_in, Role.ENGINEER, plant.pilot)
    page = f"/admin/pilots/notificationrule/{rule.pk}/change/"
    answer = client.post(page, read_form(client, page) | {field: value})
    assert answer.status_code == 200
    assert words in answer.content.decode()


def test_the_log_shows_what_was_told_to_the_pilots_engineers(plant: Plant, log_in: LogIn) -> None:
    make_notification(plant, "ops@example.org")
    come(plant)
    plan_notifications(now=NOW)
    client = staff(log_in, Role.ENGINEER, plant.pilot)
    assert "ops@example.org" in client.get("/admin/pilots/delivery/").content.decode()
    assert client.get(f"/admin/pilots/delivery/{Delivery.objects.get().pk}/change/").status_code == 200
    other = staff(log_in, Role.ENGINEER, make_pilot("nl"))
    assert "ops@example.org" not in other.get("/admin/pilots/delivery/").content.decode()
