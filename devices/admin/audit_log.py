"""The audit log, for operators to read."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html_join
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter

from devices.admin.base import OperatorOnlyMixin, ReadOnlyMixin, RegistryModelAdmin, is_id, is_operator
from devices.admin.filters import TimeFilter
from devices.audit import export
from devices.audit.audit_log import ObjectType
from devices.models import AuditEvent, StaffUser


class AuditLogMixin(RegistryModelAdmin):
    """Pages of users: the audit log has what happened to them, and Django's log of the admin has nothing."""

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> None:
        """Write nothing: the signals of the model have written an event."""

    log_change = log_addition

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        if not is_operator(request):
            raise PermissionDenied
        return redirect(reverse("admin:devices_auditevent_changelist", query={"user": object_id}))


class UserFilter(DropdownFilter):
    """What a user did, and what was done about the user."""

    title = _("person")
    parameter_name = "user"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return [(str(pk), username) for pk, username in User.objects.order_by("username").values_list("pk", "username")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        text = self.value() or ""
        return queryset.filter(export.export_of(StaffUser(pk=int(text))).events) if is_id(text) else queryset


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnlyMixin, OperatorOnlyMixin):
    list_display = ("created_at", "action", "who", "channel", "ip_address", "it_is_about", "shown_details")
    list_filter = (
        *(("action", ChoicesDropdownFilter), UserFilter),
        *(("channel", ChoicesDropdownFilter), ("created_at", TimeFilter)),
    )
    lookups = ("action__exact", "user", "channel__exact", "at_from", "at_to")
    list_filter_submit = True
    list_select_related = ("api_key", "hospital")
    list_display_links = ("created_at",)
    search_fields = ("username", "ip_address", "request_id")
    search_help_text = _("A user name, an address, or the id of a request")
    readonly_fields = ("who", "it_is_about", "shown_details")
    fields = (
        "created_at",
        "action",
        "who",
        "channel",
        "ip_address",
        "request_id",
        "it_is_about",
        "hospital",
        "shown_details",
    )
    ordering = ("-id",)
    sortable_by = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[AuditEvent]:
        names = User.objects.filter(pk=OuterRef("object_id")).values("username")
        events: QuerySet[AuditEvent] = super().get_queryset(request)
        return events.annotate(object_username=Subquery(names))

    @admin.display(description=_("who"))
    def who(self, event: AuditEvent) -> Any:
        if event.api_key_id:
            return format_lazy("{} {}", _("API key"), event.api_key or event.api_key_id)
        return event.username or "–"

    @admin.display(description=_("about"))
    def it_is_about(self, event: Any) -> Any:
        if not event.object_type:
            return "–"
        name = event.object_username if event.object_type == ObjectType.USER else None
        return format_lazy("{} {}", event.get_object_type_display(), name or event.object_id)

    @admin.display(description=_("details"))
    def shown_details(self, event: AuditEvent) -> Any:
        return format_html_join(", ", "{}: {}", event.details.items()) or "–"
