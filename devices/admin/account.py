"""Pages on which users set or change their own password, and list and end their own sessions."""

from contextlib import nullcontext
from typing import Any

import axes.utils
from django.contrib import admin, messages
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.models import User
from django.contrib.auth.views import PasswordChangeView, PasswordResetConfirmView
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse_lazy
from django.utils.decorators import method_decorator
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from unfold.widgets import UnfoldAdminPasswordWidget

from devices.accounts import sessions, users
from devices.admin import step_up
from devices.admin.identity import ChangePasswordForm, render_page


class AdminContextMixin:
    request: HttpRequest

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return {**admin.site.each_context(self.request), **super().get_context_data(**kwargs)}  # type: ignore[misc]


class ChangePassword(AdminContextMixin, PasswordChangeView):
    """Replaces the page of Django's admin, whose form cannot be configured."""

    form_class = ChangePasswordForm
    success_url = reverse_lazy("admin:password_change_done")

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "request": self.request}


@method_decorator(login_not_required, "dispatch")
class SetPassword(AdminContextMixin, PasswordResetConfirmView):
    template_name = "admin/set_password.html"
    token_generator = users.link_tokens
    success_url = reverse_lazy("admin:login")
    title = _("Set a password")

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        with transaction.atomic() if request.method == "POST" else nullcontext():
            return super().dispatch(request, *args, **kwargs)

    def get_user(self, uidb64: str) -> Any:
        """Return the user of the link. A POST locks the user: the second of two concurrent ones finds the link used."""
        user = super().get_user(uidb64)
        if user is None or self.request.method != "POST":
            return user
        return User.objects.select_for_update().filter(pk=user.pk).first()

    def get_form(self, form_class: Any = None) -> Any:
        form = super().get_form(form_class)
        for field in form.fields.values():
            field.widget = UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"})
        return form

    def form_valid(self, form: Any) -> HttpResponse:
        response = super().form_valid(form)
        axes.utils.reset(username=form.user.get_username())  # a new password ends a lockout
        messages.success(self.request, _("Your password is set. You can sign in now."))
        return response


@never_cache
def your_sessions(request: HttpRequest) -> HttpResponse:
    """List the user's sessions. POST ends one (`session` is its id), or all except the current one (`others`)."""
    user: Any = request.user
    if request.method != "POST":
        context = {"sessions": sessions.sessions_of(user), "current_id": sessions.current_id()}
        return render_page(request, "admin/your_sessions.html", title=_("Your sessions"), **context)
    if not sessions.is_fresh(request):
        response: HttpResponse = step_up.ask(request, ("session", "others"), lambda: your_sessions(request))
        return response
    count = sessions.end_others(user, request.POST.get("session"))
    messages.success(request, sessions_ended(count))
    return redirect("your_sessions")


def sessions_ended(count: int) -> str:
    text = ngettext("%(count)d session was ended.", "%(count)d sessions were ended.", count)
    return text % {"count": count}
