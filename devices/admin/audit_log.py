"""Show the audit log to operators."""

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

from devices.admin import audit_details
from devices.admin.base import OperatorOnlyMixin, ReadOnlyMixin, RegistryModelAdmin, is_id, is_operator
from devices.admin.filters import TimeFilter
from devices.audit import export
from devices.audit.audit_log import ObjectType
from devices.models import AuditEvent, StaffUser


class AuditLogMixin(RegistryModelAdmin):
    """Pages of users, whose changes are recorded in the audit log instead of Django's log of the admin."""

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> None:
        """Write nothing, because accounts/receivers.py has recorded the change."""

    log_change = log_addition

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        if not is_operator(request):
            raise PermissionDenied
        return redirect(reverse("admin:devices_auditevent_changelist", query={"user": object_id}))


class UserFilter(DropdownFilter):
    """Find the events by a user and the events on that user."""

    title = _("user")
    parameter_name = "user"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return [(str(pk), username) for pk, username in User.objects.order_by("username").values_list("pk", "username")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        text = self.value() or ""
        return queryset.filter(export.export_of(StaffUser(pk=int(text))).events) if is_id(text) else queryset


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnlyMixin, OperatorOnlyMixin):
    list_display = ("created_at", "action", "actor", "channel", "ip_address", "object_name", "details_in_words")
    list_filter = (
        *(("action", ChoicesDropdownFilter), UserFilter),
        *(("channel", ChoicesDropdownFilter), ("created_at", TimeFilter)),
    )
    lookups = ("action__exact", "user", "channel__exact", "at_from", "at_to")
    list_filter_submit = True
    list_select_related = ("api_key", "hospital")
    list_display_links = ("created_at",)
    search_fields = ("username", "ip_address", "request_id")
    search_help_text = _("A user name, an IP address or a request ID")
    readonly_fields = ("actor", "object_name", "details_in_words")
    fields = (
        "created_at",
        "action",
        "actor",
        "channel",
        "ip_address",
        "request_id",
        "object_name",
        "hospital",
        "details_in_words",
    )
    ordering = ("-id",)
    sortable_by = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[AuditEvent]:
        names = User.objects.filter(pk=OuterRef("object_id")).values("username")
        events: QuerySet[AuditEvent] = super().get_queryset(request)
        return events.annotate(object_username=Subquery(names))

    @admin.display(description=_("user"))
    def actor(self, event: AuditEvent) -> Any:
        if event.api_key_id:
            return format_lazy("{} {}", _("API key"), event.api_key or event.api_key_id)
        return event.username or "–"

    @admin.display(description=_("object"))
    def object_name(self, event: Any) -> Any:
        if not event.object_type:
            return "–"
        name = event.object_username if event.object_type == ObjectType.USER else None
        return format_lazy("{} {}", event.get_object_type_display(), name or event.object_id)

    @admin.display(description=_("details"))
    def details_in_words(self, event: AuditEvent) -> Any:
        return format_html_join("; ", "{}: {}", audit_details.describe(event)) or "–"
