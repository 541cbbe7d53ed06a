"""The audit log: sign-ins, denials, people, exports, imports, prunes. `note` writes an event.

The history has the changes of devices, hospitals and keys; they are not written twice. No caller gives `note` a secret,
nor an email address other than a user name, which is in `username` only.
"""

from datetime import timedelta
from typing import Any

from django.db import models
from django.http import HttpRequest
from django.utils import timezone

from devices.access.client_ip import client_ip, network_of
from devices.access.current import current_request
from devices.models import ApiKey, AuditEvent, Channel, Device, Hospital
from devices.models.users import USER_AGENT_LENGTH

Action, ObjectType = AuditEvent.Action, AuditEvent.ObjectType

OBJECT_TYPES: dict[type[models.Model], str] = {
    Device: ObjectType.DEVICE.value,
    Hospital: ObjectType.HOSPITAL.value,
    ApiKey: ObjectType.API_KEY.value,
}
WITH_USER_AGENT = {
    *(Action.SIGNED_IN, Action.SIGN_IN_FAILED, Action.SIGN_IN_LOCKED),
    *(Action.CODE_REJECTED, Action.PASSWORD_REJECTED),
}
KNOWN_FOR = timedelta(days=30)


def record(action: str, **fields: Any) -> None:
    """Write an event now, in the current transaction. The actor is that of the current request, or a command.

    See `of_request` for the fields. All other names are details.
    """
    build_event(current_request.get(), action, **fields).save(force_insert=True)


def build_event(
    request: HttpRequest | None,
    action: str,
    *,
    obj: models.Model | None = None,
    hospital_id: int | None = None,
    user: Any = None,
    **details: Any,
) -> AuditEvent:
    """Return an event of this request, or of a command, that is not written yet.

    `user` is the actor, if it is not the one who is signed in.
    """
    user = user or getattr(request, "user", None)
    key = getattr(request, "auth", None)
    channel = Channel.COMMAND
    if request is not None:
        channel = Channel.API if request.path_info.startswith("/api/") else Channel.ADMIN
        if action in WITH_USER_AGENT:
            details["user_agent"] = request.headers.get("User-Agent", "")[:USER_AGENT_LENGTH]
    return AuditEvent(
        action=action,
        user_id=user.pk if user else None,
        username=user.get_username() if user else "",
        api_key_id=key.pk if isinstance(key, ApiKey) else None,
        channel=channel,
        ip_address=client_ip(request) if request else None,
        request_id=getattr(request, "request_id", ""),
        object_type=OBJECT_TYPES.get(type(obj), ObjectType.USER.value) if obj else "",
        object_id=obj.pk if obj else None,
        hospital_id=hospital_id,
        details=details,
    )


def was_done_from(network: str | None, action: str, **conditions: Any) -> bool:
    """Return whether this was done from the network (origin.network_of) within KNOWN_FOR."""
    if network is None:
        return False
    events = AuditEvent.objects.filter(action=action, created_at__gte=timezone.now() - KNOWN_FOR, **conditions)
    if ":" not in network:
        return events.filter(ip_address=network).exists()
    addresses = events.filter(ip_address__contains=":").values_list("ip_address", flat=True).distinct()
    return any(network_of(address) == network for address in addresses)
