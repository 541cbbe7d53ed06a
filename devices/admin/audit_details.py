"""Show the details of an audit event in words. The export has them as JSON."""

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import Any

from django.utils import timezone
from django.utils.formats import date_format, number_format
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from devices.audit.audit_log import ADDRESS_NOT_ALLOWED, Action
from devices.models import AuditEvent

FLAGS = {"is_active": _("active"), "is_staff": _("access to the admin"), "is_superuser": _("operator")}
LABELS = {
    **FLAGS,
    "by": _("confirmed with"),
    "changed": _("changed"),
    "changes": _("changes removed"),
    "conflicts": _("conflicts shown"),
    "count": _("number"),
    "device": _("confirmed with"),
    "devices": _("devices"),
    "entries": _("entries"),
    "events": _("events removed"),
    "first": _("first day"),
    "format": _("format"),
    "from": _("sent by"),
    "last": _("last day"),
    "method": _("method"),
    "reason": _("reason"),
    "registered": _("registered"),
    "route": _("route"),
    "sessions": _("sessions"),
    "skipped": _("ids skipped"),
    "status": _("status"),
    "unchanged": _("unchanged"),
    "unchecked": _("devices not compared"),
    "user_agent": _("browser"),
}
LABELS_OF_ACTIONS: dict[tuple[str, str], Any] = {
    (Action.PRUNED, "before"): _("older than"),
    (Action.RETENTION_EXTENDED, "after"): _("years after"),
    (Action.RETENTION_EXTENDED, "before"): _("years before"),
    (Action.SESSION_ENDED, "count"): _("sessions"),
}
USER_FIELDS = {
    **FLAGS,
    "email": _("email address"),
    "first_name": _("name"),
    "last_name": _("last name"),
    "username": _("user name"),
}
FACTORS = {
    "app": _("authenticator app"),
    "code": _("verification code"),
    "password": _("current password"),
    "recovery": _("recovery code"),
}
FORMATS = {".csv": "CSV", ".xlsx": "XLSX", "csv": "CSV", "jsonl": "JSON Lines", "xlsx": "XLSX"}
VALUES: dict[str, Mapping[str, Any]] = {
    "by": FACTORS,
    "changed": USER_FIELDS,
    "device": FACTORS,
    "format": FORMATS,
    "from": {"many others": _("many others")},
    "reason": {ADDRESS_NOT_ALLOWED: _("IP address not allowed")},
}


BROWSERS = {  # by a part of the User-Agent. The order matters: Edge also contains Chrome, and Chrome contains Safari
    "Edg": "Edge",
    "OPR": "Opera",
    "SamsungBrowser": "Samsung Internet",
    "Firefox": "Firefox",
    "Chrome": "Chrome",
    "Safari": "Safari",
    "curl": "curl",
}
SYSTEMS = {
    "Windows": "Windows",
    "Android": "Android",
    "iPhone": "iOS",
    "iPad": "iPadOS",
    "Mac OS": "macOS",
    "Linux": "Linux",
}


def describe(event: AuditEvent, *, shortly: bool = False) -> Iterator[tuple[str, str]]:
    """Return a label and a text for each detail, in the current language. `shortly` shortens a known browser."""
    for name, value in event.details.items():
        label = LABELS_OF_ACTIONS.get((event.action, name)) or LABELS.get(name) or name.replace("_", " ")
        yield str(label), name_browser(value) if shortly and name == "user_agent" else _text(name, value)


def name_browser(user_agent: str) -> str:
    """Return browser and system, such as “Chrome, Windows”. An unknown User-Agent is returned as it is."""
    browser = next((name for part, name in BROWSERS.items() if part in user_agent), "")
    system = next((name for part, name in SYSTEMS.items() if part in user_agent), "")
    return ", ".join(filter(None, (browser, system))) or user_agent or "–"


def _text(name: str, value: Any) -> str:
    if isinstance(value, list):  # the values of a flag before and after, or names of fields
        return (" → " if name in FLAGS else ", ").join(_text(name, each) for each in value)
    if isinstance(value, bool):
        return gettext("yes") if value else gettext("no")
    if isinstance(value, int):
        return str(number_format(value, force_grouping=True))
    if name in ("first", "last"):
        return date_format(date.fromisoformat(value), "DATE_FORMAT")
    if name == "before":
        return date_format(timezone.localtime(datetime.fromisoformat(value)), "DATETIME_FORMAT")
    return str(VALUES.get(name, {}).get(value, value)) or "–"
