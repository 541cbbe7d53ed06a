"""The page of all changes of devices: who, when, through what, from where, and the values before and after."""

import re
from collections.abc import Collection
from typing import Any, NoReturn

from django.contrib import admin, messages
from django.db import connection
from django.db.models import Case, Exists, Expression, Max, OuterRef, Q, QuerySet, Subquery, Value, When
from django.db.models.functions import Coalesce
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter

from devices import models, registry
from devices.access import actor, scopes
from devices.admin import actors, confirmation
from devices.admin.audit_export import AuditExportMixin
from devices.admin.base import ReadOnlyMixin, ScopedMixin, is_operator
from devices.admin.filters import HospitalFilter, WhenFilter
from devices.db import expressions
from devices.history import recording
from devices.models import Channel, Device, Hospital, HospitalAlias, changes_in_scope
from devices.values import mac
from devices.values.device_types import DeviceType
from devices.values.hospital_names import NO_HOSPITAL
from devices.values.normalization import normalize
from devices.values.scope import Scope

Change = Device.history.model

REQUEST_ID = re.compile("[0-9a-f]{32}")  # as the registry makes them; a client's own may look like a name
FIELDS = {"device_name": _("name"), "device_mac": _("MAC address"), "device_type": _("type")}
MANY = 1000  # devices whose changes are searched by their ids
ACTIONS = {recording.CREATED: _("registered"), recording.CHANGED: _("changed"), recording.DELETED: _("taken out")}


class PastHospitalFilter(HospitalFilter):
    """Changes of devices while a hospital held them. One outside the scope has none here, wherever its devices went."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        filtered = super().queryset(request, queryset)
        if filtered is None or not self.value():
            return filtered
        in_scope = Hospital.objects.in_scope(scopes.scope_for_user(request.user))
        return queryset.filter(changes_in_scope(in_scope.filter(pk=self.value())))


class ActionFilter(DropdownFilter):
    title = _("change")
    parameter_name = "action"
    types = {"registered": recording.CREATED, "changed": recording.CHANGED, "taken_out": recording.DELETED}

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return [(name, ACTIONS[kind]) for name, kind in self.types.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(history_type=self.types[self.value()]) if self.value() in self.types else queryset


@admin.register(Change)
class ChangeAdmin(AuditExportMixin, ReadOnlyMixin, ScopedMixin):
    list_display = (
        *("at", "device", "device_address", "action", "changes"),
        *(actors.who, "history_channel", actors.address),
    )
    list_filter = (
        ("device_holder", PastHospitalFilter),
        ActionFilter,
        ("history_channel", ChoicesDropdownFilter),
        ("history_date", WhenFilter),
    )
    lookups = (
        *("id", "device_holder__id__exact", "action", "history_channel__exact"),
        *("history_date_from", "history_date_to"),
    )
    list_filter_submit = True
    list_display_links = None
    search_fields = ("device_name",)  # the box is shown; get_search_results is what searches
    ordering = ("-history_id",)
    sortable_by = ()
    actions = ("restore",)

    def filter_scope(self, rows: QuerySet[Any], scope: Scope) -> QuerySet[Any]:
        return rows.filter(changes_in_scope(Hospital.objects.in_scope(scope)))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Annotate each change with the values before it, and with which of the values this user may see."""
        scope = scopes.scope_for_user(request.user)
        ids = None if scope.hospital_ids is None else Hospital.objects.in_scope(scope).ids_including_merged()
        same_device = Change.objects.filter(id=OuterRef("id"), history_id__lt=OuterRef("history_id"))
        last = same_device.order_by("-history_id")
        changes: QuerySet[Any] = super().get_queryset(request)
        annotated: QuerySet[Any] = actors.for_viewer(changes, scope).annotate(
            has_trail=Value(is_operator(request)),
            seen_before=_is_any("history_previous_holder_id", ids),
            seen_after=_is_any("device_holder_id", ids),
            holder=_name_of("device_holder"),
            before_holder=_name_of("history_previous_holder"),
            **{f"before_{field}": Subquery(last.values(field)[:1]) for field in FIELDS},
        )
        return annotated

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Find a part of a name, a MAC in any notation, or a request by its id.

        A hospital does not find a device by the name that it was given after it left, since it does not see that name.
        """
        text = normalize(search_term)
        if not text:
            return queryset, False
        if REQUEST_ID.fullmatch(text):
            return queryset.filter(seen_after=True, history_request_id=text), False
        found = queryset.filter(_has_part(text, "device_name", "device_mac"), seen_after=True)
        ids = _devices_ever_called(text)
        return (found if ids is None else found.filter(id__in=expressions.in_ids(ids))), False

    def change_view(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise Http404  # the list has all values, and only those that the user may see

    history_view = change_view

    def trail_object(self, obj: Any) -> Device:
        return Device(pk=obj.id, device_name=obj.device_name)

    @admin.display(description=_("when"))
    def at(self, change: Any) -> Any:
        return change.history_date

    @admin.display(description=_("name"))
    def device(self, change: Any) -> Any:
        return change.device_name if change.seen_after else change.before_device_name

    @admin.display(description=_("MAC address"))
    def device_address(self, change: Any) -> Any:
        return change.device_mac if change.seen_after else change.before_device_mac

    @admin.display(description=_("change"))
    def action(self, change: Any) -> Any:
        """Say what was done. A device that was taken out has no page of its own, so its audit trail is linked here."""
        if change.history_type == recording.DELETED and change.has_trail:
            url = reverse("admin:devices_historicaldevice_download_trail", args=[change.pk])
            link = '{}<br><a href="{}" class="underline">{}</a>'
            return format_html(link, ACTIONS[recording.DELETED], url, _("Audit trail"))
        return _("restored") if change.history_change_reason == recording.RESTORED else ACTIONS[change.history_type]

    @admin.display(description=_("before → after"))
    def changes(self, change: Any) -> Any:
        if change.history_type != recording.CHANGED:
            return None
        if not change.seen_after:
            return _("went to another hospital")
        if not change.seen_before and change.holder != change.before_holder:
            return _("came from elsewhere")
        if change.before_device_name is None:  # the row before has been pruned
            return None
        rows = [(label, *_values(change, field)) for field, label in FIELDS.items()]
        rows.append((_("hospital"), change.before_holder or NO_HOSPITAL, change.holder or NO_HOSPITAL))
        different = [row for row in rows if row[1] != row[2]]
        if not different:
            return _("its hospital was renamed")
        return format_html("<div>{}</div>", format_html_join("", "<div>{}: {} → {}</div>", different))

    def has_restore_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("devices.add_device"))

    @admin.action(description=_("Restore the devices that were taken out"), permissions=["restore"])
    def restore(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        registered = Device.objects.filter(pk=OuterRef("id"))
        gone = queryset.filter(~Exists(registered), seen_after=True).order_by().values("id").annotate(last=Max("pk"))
        chosen = self.get_queryset(request).filter(pk__in=gone.values("last"))
        if not chosen.exists():
            messages.warning(request, _("None of these can be restored: they are registered, or were taken elsewhere."))
            return None
        if page := confirmation.ask(self, request, "restore", chosen):
            return page
        by = actor.actor_from_request(request, Channel.ADMIN)
        count = len(registry.restore([change.id for change in chosen], by))
        done = ngettext("%(count)d device was restored.", "%(count)d devices were restored.", count)
        messages.success(request, done % {"count": count})
        return None


def _has_part(text: str, name: str, address: str) -> Q:
    """Do for columns of history what models.contains_text does for devices: the indexes of history are in capitals."""
    found = Q(**{f"{name}__icontains": text})
    for part in {text, mac.parse_mac_fragment(text)} - {None}:
        found |= Q(**{f"{address}__icontains": part})
    return found


def _devices_ever_called(text: str) -> list[int] | None:
    """Return the ids of the devices that have, or once had, the text in their name or MAC; None if they are very many.

    Indexes find them (trigrams.py). If they are very many, a scan of the changes fills a page of the list soon.
    """
    if connection.vendor != "postgresql":  # SQLite has no such indexes
        return None
    now = Device.objects.filter(models.contains_text(text)).values_list("pk")
    retired = Change.objects.filter(_has_part(text, "device_name", "device_mac"), history_type=recording.DELETED)
    former = Change.objects.filter(_has_part(text, "history_previous_name", "history_previous_mac"))
    ids: set[int] = set()
    for rows in (now, retired.values_list("id"), former.values_list("id")):
        ids.update(pk for (pk,) in rows.order_by()[: MANY + 1])
    return list(ids) if len(ids) <= MANY else None


def _is_any(column: str, ids: Collection[int] | None) -> Expression:
    return Value(True) if ids is None else Case(When(**{f"{column}__in": ids}, then=True), default=False)


def _name_of(column: str) -> Coalesce:
    """Return the name of the hospital in the column, also if it was merged into another one since."""
    merged = HospitalAlias.objects.filter(former_id=OuterRef(f"{column}_id"))
    return Coalesce(f"{column}__name", Subquery(merged.values("name")[:1]))


def _values(change: Any, field: str) -> tuple[Any, Any]:
    """Return the field's value before and after, as the page shows it."""
    before, after = getattr(change, f"before_{field}"), getattr(change, field)
    if field == "device_type":
        return DeviceType(before).label, DeviceType(after).label
    return before, after
