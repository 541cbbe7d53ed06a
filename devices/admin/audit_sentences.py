"""Show audit events as sentences with links. Events store codes, so each reader gets them in their own language."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from devices.accounts import api_key_texts
from devices.audit.audit_log import ADDRESS_NOT_ALLOWED, Action, ObjectType
from devices.models import ApiKey, AuditEvent, Channel, Device, Hospital, HospitalAlias

SENTENCES: dict[str, Any] = {
    Action.SIGNED_IN: _("{who} signed in"),
    Action.SIGNED_OUT: _("{who} signed out"),
    Action.SIGN_IN_FAILED: _("{who} failed to sign in as {object}"),
    Action.SIGN_IN_LOCKED: _("{who} failed to sign in as {object}, and was locked out"),
    Action.CODE_ACCEPTED: _("{who} entered a correct verification code"),
    Action.CODE_REJECTED: _("{who} entered a wrong verification code for {object}"),
    Action.TWO_FACTOR_ENABLED: _("{who} set up two-factor authentication for {object}"),
    Action.TWO_FACTOR_RESET: _("{who} reset the two-factor authentication of {object}"),
    Action.RECOVERY_CODES_CREATED: _("{who} created new recovery codes for {object}"),
    Action.PASSWORD_SET: _("{who} set the password of {object}"),
    Action.PASSWORD_LINK_CREATED: _("{who} created a link to set the password of {object}"),
    Action.USER_ADDED: _("{who} added the user {object}"),
    Action.USER_CHANGED: _("{who} changed the user {object}"),
    Action.HOSPITAL_ADMIN_ADDED: _("{who} made {object} an admin of {hospital}"),
    Action.HOSPITAL_ADMIN_REMOVED: _("{who} removed {object} from the admins of {hospital}"),
    Action.SIGN_IN_LIMITED: _("{who} reached the limit of sign-ins"),
    Action.PASSWORD_REJECTED: _("{who} entered a wrong current password for {object}"),
    Action.IDENTITY_CONFIRMED: _("{who} confirmed their identity"),
    Action.SESSION_ENDED: _("{who} ended sessions of {object}"),
    Action.DENIED: _("{who} sent a request that was denied"),
    Action.OUT_OF_SCOPE: _("{who} requested a record outside their scope"),
    Action.CONFLICTS_OUTSIDE_SCOPE: _("{who} caused conflicts with devices outside their scope"),
    Action.EXPORTED: _("{who} exported devices"),
    Action.IMPORTED: _("{who} imported a file"),
    Action.PRUNED: _("{who} removed expired records"),
    Action.RETENTION_EXTENDED: _("{who} extended the retention period"),
    Action.RESTORED: _("{who} recorded that a backup was restored"),
}
BY_THEMSELVES: dict[str, Any] = {  # if the actor is also the object
    Action.CODE_REJECTED: _("{who} entered a wrong verification code"),
    Action.TWO_FACTOR_ENABLED: _("{who} set up two-factor authentication"),
    Action.TWO_FACTOR_RESET: _("{who} turned off two-factor authentication"),
    Action.RECOVERY_CODES_CREATED: _("{who} created new recovery codes"),
    Action.PASSWORD_SET: _("{who} changed their password"),
    Action.PASSWORD_REJECTED: _("{who} entered a wrong current password"),
    Action.SESSION_ENDED: _("{who} ended their other sessions"),
}
WITH_OBJECT: dict[str, Any] = {  # for actions that can have an object or none
    Action.DENIED: _("{who} sent a request with the inactive API key {object}"),
    Action.EXPORTED: _("{who} downloaded the audit trail of {object}"),
}
BY_REASON: dict[str, Any] = {  # of a denied request
    ADDRESS_NOT_ALLOWED: _("{who} sent a request from an IP address that the key does not allow"),
}


@dataclass(frozen=True, slots=True)
class Named:
    """The name of a user, key, hospital or device, and the page about it, if it has one."""

    name: Any
    url: str = ""
    title: str = ""  # more details, such as the user name

    def __html__(self) -> str:
        if not self.url:
            return format_html('<strong title="{}">{}</strong>', self.title, self.name)
        return format_html('<a href="{}" title="{}" class="underline">{}</a>', self.url, self.title, self.name)


def sentence(event: Any) -> SafeString:
    """Return who did what, with links. `add_names` has read the names of this event."""
    return format_html(_template(event), who=event.who, object=event.what, hospital=event.where or "–")


def names_hospital(event: AuditEvent) -> bool:
    """Return whether the sentence has the hospital of the event."""
    return "{hospital}" in _template(event)


def history_of_key(key: ApiKey) -> list[dict[str, Any]]:
    """Return the changes of a key from the history, newest first: time, sentence, source and IP address."""
    records: list[Any] = list(ApiKey.history.filter(id=key.pk).order_by("history_id"))
    for record, before in zip(records, [None, *records], strict=False):
        record.details, record.username, record.object_type, record.object_id = {}, "", "", None
        record.user_id, record.api_key_id = record.history_user_id, record.history_api_key_id
        added = set(orjson.loads(record.hospital_ids)) - set(orjson.loads(before.hospital_ids if before else "[]"))
        record.hospital_id = min(added, default=None)
        record.channel, record.text = record.history_channel, _text_of_change(record, before)
    return [
        {
            "at": record.history_date,
            "sentence": format_html(
                str(record.text),
                who=record.who,
                hospital=record.where or _("All hospitals"),
                time=date_format(timezone.localtime(record.expires_at), "DATETIME_FORMAT") if record.expires_at else "",
            ),
            "source": record.get_history_channel_display(),
            "ip_address": record.history_ip_address or "",
        }
        for record in reversed(add_names(records))
    ]


def _text_of_change(record: Any, before: Any) -> Any:
    if before is None:
        return _("{who} issued the key")
    if record.revoked_at != before.revoked_at:
        return _("{who} revoked the key")
    if record.hospital_id:
        return _("{who} moved the key to {hospital}")
    if record.expires_at != before.expires_at:
        return _("{who} rotated the key: it expires at {time}")
    return _("{who} changed the key")


def _template(event: AuditEvent) -> str:
    by_themselves = event.object_type == ObjectType.USER and event.object_id == event.user_id
    special = BY_THEMSELVES if by_themselves else WITH_OBJECT if event.object_type else {}
    return str(BY_REASON.get(event.details.get("reason")) or special.get(event.action) or SENTENCES[event.action])


def add_names(events: Iterable[Any]) -> list[Any]:
    """Set `who`, `what` and `where` of the events, with one query for each kind of object."""
    found = list(events)
    users = User.objects.in_bulk({event.user_id for event in found} | _ids(found, ObjectType.USER))
    keys = ApiKey.objects.in_bulk({event.api_key_id for event in found} | _ids(found, ObjectType.API_KEY))
    hospital_ids = {event.hospital_id for event in found} | _ids(found, ObjectType.HOSPITAL)
    hospitals = Hospital.objects.in_bulk(hospital_ids)
    merged = dict(HospitalAlias.objects.filter(former_id__in=hospital_ids - {None}).values_list("former_id", "name"))
    devices = _names_of_devices(_ids(found, ObjectType.DEVICE))
    names = {
        ObjectType.USER.value: lambda pk: _user(users.get(pk), pk),
        ObjectType.API_KEY.value: lambda pk: _key(keys.get(pk), pk),
        ObjectType.HOSPITAL.value: lambda pk: _hospital(hospitals.get(pk), pk, merged),
        ObjectType.DEVICE.value: lambda pk: _device(devices.get(pk), pk),
    }
    for event in found:
        event.who = _name_actor(event, users, keys)
        event.what = names[event.object_type](event.object_id) if event.object_type else Named(_("an unknown user"))
        event.where = names[ObjectType.HOSPITAL](event.hospital_id) if event.hospital_id else None
    return found


def _ids(events: Sequence[Any], kind: str) -> set[Any]:
    return {event.object_id for event in events if event.object_type == kind}


def _names_of_devices(ids: set[Any]) -> dict[int, str]:
    """Return the last name of each device, also of a retired one."""
    return (
        dict(Device.history.filter(id__in=ids).order_by("history_id").values_list("id", "device_name")) if ids else {}
    )


def _name_actor(event: Any, users: dict[int, User], keys: dict[int, ApiKey]) -> Named:
    if event.details.get("from"):
        return Named(_("Many others"))
    if event.api_key_id:
        return _key(keys.get(event.api_key_id), event.api_key_id)
    if event.user_id and event.user_id in users:
        return _user(users[event.user_id], event.user_id)
    if event.username:
        return Named(event.username)
    if event.channel == Channel.COMMAND:
        return Named(_("A command"))
    return Named(_("A client without a valid key") if event.channel == Channel.API else _("A visitor"))


def _user(user: User | None, pk: int) -> Named:
    if user is None:
        return Named(f"#{pk}")
    url = reverse("admin:devices_staffuser_change", args=[pk])
    return Named(user.get_full_name() or user.get_username(), url, user.get_username())


def _key(key: ApiKey | None, pk: int) -> Named:
    if key is None:
        return Named(f"#{pk}")
    return Named(key.name, reverse("admin:devices_apikey_change", args=[pk]), api_key_texts.describe_token(key))


def _hospital(hospital: Hospital | None, pk: int, merged: dict[int | None, str]) -> Named:
    if hospital is None:
        return Named(merged.get(pk, f"#{pk}"))
    return Named(hospital.name, reverse("admin:devices_hospital_change", args=[pk]))


def _device(name: str | None, pk: int) -> Named:
    return Named(name or f"#{pk}", reverse("admin:devices_historicaldevice_changelist", query={"id": pk}))
