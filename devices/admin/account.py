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
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from unfold.widgets import UnfoldAdminPasswordToggleWidget

from devices.accounts import sessions, users
from devices.admin import sign_in, step_up
from devices.admin.audit_details import name_browser
from devices.admin.identity import ChangePasswordForm, render_page
from devices.models import Hospital

RULES = _(
    "At least 12 characters. Do not use only common words, years, your name or the name of a hospital. Four words that "
    "do not belong together make a good password."
)


class AdminContextMixin:
    request: HttpRequest

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return {**admin.site.each_context(self.request), **super().get_context_data(**kwargs)}  # type: ignore[misc]


class NewPasswordMixin:
    """Show the rules of passwords in one text, and let users see what they type."""

    def get_form(self, form_class: Any = None) -> Any:
        form = super().get_form(form_class)  # type: ignore[misc]
        for name, field in form.fields.items():
            use = "current-password" if name == "old_password" else "new-password"
            field.widget = UnfoldAdminPasswordToggleWidget(attrs={"autocomplete": use})
        form.fields["new_password1"].help_text = RULES
        form.fields["new_password2"].label, form.fields["new_password2"].help_text = _("New password again"), ""
        return form


class ChangePassword(NewPasswordMixin, AdminContextMixin, PasswordChangeView):
    """Replaces the page of Django's admin, whose form cannot be configured."""

    form_class = ChangePasswordForm
    template_name = "admin/change_password.html"
    success_url = reverse_lazy("admin:index")

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "request": self.request}

    def form_valid(self, form: Any) -> HttpResponse:
        response = super().form_valid(form)
        messages.success(self.request, _("Your password was changed. All your other sessions were ended."))
        return response


@method_decorator(login_not_required, "dispatch")
class SetPassword(NewPasswordMixin, AdminContextMixin, PasswordResetConfirmView):
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

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        if not self.validlink:
            return {**super().get_context_data(**kwargs), "title": _("This link was already used or has expired")}
        hospitals = Hospital.objects.filter(admins=self.user).order_by("name")
        return {**super().get_context_data(**kwargs), "recipient": self.user, "hospitals": hospitals}

    def form_valid(self, form: Any) -> HttpResponse:
        response = super().form_valid(form)
        axes.utils.reset(username=form.user.get_username())  # a new password ends a lockout
        self.request.session[sign_in.USER_NAME] = form.user.get_username()
        messages.success(self.request, _("Your password is set. You can sign in now."))
        return response


@never_cache
def your_sessions(request: HttpRequest) -> HttpResponse:
    """List the user's sessions. POST ends one (`session` is its id), or all except the current one (`others`)."""
    user: Any = request.user
    if request.method != "POST":
        listed = [(session, name_browser(session.user_agent)) for session in sessions.sessions_of(user)]
        context = {"sessions": listed, "current_id": sessions.current_id()}
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


def help_page(request: HttpRequest) -> HttpResponse:
    """Show the guide for hospital admins in the language of the page. Its source is docs/hospital-admins.md."""
    return render_page(request, "admin/help.html", title=_("Help"), guide=f"admin/guide/{get_language()}.html")
