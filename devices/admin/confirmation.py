"""The page that asks before an action: how many objects it will change, which ones, and what else it must know.

The sentences of an action are in templates/admin/confirm_<action>.html. An action begins like this:

    if not is_confirmed(request, queryset.count(), form):
        return render_confirmation(self, request, "transfer", queryset, form)
"""

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from devices.admin.access import RegistryModelAdmin

SHOWN = 20  # of the chosen objects, by name


def form_data(request: HttpRequest) -> Any:
    """Return the data for the page's form: None before the page was shown."""
    return request.POST if "confirmed" in request.POST else None


def is_confirmed(request: HttpRequest, count: int, form: forms.Form | None = None) -> bool:
    """Return whether the user confirmed this number of objects, and the form is valid.

    A user who chose all that a filter finds confirms a number: objects that were added meanwhile are not included.
    """
    return request.POST.get("confirmed") == str(count) and (form is None or form.is_valid())


def render_confirmation(
    page: RegistryModelAdmin,
    request: HttpRequest,
    action: str,
    chosen: QuerySet[Any],
    form: forms.Form | None = None,
    **context: Any,
) -> HttpResponse:
    count = chosen.count()
    if request.POST.get("confirmed", str(count)) != str(count):
        messages.warning(request, _("The number has changed meanwhile. Please look again."))
    return page.render_page(
        request,
        f"admin/confirm_{action}.html",
        title=page.get_action(action)[2],
        action=action,
        count=count,
        shown=chosen[:SHOWN],
        rest=max(count - SHOWN, 0),
        form=form,
        media=page.media + form.media if form else page.media,
        selected=request.POST.getlist(ACTION_CHECKBOX_NAME),
        select_across=request.POST.get("select_across") == "1",
        **context,
    )
