"""Guards the views and actions of the admin that change how a user signs in, or that make API keys.

Users confirm before they end sessions of their own: a thief must not end the owner's. Revoking a key and ending another
person's sessions are not guarded: they take access away, and an attack may be under way.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.shortcuts import redirect
from django.utils.translation import gettext as _

from devices.accounts import sessions, sign_in_limits, two_factor
from devices.admin.identity import CodeForm, PasswordForm, accept, render_page
from devices.audit import audit_log
from devices.audit.audit_log import Action

ACTION = ("action", ACTION_CHECKBOX_NAME, "select_across")  # what to keep of an action: no more than what was chosen
READ = {"GET", "HEAD", "OPTIONS"}
PREFIX = "identity"  # of the field, which no guarded form has

View = TypeVar("View", bound=Callable[..., Any])


def required(*keeps: str, reading: bool = True) -> Callable[[View], View]:
    """Guard a method of a ModelAdmin: unless the identity was confirmed recently, ask for a code or the password.

    1. A request to read is answered with a page that asks. Confirmed, the page leads to the one that was requested.
    2. So is a request to write, and nothing is written. The page carries the fields named in `keeps`, which must not
       be secret. Confirmed, the request is carried out with these; if there are none, the form must be sent again.

    `reading=False` guards requests to write only.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(page: Any, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            if not page.has_module_permission(request):
                raise PermissionDenied
            if sessions.is_fresh(request) or (request.method in READ and not reading):
                return view(page, request, *args, **kwargs)
            return ask(request, keeps, lambda: view(page, request, *args, **kwargs))

        return cast(View, guarded)

    return decorate


def ask(request: HttpRequest, keeps: tuple[str, ...], resume: Callable[[], Any]) -> Any:
    """Ask for a code, or for the password where there is no second factor; confirmed, `resume` is called.

    It asks at the URL that was requested, and so needs no parameter that says where to return to.
    """
    by, form_class = ("code", CodeForm) if two_factor.is_enrolled(request.user) else ("password", PasswordForm)
    is_sent = f"{PREFIX}-{by}" in request.POST  # this form, not the one of the page that is guarded
    if is_sent:
        sign_in_limits.check(request)
    form = form_class(request.POST if is_sent else None, prefix=PREFIX, request=request)
    kept = [(name, text) for name in keeps for text in request.POST.getlist(name)]
    if form.is_valid():
        accept(form)
        audit_log.record(Action.IDENTITY_CONFIRMED, obj=request.user, by=by)
        return (resume() if kept else None) or redirect(request.get_full_path())
    context = {"form": form, "by": by, "kept": kept, "is_lost": not kept and request.method not in READ}
    return render_page(request, "admin/confirm_identity.html", title=_("Confirm your identity"), **context)
