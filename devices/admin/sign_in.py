"""The sign-in form, and the redirect to it when a session has ended."""

from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.contrib import admin
from django.contrib.auth import middleware
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _
from unfold.forms import AuthenticationForm
from unfold.widgets import UnfoldAdminPasswordToggleWidget

from devices.accounts import users

ENDED = "ended"  # query parameter of the sign-in page; it only selects a sentence
UNSAVED = "unsaved"  # its value after a request that would have saved something
USER_NAME = "sign_in_as"  # in the session of a browser in which a user has just set a password


class SignInForm(AuthenticationForm):
    """Check the user name and password. The message is the same for a wrong password, user name and role."""

    request: HttpRequest

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        username, password = self.fields["username"], self.fields["password"]
        username.label = _("Email or user name")
        username.initial = self.request.session.get(USER_NAME)
        if username.initial:
            del username.widget.attrs["autofocus"]
            password.widget.attrs["autofocus"] = ""
        password.widget = UnfoldAdminPasswordToggleWidget(attrs=password.widget.attrs)
        self.error_messages = AuthenticationForm.error_messages | {"invalid_login": wrong_sign_in()}

    def clean_username(self) -> str:
        text: str = self.cleaned_data["username"]
        return text if User.objects.filter(username=text).exists() else users.normalize_username(text)

    @property
    def session_ended(self) -> str:
        """Return why the user must sign in again, or an empty string for a user who opened this page."""
        ended = self.request.GET.get(ENDED)
        if not ended:
            return ""
        why = _(
            "You are no longer signed in. A session ends after {minutes} minutes without activity, and {hours} hours "
            "after the sign-in."
        )
        text = format_lazy(why, minutes=settings.SESSION_COOKIE_AGE // 60, hours=settings.SESSION_MAX_AGE // 3600)
        unsaved = _("Your last change was not saved.")
        return f"{text} {unsaved}" if ended == UNSAVED else str(text)


def wrong_sign_in() -> Any:
    """Return the message for a wrong user name or password, with the limit of axes."""
    text = _("The email or password is wrong. After {count} wrong passwords, sign-in is locked for {minutes} minutes.")
    minutes = int(settings.AXES_COOLOFF_TIME.total_seconds() // 60)
    return format_lazy(text, count=settings.AXES_FAILURE_LIMIT, minutes=minutes)


admin.site.login_form = SignInForm


class LoginRequiredMiddleware(middleware.LoginRequiredMiddleware):
    """Redirect to the sign-in page, with a note if a user was signed in before in this browser.

    The browser deletes the session cookie when the session ends, so the device cookie counts too. Its value is not
    checked: anyone can open the page with the note.
    """

    def process_view(self, request: HttpRequest, *view: Any) -> HttpResponse | None:
        response: Any = super().process_view(request, *view)
        if response is None and getattr(view[0], "login_required", True):
            request.signed_in_id = request.user.pk  # type: ignore[attr-defined]  # for the log, which must not query it
        cookies = {settings.SESSION_COOKIE_NAME, settings.DEVICE_COOKIE_NAME}
        if response is not None and cookies & request.COOKIES.keys():
            ended = UNSAVED if request.method == "POST" else "1"
            response["Location"] += f"&{urlencode({ENDED: ended})}"
        return response  # type: ignore[no-any-return]
