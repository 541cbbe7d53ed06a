"""Show the audit log to operators."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter

from devices.accounts import api_key_texts
from devices.admin import audit_details, audit_sentences
from devices.admin.base import (
    LargeChangeList,
    OperatorOnlyMixin,
    ReadOnlyMixin,
    RegistryModelAdmin,
    is_id,
    is_operator,
)
from devices.admin.filters import TimeFilter
from devices.admin.times import show_time
from devices.audit import export
from devices.models import ApiKey, AuditEvent, Hospital, StaffUser


class AuditLogMixin(RegistryModelAdmin):
    """Pages of users, whose changes are recorded in the audit log instead of Django's log of the admin."""

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> None:
        """Write nothing, because accounts/receivers.py has recorded the change."""

    log_change = log_addition

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        if not is_operator(request):
            raise PermissionDenied
        return redirect(reverse("admin:devices_auditevent_changelist", query={"user": object_id}))


class TrailFilter(DropdownFilter):
    """Find the events by and on an object: the events that the export of its audit trail has."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        text = self.value() or ""
        return queryset.filter(export.export_of(self.object_with(int(text))).events) if is_id(text) else queryset

    def object_with(self, pk: int) -> Model:
        raise NotImplementedError


class UserFilter(TrailFilter):
    title = _("user")
    parameter_name = "user"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return [(str(pk), username) for pk, username in User.objects.order_by("username").values_list("pk", "username")]

    def object_with(self, pk: int) -> Model:
        return StaffUser(pk=pk)


class HospitalOfEventFilter(TrailFilter):
    """Find also the events of hospitals that were merged into it."""

    title = _("hospital")
    parameter_name = "hospital"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return [(str(pk), name) for pk, name in Hospital.objects.order_by("name").values_list("pk", "name")]

    def object_with(self, pk: int) -> Model:
        return Hospital(pk=pk)


class KeyFilter(TrailFilter):
    title = _("API key")
    parameter_name = "key"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        keys = ApiKey.objects.order_by("name", "pk")
        return [(str(key.pk), f"{key.name} ({api_key_texts.describe_token(key)})") for key in keys]

    def object_with(self, pk: int) -> Model:
        return ApiKey(pk=pk)


class EventList(LargeChangeList):
    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list = audit_sentences.add_names(self.result_list)


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnlyMixin, OperatorOnlyMixin):
    list_display = ("at", "event", "source")
    list_filter = (
        *(("action", ChoicesDropdownFilter), HospitalOfEventFilter, UserFilter, KeyFilter),
        *(("channel", ChoicesDropdownFilter), ("created_at", TimeFilter)),
    )
    lookups = ("action__exact", "hospital", "user", "key", "channel__exact", "at_from", "at_to")
    list_filter_submit = True
    list_display_links = ("at",)
    list_after_template = "admin/audit_log_note.html"
    search_fields = ("username", "ip_address", "request_id")
    search_help_text = _("User name, IP address or request ID")
    readonly_fields = ("sentence", "hospital_name", "user_name", "details_in_words")
    fields = (
        "created_at",
        "sentence",
        "hospital_name",
        "user_name",
        "channel",
        "ip_address",
        "request_id",
        "details_in_words",
    )
    ordering = ("-id",)
    sortable_by = ()
    counted = _("events")  # in the number below the list

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[EventList]:
        return EventList

    def change_view(self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None) -> Any:
        """Show no link to the history of an event: events never change."""
        return super().change_view(request, object_id, form_url, {"show_history": False, **(extra_context or {})})

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        event = super().get_object(request, object_id, from_field)
        return audit_sentences.add_names([event])[0] if event else None

    @admin.display(description=_("time"))
    def at(self, event: AuditEvent) -> Any:
        return show_time(event.created_at)

    @admin.display(description=_("event"))
    def event(self, event: Any) -> Any:
        details: list[Any] = list(audit_details.describe(event, shortly=True))
        if event.where and not audit_sentences.names_hospital(event):
            details.insert(0, (_("hospital"), event.where))
        text = format_html_join("; ", "{}: {}", details)
        return format_html('<div>{}<div class="text-subtle">{}</div></div>', audit_sentences.sentence(event), text)

    @admin.display(description=_("source"))
    def source(self, event: AuditEvent) -> Any:
        return format_html("<div>{}<br>{}</div>", event.get_channel_display(), event.ip_address or "")

    @admin.display(description=_("event"))
    def sentence(self, event: AuditEvent) -> Any:
        return audit_sentences.sentence(event)

    @admin.display(description=_("hospital"))
    def hospital_name(self, event: Any) -> Any:
        return format_html("{}", event.where) if event.where else "–"

    @admin.display(description=_("user name"))
    def user_name(self, event: AuditEvent) -> str:
        return event.username or "–"

    @admin.display(description=_("details"))
    def details_in_words(self, event: AuditEvent) -> Any:
        return format_html_join("; ", "{}: {}", audit_details.describe(event)) or "–"
