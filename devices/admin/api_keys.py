"""API keys in the admin, for operators: issue, take over, rotate, revoke. A key is shown once, on the page that answers
its issuing, and is kept nowhere: in no message, session or log."""

from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminPasswordWidget

from devices import credentials, drafts, origin
from devices.admin.access import OnlyForOperators, is_operator
from devices.models import ApiKey, Through

SETTINGS = ("hospital", "read_only", "naming", "expires_at")


class ApiKeyForm(forms.ModelForm):  # type: ignore[type-arg]  # Django's takes no parameter when it runs
    value = forms.CharField(
        label=_("Legacy key"),
        required=False,
        strip=True,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "off"}),
        help_text=_("Only to take over a key that a client in the field has already. Left empty, a new key is made."),
    )

    class Meta:
        model = ApiKey
        fields = ("name", *SETTINGS)

    def clean_name(self) -> str:
        return drafts.clean_text(self.cleaned_data["name"])

    def clean_expires_at(self) -> datetime | None:
        end: datetime | None = self.cleaned_data["expires_at"]
        if end and end <= timezone.now():
            raise ValidationError(_("This has passed: the key would never work."))
        return end

    def clean_value(self) -> str:
        text: str = self.cleaned_data["value"]
        if text:
            try:
                credentials.check_legacy(text)
            except credentials.KeyRefused as refused:
                raise ValidationError(str(refused)) from refused
        return text


@admin.register(ApiKey)
class ApiKeyAdmin(OnlyForOperators):
    form = ApiKeyForm
    fields = ("name", *SETTINGS, "value")
    autocomplete_fields = ("hospital",)
    list_display = (
        "name",
        "prefix",
        "hospital",
        "read_only",
        "naming",
        "legacy",
        "expires_at",
        "revoked_at",
        "last_used_at",
    )
    list_filter = ("read_only", "legacy", "expires_at", "revoked_at", "last_used_at")
    list_select_related = ("hospital",)
    search_fields = ("name", "prefix")
    ordering = ("-id",)
    actions = ("revoke", "rotate")

    def get_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        shown = ("name", "prefix", *SETTINGS, "legacy", "created_at", "revoked_at", "last_used_at")
        return self.fields if obj is None else shown

    def has_change_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        return False

    def has_operator_permission(self, request: HttpRequest) -> bool:
        return is_operator(request)

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """Tell it also if somebody took the same key over between this form's check and its writing."""
        try:
            return super().add_view(request, form_url, extra_context)  # type: ignore[no-any-return]
        except credentials.KeyRefused as refused:
            messages.error(request, str(refused))
            return redirect(request.get_full_path())

    def save_model(self, request: HttpRequest, obj: ApiKey, form: ApiKeyForm, change: bool) -> None:
        by = origin.of_request(request, Through.ADMIN)
        settings = {name: form.cleaned_data[name] for name in SETTINGS}
        if text := form.cleaned_data["value"]:
            obj.pk = credentials.take_over(text, obj.name, by, **settings).pk
        else:
            obj.issued = credentials.issue(obj.name, by, **settings)  # type: ignore[attr-defined]  # for response_add
            obj.pk = obj.issued.key.pk  # type: ignore[attr-defined]

    def response_add(self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None) -> HttpResponse:
        if issued := getattr(obj, "issued", None):
            return self._show_once(request, issued)
        return super().response_add(request, obj, post_url_continue)  # type: ignore[no-any-return]

    @admin.action(description=_("Revoke"), permissions=["operator"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> HttpResponse | None:
        if "confirmed" not in request.POST:
            explanation = _("These keys stop working at once, everywhere. This cannot be undone.")
            return self._confirm(request, queryset, "revoke", _("Revoke"), explanation)
        by = origin.of_request(request, Through.ADMIN)
        count = sum(credentials.revoke(key, by) for key in queryset)
        messages.success(request, _("%(count)d keys revoked.") % {"count": count})
        return None

    @admin.action(description=_("Rotate"), permissions=["operator"])
    def rotate(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> HttpResponse | None:
        keys = list(queryset[:2])
        if len(keys) != 1:
            messages.error(request, _("Choose one key to rotate: its successor is shown once."))
            return None
        if "confirmed" not in request.POST:
            explanation = _("A new key with the same settings is made. The old one works for 24 hours more.")
            return self._confirm(request, queryset, "rotate", _("Rotate"), explanation)
        try:
            issued = credentials.rotate(keys[0], origin.of_request(request, Through.ADMIN))
        except credentials.KeyRefused as refused:
            messages.error(request, str(refused))
            return redirect(request.get_full_path())
        return self._show_once(request, issued)

    def _confirm(
        self, request: HttpRequest, queryset: QuerySet[ApiKey], action: str, title: Any, explanation: Any
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "opts": self.model._meta,
            "title": title,
            "explanation": explanation,
            "objects": queryset,
            "action": action,
            "cancel_url": request.get_full_path(),
        }
        return render(request, "admin/confirm_action.html", context)

    def _show_once(self, request: HttpRequest, issued: credentials.Issued) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "opts": self.model._meta,
            "title": issued.key.name,
            "warning": _("Copy this key now and keep it safe: it is shown this once, and never again."),
            "text": issued.text,
            "copy": _("Copy"),
            "copied": _("Copied"),
        }
        return render(request, "admin/key_issued.html", context)  # the admin's pages are never cached
