"""The audit log: sign-ins, denials, people, exports, imports, prunes. `note` writes an event.

The history has the changes of devices, hospitals and keys; they are not written twice. No caller gives `note` a secret,
nor an email address other than a user name, which is in `username` only.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, models, transaction
from django.http import HttpRequest
from django.utils import timezone

from devices import sql
from devices.models import ApiKey, AuditEvent, AuditRetention, Device, Hospital, Through
from devices.models.people import USER_AGENT_LENGTH
from devices.origin import client_address, network_of
from devices.triggers import records

What, About = AuditEvent.What, AuditEvent.About

KINDS: dict[type[models.Model], str] = {
    Device: About.DEVICE.value,
    Hospital: About.HOSPITAL.value,
    ApiKey: About.API_KEY.value,
}
WITH_USER_AGENT = {
    *(What.SIGNED_IN, What.SIGN_IN_FAILED, What.SIGN_IN_LOCKED),
    *(What.CODE_REFUSED, What.PASSWORD_REFUSED),
}
KNOWN_FOR = timedelta(days=30)

current_request: ContextVar[HttpRequest | None] = ContextVar("current_request", default=None)


def note(what: str, **fields: Any) -> None:
    """Write an event now, in the current transaction. The actor is that of the current request, or a command.

    See `of_request` for the fields. All other names are details.
    """
    of_request(current_request.get(), what, **fields).save(force_insert=True)


def of_request(
    request: HttpRequest | None,
    what: str,
    *,
    about: models.Model | None = None,
    hospital_id: int | None = None,
    user: Any = None,
    **details: Any,
) -> AuditEvent:
    """Return an event of this request, or of a command, that is not written yet.

    `user` is the actor, if it is not the one who is signed in.
    """
    user = user or getattr(request, "user", None)
    key = getattr(request, "auth", None)
    through = Through.COMMAND
    if request is not None:
        through = Through.API if request.path_info.startswith("/api/") else Through.ADMIN
        if what in WITH_USER_AGENT:
            details["user_agent"] = request.headers.get("User-Agent", "")[:USER_AGENT_LENGTH]
    return AuditEvent(
        what=what,
        user_id=user.pk if user else None,
        username=user.get_username() if user else "",
        api_key_id=key.pk if isinstance(key, ApiKey) else None,
        through=through,
        address=client_address(request) if request else None,
        request_id=getattr(request, "request_id", ""),
        about=KINDS.get(type(about), About.PERSON.value) if about else "",
        about_id=about.pk if about else None,
        hospital_id=hospital_id,
        details=details,
    )


def is_known(network: str | None, what: str, **about: Any) -> bool:
    """Return whether this was done from the network (origin.network_of) within KNOWN_FOR."""
    if network is None:
        return False
    events = AuditEvent.objects.filter(what=what, at__gte=timezone.now() - KNOWN_FOR, **about)
    if ":" not in network:
        return events.filter(address=network).exists()
    addresses = events.filter(address__contains=":").values_list("address", flat=True).distinct()
    return any(network_of(address) == network for address in addresses)


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
    """Return the instant before which records may be removed, by the clock of the database."""
    kept = f"(SELECT {retention():d} AS years) AS kept"
    [instant] = sql.fetch_one(f"SELECT {records.KEPT_SINCE[connection.vendor]} FROM {kept}")  # noqa: S608
    return instant if isinstance(instant, datetime) else datetime.fromisoformat(instant).replace(tzinfo=UTC)


@contextmanager
def pruning(before: datetime) -> Iterator[None]:
    """Let records from before this instant be removed within the block, if they are past their retention."""
    with transaction.atomic():
        AuditRetention.objects.update(pruning_before=before)
        yield
        AuditRetention.objects.update(pruning_before=None)
