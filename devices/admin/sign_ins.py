"""Who signed in, who tried to, and what somebody sees who tried too often."""

from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _

from devices.admin.access import OperatorOnlyMixin, ReadOnlyMixin, RegistryModelAdmin
from devices.models import FailedSignIn, SignIn


def locked_out(request: HttpRequest, response: HttpResponse | None = None, credentials: Any = None) -> HttpResponse:
    """Answer a sign-in that is locked: 429, and a page that says for how long."""
    minutes = int(settings.AXES_COOLOFF_TIME.total_seconds() // 60)
    context = {
        **admin.site.each_context(request),
        "title": _("Too many failed sign-ins"),
        "explanation": _(
            "This user is locked for this address for %(minutes)d minutes. Wait, or ask an operator for a new password."
        )
        % {"minutes": minutes},
    }
    return render(request, "admin/locked_out.html", context, status=HTTPStatus.TOO_MANY_REQUESTS)


@admin.register(SignIn)
class SignInAdmin(ReadOnlyMixin, OperatorOnlyMixin, RegistryModelAdmin):
    list_display = ("attempt_time", "username", "ip_address", "logout_time", "user_agent")
    list_filter = ("attempt_time",)
    lookups = ("attempt_time__gte", "attempt_time__lt", "attempt_time__isnull")
    search_fields = ("username", "ip_address")
    fields = ("attempt_time", "username", "ip_address", "user_agent", "logout_time")
    ordering = ("-attempt_time",)


@admin.register(FailedSignIn)
class FailedSignInAdmin(ReadOnlyMixin, OperatorOnlyMixin, RegistryModelAdmin):
    list_display = ("attempt_time", "username", "ip_address", "locked_out", "user_agent")
    list_filter = ("locked_out", "attempt_time")
    lookups = ("locked_out__exact", "attempt_time__gte", "attempt_time__lt", "attempt_time__isnull")
    search_fields = ("username", "ip_address")
    fields = ("attempt_time", "username", "ip_address", "locked_out", "user_agent")
    ordering = ("-attempt_time",)
