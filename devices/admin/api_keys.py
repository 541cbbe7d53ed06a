"""API keys in the admin, for operators: issue, import, rotate, revoke.

A key is shown only once, in the response that issues it. No message, session or log contains it.
"""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.text import capfirst, format_lazy
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from unfold.contrib.filters.admin import DropdownFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from devices.access import actor
from devices.accounts import api_key_texts, api_keys, notifications
from devices.accounts.api_key_texts import State
from devices.accounts.api_keys import SETTINGS
from devices.admin import audit_sentences, confirmation, step_up
from devices.admin.api_key_forms import ApiKeyForm, RotateForm
from devices.admin.audit_export import AuditExportMixin
from devices.admin.base import OperatorOnlyMixin, RegistryModelAdmin, is_id, is_operator
from devices.admin.filters import HospitalFilter
from devices.admin.times import exact_time, show_time
from devices.crypto import keys
from devices.models import DEFAULT_PAGE_SIZE, ApiKey, ApiKeyQuerySet, Channel
from devices.values.errors import ValidationFailed

STATES = {  # methods of ApiKeyQuerySet, and their labels
    "active": _("active"),
    "expiring": _("expires within 30 days"),
    "never_used": _("never used"),
    "idle": _("not used for 90 days"),
    "inactive": _("revoked or expired"),
}


LIMITS = ("page_size_in_words", "networks")
TABS = {"": _("All"), "active": _("Active"), "inactive": _("Expired or revoked")}  # values of StateFilter


class StateFilter(DropdownFilter):
    title = _("status")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return STATES.items()

    def queryset(self, request: HttpRequest, queryset: ApiKeyQuerySet) -> ApiKeyQuerySet:
        narrowed: ApiKeyQuerySet = getattr(queryset, self.value())() if self.value() in STATES else queryset
        return narrowed


LABELS = {  # colors of the states
    State.ACTIVE: "success",
    State.EXPIRING: "warning",
    State.EXPIRED: "default",
    State.REVOKED: "default",
}


@admin.register(ApiKey)
class ApiKeyAdmin(AuditExportMixin, OperatorOnlyMixin):
    form = ApiKeyForm
    list_display = ("name", "state", "token", "scope", "access", "issued", "last_used")
    list_filter = (StateFilter, ("hospitals", HospitalFilter), "read_only", "legacy")
    lookups = ("state", "hospitals__id__exact", "read_only__exact", "legacy__exact")
    list_filter_submit = True
    readonly_fields = ("state_in_words", "token", "scope", "access_in_words", "rate_in_words", *LIMITS, "last_use")
    search_help_text = _("Client application or key")
    search_fields = ("name", "prefix")
    ordering = ("-id",)
    actions = ("revoke", "rotate")
    actions_detail = ("rotate_key", "revoke_key", "download_trail")
    add_view = step_up.required()(RegistryModelAdmin.add_view)

    def get_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        if obj is None:
            return (
                *("name", "hospitals", "all_hospitals", "sandbox", "read_only", "naming", "rate", "page_size"),
                *("unknown_holder", "allowed_networks", "expires_at", "value"),
            )
        rights = ("scope", "access_in_words", "naming", "unknown_holder", "rate_in_words", *LIMITS)
        times = ("created_at", "expires_at", *(["revoked_at"] if obj.revoked_at else []), "last_use")
        return ("name", "state_in_words", "token", *rights, *times)

    def has_change_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        return False

    has_delete_permission = has_change_permission

    def has_end_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Return whether the user can revoke or rotate the key with this id: it is active."""
        return is_operator(request) and is_id(str(object_id)) and ApiKey.objects.active().filter(pk=object_id).exists()

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[ApiKey], search_term: str
    ) -> tuple[QuerySet[ApiKey], bool]:
        """Find keys by a part of the name, or by the start of the key as the list shows it: “cxp_k4eeItta…”."""
        text = search_term.strip().removeprefix(keys.LIVE).removeprefix(keys.SANDBOX).removesuffix("…")
        found: tuple[QuerySet[ApiKey], bool] = super().get_search_results(request, queryset, text)
        return found

    @display(description=_("status"), label=LABELS)  # type: ignore[untyped-decorator]
    def state(self, key: ApiKey) -> tuple[str, str]:
        return api_key_texts.state_of(key), api_key_texts.describe_state(key)

    @admin.display(description=_("status"))
    def state_in_words(self, key: ApiKey) -> str:
        return capfirst(api_key_texts.describe_state(key))

    @admin.display(description=_("key"))
    def token(self, key: ApiKey) -> str:
        return api_key_texts.describe_token(key)

    @admin.display(description=_("hospitals"))
    def scope(self, key: ApiKey) -> str:
        return api_key_texts.describe_scope(key)

    @admin.display(description=_("access"))
    def access(self, key: ApiKey) -> Any:
        access = api_key_texts.describe_access(key)
        return format_html("{}, {}", access, key.rate) if key.rate else access

    @admin.display(description=_("access"))
    def access_in_words(self, key: ApiKey) -> str:
        return api_key_texts.describe_access(key)

    @admin.display(description=_("rate limit"))
    def rate_in_words(self, key: ApiKey) -> Any:
        return key.rate or format_lazy(_("{} (the default of this registry)"), settings.API_RATE)

    @admin.display(description=_("default page size"))
    def page_size_in_words(self, key: ApiKey) -> Any:
        return key.page_size or format_lazy(_("{} (the default of this registry)"), DEFAULT_PAGE_SIZE)

    @admin.display(description=_("allowed networks"))
    def networks(self, key: ApiKey) -> Any:
        return key.allowed_networks.replace(" ", ", ") or _("all networks")

    @admin.display(description=_("issued"), ordering="created_at")
    def issued(self, key: ApiKey) -> Any:
        return show_time(key.created_at)

    @admin.display(description=_("last used"), ordering="last_used_at")
    def last_used(self, key: ApiKey) -> Any:
        return show_time(key.last_used_at) if key.last_used_at else _("never")

    @admin.display(description=_("last used"))
    def last_use(self, key: ApiKey) -> Any:
        if not key.last_used_at:
            return _("never")
        at, address = exact_time(key.last_used_at), key.last_used_ip_address
        return _("%(time)s from %(address)s") % {"time": at, "address": address} if address else at

    def save_model(self, request: HttpRequest, obj: ApiKey, form: ApiKeyForm, change: bool) -> None:
        by = actor.actor_from_request(request, Channel.ADMIN)
        values = {name: form.cleaned_data[name] for name in ("hospitals", *SETTINGS) if name in form.cleaned_data}
        if text := form.cleaned_data["value"]:
            obj.pk = api_keys.import_key(text, obj.name, by, **values).pk
            event = notifications.KEY_IMPORTED
        else:
            obj.issued = api_keys.issue(obj.name, by, **values)  # type: ignore[attr-defined]  # for response_add
            obj.pk = obj.issued.key.pk  # type: ignore[attr-defined]
            event = notifications.KEY_ISSUED
        notifications.notify(request.user, event, name=obj.name)  # type: ignore[arg-type]  # an operator

    def save_related(self, request: HttpRequest, form: ApiKeyForm, formsets: Any, change: bool) -> None:
        """Do nothing: save_model has written the hospitals, and those of a sandbox key are not in the form."""

    def response_add(self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None) -> HttpResponse:
        if issued := getattr(obj, "issued", None):
            return self._show_once(request, issued)
        return super().response_add(request, obj, post_url_continue)  # type: ignore[no-any-return]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        tabs = [{"query": f"?state={state}" if state else "", "title": title} for state, title in TABS.items()]
        chosen = f"?state={request.GET['state']}" if request.GET.get("state") else ""
        return super().changelist_view(request, {"tabs": tabs, "chosen_tab": chosen, **(extra_context or {})})

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """Show the changes of the key by any channel. Django's log has only a part of them, in one language."""
        if not is_operator(request):
            raise PermissionDenied
        key = self.get_object(request, object_id)
        if key is None:
            raise Http404
        context = {"title": _("History"), "object": key, "entries": audit_sentences.history_of_key(key)}
        return self.render_page(request, "admin/key_history.html", **context)

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Offer one button for a new key. It is shown once, on the next page, so no other page can follow."""
        context |= {"show_save_and_continue": False, "show_save_and_add_another": False}
        return super().render_change_form(request, context, *args, **kwargs)

    @admin.action(description=_("Revoke"), permissions=["operator"])
    def revoke(
        self, request: HttpRequest, queryset: QuerySet[ApiKey], cancel_url: str | None = None
    ) -> HttpResponse | None:
        context: dict[str, Any] = {"keys": describe(queryset), "cancel_url": cancel_url}
        if page := confirmation.render_confirmation(self, request, "revoke", queryset, **context):
            return page
        by = actor.actor_from_request(request, Channel.ADMIN)
        count = sum(api_keys.revoke(key, by) for key in queryset)
        done = ngettext("%(count)d key was revoked.", "%(count)d keys were revoked.", count)
        messages.success(request, done % {"count": count})
        return None

    @admin.action(description=_("Rotate one key"), permissions=["operator"])
    @step_up.required(*step_up.ACTION)
    def rotate(
        self, request: HttpRequest, queryset: QuerySet[ApiKey], cancel_url: str | None = None
    ) -> HttpResponse | None:
        if queryset.count() != 1:
            messages.error(request, _("Select exactly one key to rotate. The new key is shown only once."))
            return None
        form = RotateForm(confirmation.form_data(request))
        context: dict[str, Any] = {"keys": describe(queryset), "cancel_url": cancel_url}
        if page := confirmation.render_confirmation(self, request, "rotate", queryset, form, **context):
            return page
        overlap, old = timedelta(hours=form.cleaned_data["overlap"]), queryset.get()
        issued = api_keys.rotate(old, actor.actor_from_request(request, Channel.ADMIN), overlap)
        notifications.notify(request.user, notifications.KEY_ROTATED, name=issued.key.name)  # type: ignore[arg-type]
        return self._show_once(request, issued, old)

    @action(  # type: ignore[untyped-decorator]
        description=_("Revoke"), url_path="revoke", permissions=["end"], icon="block", variant=ActionVariant.DANGER
    )
    def revoke_key(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._end(request, object_id, self.revoke)

    @action(  # type: ignore[untyped-decorator]
        description=_("Rotate"), url_path="rotate", permissions=["end"], icon="sync"
    )
    def rotate_key(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._end(request, object_id, self.rotate)

    def _end(self, request: HttpRequest, object_id: str, act: Any) -> HttpResponse:
        """Run the action of the list on one key, from the key's own page."""
        back = reverse("admin:devices_apikey_change", args=[object_id])
        try:
            page: HttpResponse | None = act(request, self.get_queryset(request).filter(pk=object_id), cancel_url=back)
        except ValidationFailed as failure:  # another user has revoked it in the meantime
            messages.error(request, str(failure.problems[0].message))
            page = None
        return page or redirect(back)

    def _show_once(self, request: HttpRequest, issued: api_keys.IssuedKey, old: ApiKey | None = None) -> HttpResponse:
        """Show the text of a new key. It is in this response only: in no URL, message, session or log."""
        return self.render_page(
            request,
            "admin/new_api_key.html",
            title=issued.key.name,
            text=issued.text,
            key=describe([issued.key])[0],
            old=old and describe([old])[0],
            command=f"curl -H 'x-api-key: {issued.text}' {request.build_absolute_uri('/api/devices')}",
            done_url=reverse("admin:devices_apikey_change", args=[issued.key.pk]),
        )


def describe(keys: Iterable[ApiKey]) -> list[dict[str, Any]]:
    """Return what identifies each key on a page: name, token, scope, access, state and last use."""
    return [
        {
            "name": key.name,
            "token": api_key_texts.describe_token(key),
            "scope": api_key_texts.describe_scope(key),
            "access": api_key_texts.describe_access(key),
            "state": api_key_texts.describe_state(key),
            "last_used": show_time(key.last_used_at) if key.last_used_at else None,
            "address": key.last_used_ip_address,
        }
        for key in keys
    ]
