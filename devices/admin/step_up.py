"""Guards the views and actions of the admin that change how a user signs in, or that make API keys.

Users confirm before they end sessions of their own: a thief must not end the owner's. Revoking a key and ending another
person's sessions are not guarded: they take access away, and an attack may be under way.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.decorators import method_decorator
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.generic import FormView

from devices import audit, second_factor, sign_in_limits, step_up
from devices.admin.current_password import CurrentPasswordForm
from devices.admin.second_factor import SecondFactorPage
from devices.audit import What

ACTION = ("action", ACTION_CHECKBOX_NAME, "select_across")  # what to keep of an action: no more than what was chosen
READ = {"GET", "HEAD", "OPTIONS"}

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
            if step_up.is_fresh(request) or (request.method in READ and not reading):
                return view(page, request, *args, **kwargs)
            return ask(request, keeps, lambda: view(page, request, *args, **kwargs))

        return cast(View, guarded)

    return decorate


def ask(request: HttpRequest, keeps: tuple[str, ...], resume: Callable[[], Any]) -> Any:
    """Ask for a code, or for the password where there is no second factor; confirmed, `resume` is called."""
    form = ConfirmByCode if second_factor.is_set_up(request.user) else ConfirmByPassword
    return form.as_view(keeps=keeps, resume=resume)(request)


class Confirm(FormView):  # type: ignore[type-arg]  # Django's takes no parameter when it runs
    """Asks at the URL that was requested, and so needs no parameter that says where to return to."""

    template_name = "admin/confirm_identity.html"
    prefix = "identity"
    keeps: tuple[str, ...] = ()
    resume: Any = None
    by = ""  # the form's field: code or password

    @property
    def is_sent(self) -> bool:
        """Whether this form was sent, not the one of the page that is guarded."""
        return f"{self.prefix}-{self.by}" in self.request.POST

    @property
    def kept(self) -> list[tuple[str, str]]:
        return [(name, text) for name in self.keeps for text in self.request.POST.getlist(name)]

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not self.is_sent:
            return self.get(request, *args, **kwargs)
        sign_in_limits.check(request, is_sign_in=False)
        return super().post(request, *args, **kwargs)

    def get_form_kwargs(self) -> dict[str, Any]:
        kwargs = super().get_form_kwargs()
        return kwargs if self.is_sent else kwargs | {"data": None, "files": None}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = {"title": _("Confirm your identity"), "is_lost": not self.kept and self.request.method not in READ}
        return {**super().get_context_data(**kwargs), **admin.site.each_context(self.request), **context}

    def go_on(self, form: Any) -> HttpResponse:
        audit.note(What.IDENTITY_CONFIRMED, about=self.request.user, by=self.by)
        return (self.resume() if self.kept else None) or redirect(self.request.get_full_path())


class ConfirmByCode(Confirm, SecondFactorPage):
    by = "code"


@method_decorator(never_cache, "dispatch")
class ConfirmByPassword(Confirm):
    form_class = CurrentPasswordForm
    by = "password"

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "request": self.request}

    def form_valid(self, form: CurrentPasswordForm) -> HttpResponse:
        self.request.session.cycle_key()
        step_up.confirmed(self.request)
        return self.go_on(form)
