"""Require a recent confirmation of the identity for views that change a user's sign-in or create API keys.

Users must also confirm before they end their own sessions: the thief of a session must not end the owner's sessions.
The actions that revoke a key or end another user's sessions need no confirmation, because they remove access and must
be fast during an attack.
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
from devices.admin.identity import CodeOrRecoveryCodeForm, PasswordForm, accept, render_page
from devices.audit import audit_log
from devices.audit.audit_log import Action

ACTION = ("action", ACTION_CHECKBOX_NAME, "select_across")  # the fields of an action that are kept: only the selection
READ = {"GET", "HEAD", "OPTIONS"}
PREFIX = "identity"  # of the field's name, so that it differs from all fields of guarded forms

View = TypeVar("View", bound=Callable[..., Any])


def required(*kept_fields: str, reading: bool = True) -> Callable[[View], View]:
    """Guard a method of a ModelAdmin: without a recent confirmation, show a form for a code or the password.

    1. A request that reads is redirected to the requested page after the confirmation.
    2. A request that writes has no effect before the confirmation. The form has the fields named in `kept_fields` as
       hidden inputs, so they must not be secret. After the confirmation the request is executed with these fields. If
       it has none of them, the user must send the form again.

    `reading=False` guards only requests that write.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(page: Any, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            if not page.has_module_permission(request):
                raise PermissionDenied
            if sessions.is_fresh(request) or (request.method in READ and not reading):
                return view(page, request, *args, **kwargs)
            return ask(request, kept_fields, lambda: view(page, request, *args, **kwargs))

        return cast(View, guarded)

    return decorate


def ask(request: HttpRequest, kept_fields: tuple[str, ...], resume: Callable[[], Any]) -> Any:
    """Ask for a code, or for the password if the user has no two-factor authentication. Then call `resume`.

    The form is shown at the requested URL, so no parameter for the target is needed.
    """
    by, form_class = (
        ("code", CodeOrRecoveryCodeForm) if two_factor.is_enrolled(request.user) else ("password", PasswordForm)
    )
    is_sent = f"{PREFIX}-{by}" in request.POST  # this form was sent, not the form of the guarded page
    if is_sent:
        sign_in_limits.check(request)
    form = form_class(request.POST if is_sent else None, prefix=PREFIX, request=request)
    kept = [(name, text) for name in kept_fields for text in request.POST.getlist(name)]
    if form.is_valid():
        accept(form)
        audit_log.record(Action.IDENTITY_CONFIRMED, obj=request.user, by=by)
        return (resume() if kept else None) or redirect(request.get_full_path())
    context = {"form": form, "by": by, "kept": kept, "is_lost": not kept and request.method not in READ}
    return render_page(request, "admin/confirm_identity.html", title=_("Confirm your identity"), **context)
