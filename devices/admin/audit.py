"""What is on record besides changes, for operators to read."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter

from devices.admin.access import OperatorOnlyMixin, ReadOnlyMixin, RegistryModelAdmin
from devices.admin.filters import WhenFilter
from devices.models import AuditEvent


class EventFilter(DropdownFilter):
    title = _("what")
    parameter_name = "what"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return AuditEvent.What.choices

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(what=self.value()) if self.value() in AuditEvent.What.values else queryset


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnlyMixin, OperatorOnlyMixin, RegistryModelAdmin):
    list_display = ("at", "what", "who", "through", "address", "it_is_about", "shown_details")
    list_filter = (EventFilter, ("through", ChoicesDropdownFilter), ("at", WhenFilter))
    lookups = ("what", "through__exact", "at_from", "at_to")
    list_filter_submit = True
    list_select_related = ("api_key", "hospital")
    list_display_links = ("at",)
    search_fields = ("username", "address", "request_id")
    search_help_text = _("A user name, an address, or the id of a request")
    fields = ("at", "what", "who", "through", "address", "request_id", "it_is_about", "hospital", "shown_details")
    readonly_fields = ("who", "it_is_about", "shown_details")
    ordering = ("-id",)
    sortable_by = ()

    @admin.display(description=_("who"))
    def who(self, event: AuditEvent) -> Any:
        if event.api_key_id:
            return format_lazy("{} {}", _("API key"), event.api_key or event.api_key_id)
        return event.username or "–"

    @admin.display(description=_("about"))
    def it_is_about(self, event: AuditEvent) -> Any:
        return format_lazy("{} {}", event.get_about_display(), event.about_id) if event.about else "–"

    @admin.display(description=_("details"))
    def shown_details(self, event: AuditEvent) -> Any:
        return format_html_join(", ", "{}: {}", event.details.items()) or "–"
