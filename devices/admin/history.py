"""Every change of a device: who, when, through what, from where, and the values before and after."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import Case, OuterRef, Q, QuerySet, Subquery, When
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from devices import origin, reach, registry
from devices.admin.access import OnlyToRead, WithinReach
from devices.admin.filters import HolderFilter
from devices.drafts import UNKNOWN, DeviceType
from devices.models import Device, Through
from devices.problems import Refused

Change = Device.history.model

SHOWN = {
    "device_name": _("name"),
    "device_mac": _("MAC address"),
    "device_type": _("type"),
    "device_holder__name": _("hospital"),
}
ACTIONS = {registry.ADDED: _("registered"), registry.CHANGED: _("changed"), registry.REMOVED: _("taken out")}


@admin.register(Change)
class ChangeAdmin(OnlyToRead, WithinReach):
    list_display = (
        "history_date",
        "device_name",
        "device_mac",
        "action",
        "changes",
        "who",
        "history_through",
        "address",
    )
    list_filter = (("device_holder", HolderFilter), "history_type", "history_through", "history_date")
    list_display_links = None
    list_select_related = ("history_user", "history_api_key")
    search_fields = ("device_name", "device_mac", "history_request_id")
    ordering = ("-history_id",)
    list_filter_submit = True
    actions = ("restore",)
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Lay beside each change what the device was before, if whoever asks might see it then."""
        same_device = Change.objects.filter(id=OuterRef("id"), history_id__lt=OuterRef("history_id"))
        last = same_device.order_by("-history_id")
        changes: QuerySet[Any] = super().get_queryset(request).select_related("device_holder")
        changes = changes.annotate(holder_before=Subquery(last.values("device_holder_id")[:1]))
        within = reach.of_user(request.user).ids
        seen = Q(pk__gt=0) if within is None else Q(holder_before__in=within)
        before = {f"before_{name}": Case(When(seen, then=Subquery(last.values(name)[:1]))) for name in SHOWN}
        annotated: QuerySet[Any] = changes.annotate(**before)
        return annotated

    @admin.display(description=_("change"), ordering="history_type")
    def action(self, change: Any) -> Any:
        return _("restored") if change.history_change_reason == registry.RESTORED else ACTIONS[change.history_type]

    @admin.display(description=_("before → after"))
    def changes(self, change: Any) -> Any:
        if change.history_type != registry.CHANGED:
            return "–"
        if change.before_device_name is None:
            return _("came from elsewhere")
        rows = [
            (label, _value(name, getattr(change, f"before_{name}")), _value(name, _after(change, name)))
            for name, label in SHOWN.items()
        ]
        return format_html_join("", "<div>{}: {} → {}</div>", [row for row in rows if row[1] != row[2]])

    @admin.display(description=_("who"))
    def who(self, change: Any) -> Any:
        if change.history_api_key_id:
            return format_lazy("{} {}", _("API key"), change.history_api_key or change.history_api_key_id)
        return change.history_user or "–"

    @admin.display(description=_("address"))
    def address(self, change: Any) -> str:
        return change.history_address or "–"

    def has_restore_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("devices.add_device"))

    @admin.action(description=_("Restore the devices that were taken out"), permissions=["restore"])
    def restore(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        by = origin.of_request(request, Through.ADMIN)
        for change in queryset:
            try:
                device = registry.restore(change.id, by)
            except Device.DoesNotExist:
                text = _("%(name)s is registered: there is nothing to restore.")
                messages.warning(request, text % {"name": change.device_name})
            except Refused as refused:
                for problem in refused.problems:
                    messages.error(request, f"{change.device_name}: {problem.message}")
            else:
                messages.success(request, _("%(name)s was restored.") % {"name": device})


def _after(change: Any, name: str) -> Any:
    return getattr(change.device_holder, "name", None) if name == "device_holder__name" else getattr(change, name)


def _value(name: str, value: Any) -> Any:
    if name == "device_type":
        return DeviceType(value).label
    return value or UNKNOWN
