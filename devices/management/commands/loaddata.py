"""Load a dump of `dumpdata`: Django's `loaddata`, for tables with triggers, an audit log and ids that are not reused.

- The loaded users and hospital admins write no audit events, because the dump contains those events.
- Counts of devices are not loaded: the triggers count the loaded devices.
- Content types and permissions are not loaded: `migrate` has created them.
- New objects get ids above those in the loaded history and audit log, so no id of a deleted object is reused.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import CommandError
from django.core.management.commands import loaddata
from django.db import IntegrityError, connections, models, transaction
from django.db.models import Max
from django.db.models.signals import m2m_changed

from devices.accounts import receivers
from devices.db import sequences
from devices.models import ApiKey, AuditEvent, Device, Hospital, HospitalAlias

EXCLUDED = ("admin.logentry", "auth.permission", "contenttypes", "devices.devicecount")


class Command(loaddata.Command):
    help = (
        "Load a dump of `dumpdata` into an empty database, right after `migrate`, with history, audit log, counts and "
        "ids. The dump can be from PostgreSQL or SQLite."
    )

    def handle(self, *fixture_labels: str, **options: Any) -> None:
        options["exclude"] = [*options["exclude"], *EXCLUDED]
        try:
            with transaction.atomic(using=options["database"]), _admins_unrecorded():
                super().handle(*fixture_labels, **options)
                for model, last in _last_ids().items():
                    sequences.skip_to(connections[options["database"]], model._meta.db_table, last)
        except IntegrityError as error:
            raise CommandError(f"{error} Load a dump into an empty database, right after `migrate`.") from error


@contextmanager
def _admins_unrecorded() -> Iterator[None]:
    """Record no audit events for hospital admins. The signal m2m_changed has no flag `raw` for loaded data."""
    sender = Hospital.admins.through
    m2m_changed.disconnect(receivers.admins_changed, sender=sender)
    try:
        yield
    finally:
        m2m_changed.connect(receivers.admins_changed, sender=sender)


def _last_ids() -> dict[type[models.Model], int]:
    """Return the last id of each kind of object in the history and the audit log."""
    events = AuditEvent.objects.order_by()
    columns = {
        Device: [(Device.history.all(), "id")],
        Hospital: [(Hospital.history.all(), "id"), (HospitalAlias.objects.all(), "former_id")],
        ApiKey: [(ApiKey.history.all(), "id"), (events, "api_key_id")],
        User: [
            (events, "user_id"),
            (events.filter(object_type=AuditEvent.ObjectType.USER), "object_id"),
            *((model.history.all(), "history_user_id") for model in (Device, Hospital, ApiKey)),
        ],
    }
    found = {
        model: max(rows.order_by().aggregate(last=Max(column))["last"] or 0 for rows, column in sources)
        for model, sources in columns.items()
    }
    return {model: last for model, last in found.items() if last}
