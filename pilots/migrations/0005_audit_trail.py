"""The audit trail is hash-chained and only added to: the rows so far are linked, then triggers refuse everything but INSERT.

PostgreSQL links a row at its COMMIT (deferred trigger), so the lock that serialises the trail is the transaction's last one
and nobody who holds it waits for anybody's rows. SQLite has one writer at a time: pilots.audit links the row, and the
triggers see that it follows the newest one. Hashes as in domain/chain.py.
"""

from __future__ import annotations

from django.db import migrations, models

from pilots.domain.chain import CONTENT, GENESIS, digest, link

POSTGRESQL = [
    """
CREATE FUNCTION audit_chain() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    last_number bigint := 0;
    last_hash text := repeat('0', 64);
    newest record;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('pilots_auditevent'));
    SELECT number, hash INTO newest FROM pilots_auditevent WHERE number IS NOT NULL ORDER BY number DESC LIMIT 1;
    IF FOUND THEN
        last_number := newest.number;
        last_hash := newest.hash;
    END IF;
    UPDATE pilots_auditevent SET number = last_number + 1,
        hash = encode(sha256(convert_to(concat(last_hash, last_number + 1, NEW.hash), 'UTF8')), 'hex')
        WHERE id = NEW.id;
    RETURN NULL;
END $$""",
    """
CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit trail is only added to' USING ERRCODE = 'insufficient_privilege';
END $$""",
    """
CREATE CONSTRAINT TRIGGER audit_chained AFTER INSERT ON pilots_auditevent
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION audit_chain()""",
    # The one update that is none: a row that has no number yet gets it.
    """
CREATE TRIGGER audit_unchanged BEFORE UPDATE ON pilots_auditevent FOR EACH ROW
    WHEN (OLD.number IS NOT NULL OR NEW.number IS NULL
        OR (OLD.id, OLD.at, OLD.actor, OLD.action, OLD.pilot, OLD.subject, OLD.reason, OLD.details)
            IS DISTINCT FROM (NEW.id, NEW.at, NEW.actor, NEW.action, NEW.pilot, NEW.subject, NEW.reason, NEW.details))
    EXECUTE FUNCTION audit_refuse()""",
    """
CREATE TRIGGER audit_kept BEFORE DELETE OR TRUNCATE ON pilots_auditevent
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()""",
]
SQLITE = [
    # REPLACE deletes without telling the trigger of deletions.
    """
CREATE TRIGGER audit_chained BEFORE INSERT ON pilots_auditevent
WHEN NEW.number IS NOT (SELECT coalesce(max(number), 0) + 1 FROM pilots_auditevent)
    OR EXISTS (SELECT 1 FROM pilots_auditevent WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'the audit trail is only added to'); END""",
    """
CREATE TRIGGER audit_unchanged BEFORE UPDATE ON pilots_auditevent
BEGIN SELECT RAISE(ABORT, 'the audit trail is only added to'); END""",
    """
CREATE TRIGGER audit_kept BEFORE DELETE ON pilots_auditevent
BEGIN SELECT RAISE(ABORT, 'the audit trail is only added to'); END""",
]
TRIGGERS = ("audit_chained", "audit_unchanged", "audit_kept")


def chain(apps, schema_editor):
    """The rows so far, in the order they came."""
    events = apps.get_model("pilots", "AuditEvent").objects.using(schema_editor.connection.alias)
    before, batch = GENESIS, []
    for number, event in enumerate(events.order_by("id").iterator(chunk_size=1000), 1):
        before = link(before, number, digest({name: getattr(event, name) for name in CONTENT}))
        event.number, event.hash = number, before
        batch.append(event)
        if len(batch) == 1000:
            events.bulk_update(batch, ["number", "hash"])
            batch = []
    events.bulk_update(batch, ["number", "hash"])


def protect(apps, schema_editor):
    for statement in POSTGRESQL if schema_editor.connection.vendor == "postgresql" else SQLITE:
        schema_editor.execute(statement, params=None)


def unprotect(apps, schema_editor):
    postgresql = schema_editor.connection.vendor == "postgresql"
    for trigger in TRIGGERS:
        schema_editor.execute(f"DROP TRIGGER {trigger}" + (" ON pilots_auditevent" if postgresql else ""))
    if postgresql:
        schema_editor.execute("DROP FUNCTION audit_chain(), audit_refuse()")


class Migration(migrations.Migration):
    dependencies = [("pilots", "0004_latest_value_room")]
    operations = [
        migrations.AddField(
            "auditevent", "number", models.BigIntegerField(editable=False, null=True, unique=True, verbose_name="number")
        ),
        migrations.AddField(
            "auditevent",
            "hash",
            models.CharField(default="", editable=False, max_length=64, verbose_name="hash"),
            preserve_default=False,
        ),
        migrations.AddIndex("auditevent", models.Index(fields=["pilot", "number"], name="audit_of_pilot")),
        migrations.CreateModel(
            name="AuditVerification",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("at", models.DateTimeField()),
                ("number", models.BigIntegerField()),
                ("hash", models.CharField(max_length=64)),
                ("fault", models.CharField(blank=True, max_length=300)),
            ],
        ),
        migrations.RunPython(chain, migrations.RunPython.noop),
        migrations.RunPython(protect, unprotect),
    ]
