"""The page of all changes of devices: time, user, source, IP address, and the values before and after."""

import re
from collections.abc import Collection
from typing import Any, NoReturn

from django.contrib import admin, messages
from django.db import connection
from django.db.models import Case, Exists, Expression, Max, OuterRef, Q, QuerySet, Subquery, Value, When
from django.db.models.functions import Coalesce
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter

from devices import models, registry
from devices.access import actor, scopes
from devices.admin import actors, confirmation, object_history
from devices.admin.audit_export import AuditExportMixin
from devices.admin.base import ReadOnlyMixin, ScopedMixin, is_operator
from devices.admin.filters import HospitalFilter, TimeFilter
from devices.admin.times import exact_time
from devices.db import expressions
from devices.history import recording
from devices.models import Channel, Device, Hospital, HospitalAlias, changes_in_scope
from devices.values import mac
from devices.values.device_types import DeviceType
from devices.values.normalization import normalize
from devices.values.scope import Scope

Change = Device.history.model

# The form that the registry generates. An id from a client can look like a name.
REQUEST_ID = re.compile("[0-9a-f]{32}")
FIELDS = {"device_name": _("name"), "device_mac": _("MAC address"), "device_type": _("type")}
MAX_IDS = 1000  # the largest number of devices whose changes are searched by device id
ACTIONS = {recording.CREATED: _("registered"), recording.CHANGED: _("changed"), recording.DELETED: _("retired")}


class PastHospitalFilter(HospitalFilter):
    """Changes of devices that a hospital had at that time. A hospital outside the scope finds no changes."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        filtered = super().queryset(request, queryset)
        if filtered is None or not self.value():
            return filtered
        in_scope = Hospital.objects.in_scope(scopes.scope_for_user(request.user))
        return queryset.filter(changes_in_scope(in_scope.filter(pk=self.value())))


class ActionFilter(DropdownFilter):
    title = _("change")
    parameter_name = "action"
    types = {"registered": recording.CREATED, "changed": recording.CHANGED, "retired": recording.DELETED}

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return [(name, ACTIONS[kind]) for name, kind in self.types.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(history_type=self.types[self.value()]) if self.value() in self.types else queryset


@admin.register(Change)
class ChangeAdmin(AuditExportMixin, ReadOnlyMixin, ScopedMixin):
    list_display = ("at", "device", "what", "who")
    list_filter = (
        ("device_holder", PastHospitalFilter),
        ActionFilter,
        ("history_channel", ChoicesDropdownFilter),
        ("history_date", TimeFilter),
    )
    lookups = (
        *("id", "device_holder__id__exact", "action", "history_channel__exact"),
        *("history_date_from", "history_date_to"),
    )
    list_filter_submit = True
    list_display_links = None
    search_help_text = _("Name, MAC address or request ID")
    search_fields = ("device_name",)  # the box is shown; get_search_results is what searches
    ordering = ("-history_id",)
    sortable_by = ()
    actions = ("restore",)

    def filter_scope(self, rows: QuerySet[Any], scope: Scope) -> QuerySet[Any]:
        return rows.filter(changes_in_scope(Hospital.objects.in_scope(scope)))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Annotate each change with the values before it, and whether this user can see the values before and after."""
        scope = scopes.scope_for_user(request.user)
        ids = None if scope.hospital_ids is None else Hospital.objects.in_scope(scope).ids_including_merged()
        same_device = Change.objects.filter(id=OuterRef("id"), history_id__lt=OuterRef("history_id"))
        last = same_device.order_by("-history_id")
        changes: QuerySet[Any] = super().get_queryset(request)
        annotated: QuerySet[Any] = actors.for_viewer(changes, scope).annotate(
            has_trail=Value(is_operator(request)),
            is_registered=Exists(Device.objects.in_scope(scope).filter(pk=OuterRef("id"))),
            seen_before=_is_any("history_previous_holder_id", ids),
            seen_after=_is_any("device_holder_id", ids),
            hospital_name=_name_of("device_holder"),
            hospital_name_before=_name_of("history_previous_holder"),
            **{f"before_{field}": Subquery(last.values(field)[:1]) for field in FIELDS},
        )
        return annotated

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Find changes by a part of the name, by a MAC in any notation, or by the id of the request.

        A hospital cannot find a device by a name that the device got after it left, because it cannot see that name.
        """
        text = normalize(search_term)
        if not text:
            return queryset, False
        if REQUEST_ID.fullmatch(text):
            return queryset.filter(seen_after=True, history_request_id=text), False
        found = queryset.filter(_has_part(text, "device_name", "device_mac"), seen_after=True)
        ids = _devices_with_past_value(text)
        return (found if ids is None else found.filter(id__in=expressions.in_ids(ids))), False

    def change_view(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise Http404  # the list shows all values that the user can see

    history_view = change_view

    def trail_object(self, obj: Any) -> Device:
        return Device(pk=obj.id, device_name=obj.device_name)

    def history_of(self, request: HttpRequest, owner: ScopedMixin, object_id: str) -> HttpResponse:
        """Return the page with the changes of one device, or of the devices of one hospital."""
        return object_history.render_history(self, owner, request, object_id)

    def row_context(self, change: Any) -> dict[str, Any]:
        """Return a change for templates/admin/change_rows.html."""
        return {
            **{part: getattr(self, part)(change) for part in ("at", "action", "changes")},
            "name": self.name_of(change),
            "url": _url_of_device(change),
            "user": _user_or_channel(change),
            "source": _source(change),
        }

    def name_of(self, change: Any) -> Any:
        """Return the name of the device that the user can see, or "–" if the row with it has been pruned."""
        return (change.device_name if change.seen_after else change.before_device_name) or "–"

    def row_name(self, obj: Any) -> str:
        return f"{self.name_of(obj)}, {exact_time(obj.history_date)}"

    def mac_address(self, change: Any) -> Any:
        return change.device_mac if change.seen_after else change.before_device_mac

    @admin.display(description=_("time"))
    def at(self, change: Any) -> Any:
        """Return the day and minute as the other pages do, with the seconds and time zone for the pointer."""
        at = timezone.localtime(change.history_date)
        html = '<time datetime="{}" title="{}" class="whitespace-nowrap">{}</time>'
        exact = f"{at:%Y-%m-%d %H:%M:%S %Z}"
        return format_html(html, at.isoformat(), exact, exact_time(at))

    @admin.display(description=_("device"))
    def device(self, change: Any) -> Any:
        link = '<a href="{}" class="font-semibold text-important underline">{}</a>'
        name = format_html(link, _url_of_device(change), self.name_of(change))
        return format_html('<div>{}<div class="text-subtle">{}</div></div>', name, self.mac_address(change) or "")

    @admin.display(description=_("change"))
    def what(self, change: Any) -> Any:
        """Return the action, and the values before and after."""
        return format_html("<div><div>{}</div>{}</div>", self.action(change), self.changes(change) or "")

    @admin.display(description=_("user"))
    def who(self, change: Any) -> Any:
        """Return the user, and on a second line the source and the IP address."""
        html = '<div>{}<div class="text-subtle">{}</div></div>'
        return format_html(html, _user_or_channel(change), _source(change))

    def action(self, change: Any) -> Any:
        """Return the action. A retired device has no page, so the link to its audit trail is here."""
        if change.history_type == recording.DELETED and change.has_trail:
            url = reverse("admin:devices_historicaldevice_download_trail", args=[change.pk])
            link = '{}<br><a href="{}" class="underline">{}</a>'
            return format_html(link, ACTIONS[recording.DELETED], url, _("Audit trail"))
        return _("restored") if change.history_change_reason == recording.RESTORED else ACTIONS[change.history_type]

    def changes(self, change: Any) -> Any:
        """Return the values before and after the change, as far as the user can see them, or None."""
        if change.history_type != recording.CHANGED:
            return None
        if not change.seen_after:
            return _("went to another hospital")
        if not change.seen_before and change.hospital_name != change.hospital_name_before:
            return _("came from elsewhere")
        if change.before_device_name is None:  # the row before has been pruned
            return None
        rows = [(label, *_values(change, field)) for field, label in FIELDS.items()]
        rows.append((_("hospital"), change.hospital_name_before or _("none"), change.hospital_name or _("none")))
        different = [row for row in rows if row[1] != row[2]]
        if not different:
            return _("its hospital was renamed")
        return format_html("<div>{}</div>", format_html_join("", "<div>{}: {} → {}</div>", different))

    def has_restore_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("devices.add_device"))

    @admin.action(description=_("Restore devices"), permissions=["restore"])
    def restore(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        registered = Device.objects.filter(pk=OuterRef("id"))
        retired = queryset.filter(~Exists(registered), seen_after=True).order_by().values("id").annotate(last=Max("pk"))
        chosen = self.get_queryset(request).filter(pk__in=retired.values("last"))
        if not chosen.exists():
            text = _("None of these devices can be restored. They are registered, or they left your hospitals.")
            messages.warning(request, text)
            return None
        if page := confirmation.render_confirmation(self, request, "restore", chosen):
            return page
        by = actor.actor_from_request(request, Channel.ADMIN)
        count = len(registry.restore([change.id for change in chosen], by))
        done = ngettext("%(count)d device was restored.", "%(count)d devices were restored.", count)
        messages.success(request, done % {"count": count})
        return None


def _has_part(text: str, name_column: str, mac_column: str) -> Q:
    """Return the condition of models.contains_text for columns of the history, whose indexes are in capital letters."""
    found = Q(**{f"{name_column}__icontains": text})
    for part in {text, *mac.mac_fragments(text)}:
        found |= Q(**{f"{mac_column}__icontains": part})
    return found


def _devices_with_past_value(text: str) -> list[int] | None:
    """Return the ids of the devices that have, or once had, the text in their name or MAC; None if there are too many.

    Indexes find them (db/trigrams.py). If there are more than MAX_IDS, a scan of the changes fills a page quickly.
    """
    if connection.vendor != "postgresql":  # SQLite has no such indexes
        return None
    current = Device.objects.filter(models.contains_text(text)).values_list("pk")
    retired = Change.objects.filter(_has_part(text, "device_name", "device_mac"), history_type=recording.DELETED)
    former = Change.objects.filter(_has_part(text, "history_previous_name", "history_previous_mac"))
    ids: set[int] = set()
    for rows in (current, retired.values_list("id"), former.values_list("id")):
        ids.update(pk for (pk,) in rows.order_by()[: MAX_IDS + 1])
    return list(ids) if len(ids) <= MAX_IDS else None


def _is_any(column: str, ids: Collection[int] | None) -> Expression:
    return Value(True) if ids is None else Case(When(**{f"{column}__in": ids}, then=True), default=False)


def _name_of(column: str) -> Coalesce:
    """Return the name of the hospital in the column, even if it has been merged into another hospital since then."""
    merged = HospitalAlias.objects.filter(former_id=OuterRef(f"{column}_id"))
    return Coalesce(f"{column}__name", Subquery(merged.values("name")[:1]))


def _url_of_device(change: Any) -> str:
    """Return the URL of the device's page, or of its history if it is retired or has left the scope."""
    return reverse(f"admin:devices_device_{'change' if change.is_registered else 'history'}", args=[change.id])


def _user_or_channel(change: Any) -> Any:
    has_user = change.history_user_id or change.history_api_key_id
    return actors.user(change) if has_user else change.get_history_channel_display()


def _source(change: Any) -> str:
    """Return the channel and the IP address, as far as the user can see them and the other line does not."""
    has_user = change.history_user_id or change.history_api_key_id
    parts = [change.get_history_channel_display() if has_user else "", actors.ip_address(change)]
    return " · ".join(part for part in parts if part and part != "–")


def _values(change: Any, field: str) -> tuple[Any, Any]:
    """Return the displayed values of the field before and after the change."""
    before, after = getattr(change, f"before_{field}"), getattr(change, field)
    if field == "device_type":
        return DeviceType(before).label, DeviceType(after).label
    return before, after
