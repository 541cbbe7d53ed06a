"""API keys in the admin, for operators: issue, import, rotate, revoke.

A key is shown only once, in the response that issues it. No message, session or log contains it.
"""

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from unfold.contrib.filters.admin import DropdownFilter
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminSelectWidget

from devices.access import actor
from devices.accounts import api_keys, notifications
from devices.accounts.api_keys import SETTINGS
from devices.admin import confirmation, step_up
from devices.admin.audit_export import AuditExportMixin
from devices.admin.base import OperatorOnlyMixin, RegistryModelAdmin
from devices.admin.filters import HospitalFilter
from devices.models import ApiKey, ApiKeyQuerySet, Channel, clean_rate
from devices.registry import device_fields


class ApiKeyForm(forms.ModelForm):  # type: ignore[type-arg]  # not generic at run time
    value = forms.CharField(
        label=_("Legacy key"),
        required=False,
        validators=[api_keys.check_legacy],
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "off"}),
        help_text=_("Only to import a key that an existing client already uses. Leave empty to generate a new key."),
    )

    class Meta:
        model = ApiKey
        fields = ("name", *SETTINGS)

    def clean_name(self) -> str:
        return device_fields.clean_text(self.cleaned_data["name"])

    def clean_expires_at(self) -> datetime | None:
        expires_at: datetime | None = self.cleaned_data["expires_at"]
        if expires_at and expires_at <= timezone.now():
            raise ValidationError(_("The expiry must be in the future."))
        return expires_at

    def clean_rate(self) -> str | None:
        text: str | None = self.cleaned_data["rate"]
        return clean_rate(text) if text else None


STATES = {  # methods of ApiKeyQuerySet, and their labels
    "active": _("active"),
    "expiring": _("expires within 30 days"),
    "never_used": _("never used"),
    "idle": _("not used for 90 days"),
    "inactive": _("revoked or expired"),
}


class StateFilter(DropdownFilter):
    title = _("status")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return STATES.items()

    def queryset(self, request: HttpRequest, queryset: ApiKeyQuerySet) -> ApiKeyQuerySet:
        narrowed: ApiKeyQuerySet = getattr(queryset, self.value())() if self.value() in STATES else queryset
        return narrowed


class RotateForm(forms.Form):
    overlap = forms.TypedChoiceField(
        label=_("The old key ends"),
        choices=[
            (0, _("immediately")),
            (1, _("after 1 hour")),
            (24, _("after 24 hours")),
            (7 * 24, _("after 7 days")),
            (30 * 24, _("after 30 days")),
        ],
        coerce=int,
        initial=24,
        widget=UnfoldAdminSelectWidget,
    )


@admin.register(ApiKey)
class ApiKeyAdmin(AuditExportMixin, OperatorOnlyMixin):
    form = ApiKeyForm
    autocomplete_fields = ("hospital",)
    list_display = (
        *("name", "prefix", "hospital", "read_only", "naming"),
        *("legacy", "expires_at", "revoked_at", "last_used_at"),
    )
    list_filter = (StateFilter, ("hospital", HospitalFilter), "read_only", "legacy")
    lookups = ("state", "hospital__id__exact", "read_only__exact", "legacy__exact")
    list_filter_submit = True
    list_select_related = ("hospital",)
    search_fields = ("name", "prefix")
    ordering = ("-id",)
    actions = ("revoke", "rotate")
    add_view = step_up.required()(RegistryModelAdmin.add_view)

    def get_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        if obj is None:
            return ("name", *SETTINGS, "value")
        return ("name", "prefix", *SETTINGS, "legacy", "created_at", "revoked_at", "last_used_at")

    def has_change_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        return False

    has_delete_permission = has_change_permission

    def save_model(self, request: HttpRequest, obj: ApiKey, form: ApiKeyForm, change: bool) -> None:
        by = actor.actor_from_request(request, Channel.ADMIN)
        settings = {name: form.cleaned_data[name] for name in SETTINGS}
        if text := form.cleaned_data["value"]:
            obj.pk = api_keys.import_key(text, obj.name, by, **settings).pk
            event = notifications.KEY_IMPORTED
        else:
            obj.issued = api_keys.issue(obj.name, by, **settings)  # type: ignore[attr-defined]  # for response_add
            obj.pk = obj.issued.key.pk  # type: ignore[attr-defined]
            event = notifications.KEY_ISSUED
        notifications.notify(request.user, event, name=obj.name)  # type: ignore[arg-type]  # an operator

    def response_add(self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None) -> HttpResponse:
        if issued := getattr(obj, "issued", None):
            return self._show_once(request, issued)
        return super().response_add(request, obj, post_url_continue)  # type: ignore[no-any-return]

    @admin.action(description=_("Revoke"), permissions=["operator"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> HttpResponse | None:
        if page := confirmation.render_confirmation(self, request, "revoke", queryset):
            return page
        by = actor.actor_from_request(request, Channel.ADMIN)
        count = sum(api_keys.revoke(key, by) for key in queryset)
        done = ngettext("%(count)d key was revoked.", "%(count)d keys were revoked.", count)
        messages.success(request, done % {"count": count})
        return None

    @admin.action(description=_("Rotate"), permissions=["operator"])
    @step_up.required(*step_up.ACTION)
    def rotate(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> HttpResponse | None:
        if queryset.count() != 1:
            messages.error(request, _("Select exactly one key to rotate. The new key is shown only once."))
            return None
        form = RotateForm(confirmation.form_data(request))
        if page := confirmation.render_confirmation(self, request, "rotate", queryset, form):
            return page
        overlap = timedelta(hours=form.cleaned_data["overlap"])
        issued = api_keys.rotate(queryset.get(), actor.actor_from_request(request, Channel.ADMIN), overlap)
        notifications.notify(request.user, notifications.KEY_ROTATED, name=issued.key.name)  # type: ignore[arg-type]
        return self._show_once(request, issued)

    def _show_once(self, request: HttpRequest, issued: api_keys.IssuedKey) -> HttpResponse:
        return self.render_page(request, "admin/new_api_key.html", title=issued.key.name, text=issued.text)
