"""What is on record besides changes: sign-ins, denials, people, exports, imports, prunes. One verb: `note`.

The changes of devices, hospitals and keys are not written twice: their history is on record as it is. No caller gives
`note` a secret, nor an e-mail address: what a person signs in with stands in `username`, and nowhere else.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.db import connection, models, transaction
from django.http import HttpRequest

from devices import sql
from devices.models import ApiKey, AuditEvent, AuditRetention, Device, Hospital, Through
from devices.origin import client_address
from devices.triggers import records

What, About = AuditEvent.What, AuditEvent.About

KINDS: dict[type[models.Model], str] = {
    Device: About.DEVICE.value,
    Hospital: About.HOSPITAL.value,
    ApiKey: About.API_KEY.value,
}

current_request: ContextVar[HttpRequest | None] = ContextVar("current_request", default=None)


def note(
    what: str, *, about: models.Model | None = None, hospital_id: int | None = None, user: Any = None, **details: Any
) -> None:
    """Put something on record: now, in the transaction that there is, by whoever's request this thread is at.

    `user` is who did it, where that is not who the request is signed in as. Outside a request it is a command.
    """
    event = of_request(current_request.get(), what, user=user, hospital_id=hospital_id, details=details)
    if about is not None:
        event.about, event.about_id = KINDS.get(type(about), About.PERSON), about.pk
    event.save(force_insert=True)


def of_request(request: HttpRequest | None, what: str, *, user: Any = None, **fields: Any) -> AuditEvent:
    """Return an event of this request, or of a command, that is not written yet."""
    if request is None:
        return AuditEvent(what=what, through=Through.COMMAND, user_id=user and user.pk, username=_name(user), **fields)
    key = getattr(request, "auth", None)
    user = user or getattr(request, "user", None)
    return AuditEvent(
        what=what,
        through=Through.API if request.path_info.startswith("/api/") else Through.ADMIN,
        user_id=user.pk if user else None,  # None too for somebody anonymous
        username=_name(user),
        api_key_id=key.pk if isinstance(key, ApiKey) else None,
        address=client_address(request),
        request_id=getattr(request, "request_id", ""),
        **fields,
    )


def _name(user: Any) -> str:
    return str(user.get_username()) if user else ""


class TooSoon(Exception):
    """Records would be removed before their time."""

    def __init__(self, years: int) -> None:
        self.years = years
        super().__init__(f"Records are kept for {years} years.")


def raise_retention() -> None:
    """Keep records for AUDIT_YEARS from now on, if that is longer than before."""
    kept = AuditRetention.objects.get()
    if kept.years < settings.AUDIT_YEARS:
        with transaction.atomic():
            AuditRetention.objects.update(years=settings.AUDIT_YEARS)
            note(What.RETENTION_RAISED, before=kept.years, after=settings.AUDIT_YEARS)


def retention() -> int:
    """Return for how many years records are kept, or will be once AUDIT_YEARS has raised it."""
    return max(AuditRetention.objects.get().years, settings.AUDIT_YEARS)


def kept_since() -> datetime:
    """Return the instant before which records are past their time, by the clock of the database."""
    kept = f"(SELECT {retention():d} AS years) AS kept"
    [instant] = sql.fetch_one(f"SELECT {records.KEPT_SINCE[connection.vendor]} FROM {kept}")  # noqa: S608
    return instant if isinstance(instant, datetime) else datetime.fromisoformat(instant).replace(tzinfo=UTC)


def check_past(before: datetime) -> None:
    """Check that whatever is from before then is past its time.

    Raises:
        TooSoon: it is not, all of it.
    """
    if before > kept_since():
        raise TooSoon(retention())


@contextmanager
def pruning(before: datetime) -> Iterator[None]:
    """Let records of before then be removed within this block, as far as they are past their time."""
    with transaction.atomic():
        AuditRetention.objects.update(pruning_before=before)
        yield
        AuditRetention.objects.update(pruning_before=None)


def note_admins(events: Iterable[tuple[str, int, int]]) -> None:
    """Put on record, of each (what, person's id, hospital's id), whose admin somebody has become or is no longer."""
    rows = [
        of_request(current_request.get(), what, about=About.PERSON, about_id=person, hospital_id=hospital)
        for what, person, hospital in events
    ]
    AuditEvent.objects.bulk_create(rows)
