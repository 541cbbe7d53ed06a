"""Write the audit log: sign-ins, denied requests, changes of users, exports, imports and pruning.

Changes of devices, hospitals and API keys are in the history and not in the audit log. Callers of `record` must pass no
secret and no email address. Only the column `username` can contain an email address, because hospital admins sign in
with theirs.
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

Action = AuditEvent.Action
ObjectType = AuditEvent.ObjectType

OBJECT_TYPES: dict[type[models.Model], str] = {
    Device: ObjectType.DEVICE.value,
    Hospital: ObjectType.HOSPITAL.value,
    ApiKey: ObjectType.API_KEY.value,
}
WITH_USER_AGENT = {
    *(Action.SIGNED_IN, Action.SIGN_IN_FAILED, Action.SIGN_IN_LOCKED),
    *(Action.CODE_REJECTED, Action.PASSWORD_REJECTED),
}
ADDRESS_NOT_ALLOWED = "address"  # `reason` of a denial: the client's address is in no network of the key
KNOWN_FOR = timedelta(days=30)


def record(action: str, **fields: Any) -> None:
    """Write an event in the current transaction. Its actor is that of the current request, or a command.

    `build_event` documents the fields.
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
    """Return an unsaved event of this request, or of a command if there is no request.

    `obj` is the object of the event. `user` is the actor, by default the signed-in user. Other arguments are details.
    """
    user = user or getattr(request, "user", None)
    key = getattr(request, "auth", None) or getattr(request, "denied_key", None)
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
    """Return whether the log has such an event from this network (client_ip.network_of) within KNOWN_FOR."""
    if network is None:
        return False
    events = AuditEvent.objects.filter(action=action, created_at__gte=timezone.now() - KNOWN_FOR, **conditions)
    if ":" not in network:
        return events.filter(ip_address=network).exists()
    addresses = events.filter(ip_address__contains=":").values_list("ip_address", flat=True).distinct()
    return any(network_of(address) == network for address in addresses)
