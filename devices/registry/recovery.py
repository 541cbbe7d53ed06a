"""Make a restored backup safe to serve. Decision 46 has the reasons."""

from typing import Any, NamedTuple

from django.contrib.auth.models import User
from django.db import connection, models, transaction

from devices.accounts import sessions
from devices.audit import audit_log
from devices.audit.audit_log import Action
from devices.db import sequences
from devices.history import feed
from devices.models import ApiKey, AuditEvent, Device, Hospital

# The objects whose ids clients, users, logs and exports have.
NUMBERED: tuple[type[models.Model], ...] = (
    *(Device, Hospital, ApiKey, User, AuditEvent),
    *(model.history.model for model in (Device, Hospital, ApiKey)),
)


class Recovery(NamedTuple):
    """The result of `recover`: the last id of a device that is skipped, and the number of sessions that have ended."""

    last_id: int
    sessions: int


@transaction.atomic
def recover(skipped: int) -> Recovery:
    """Make a restored registry safe to serve, in one transaction. A repetition is harmless.

    1. Skip ids of each kind of object: those that were given after the backup are not given again.
    2. End all sessions: some may have been ended after the backup.
    3. Begin a new epoch of the change feed: each client starts over, also one whose cursor is of after the backup.
    4. Record an audit event.

    skipped: the number of ids. It must be more than the registry has given since the backup.
    """
    last = {model: _skip(model, skipped) for model in NUMBERED}
    ended = sessions.end_all()
    feed.begin_epoch()
    audit_log.record(Action.RESTORED, skipped=skipped, sessions=ended)
    return Recovery(last[Device], ended)


def _skip(model: type[models.Model], number: int) -> int:
    key: Any = model._meta.pk
    return sequences.skip(connection, model._meta.db_table, key.column, number)
