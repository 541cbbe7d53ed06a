"""The confirmation page of an action: the number and names of the objects, and the form of the action.

The text of an action is in templates/admin/confirm_<action>.html. An action begins like this:

    form = TransferForm(form_data(request))
    if page := render_confirmation(self, request, "transfer", queryset, form):
        return page
"""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from devices.admin.base import RegistryModelAdmin

NAMES_SHOWN = 20
DESTRUCTIVE = {"retire", "revoke", "merge"}  # actions with a red button


def form_data(request: HttpRequest) -> Any:
    """Return the data for the form of the page, or None if the page has not been shown yet."""
    return request.POST if "confirmed" in request.POST else None


def confirmed_number(request: HttpRequest) -> int:
    """Return the number of objects that the user has confirmed, after `render_confirmation` has returned None."""
    return int(request.POST["confirmed"])


def render_confirmation(
    page: RegistryModelAdmin,
    request: HttpRequest,
    action: str,
    chosen: QuerySet[Any],
    form: forms.Form | None = None,
    heading: Callable[[int], str] | None = None,
    **context: Any,
) -> HttpResponse | None:
    """Return the page, or None if the user has confirmed this number of objects and the form is valid.

    heading: returns the heading for the number of objects. Without it, the heading is the name of the action.

    The number matters if a user has selected everything that a filter finds: an object could be added before the
    confirmation.
    """
    count = chosen.count()
    confirmed = request.POST.get("confirmed", "")
    if confirmed == str(count) and (form is None or form.is_valid()):
        return None
    if confirmed not in ("", str(count)):
        messages.warning(request, _("The number of selected objects has changed. Please check the selection again."))
    return page.render_page(
        request,
        f"admin/confirm_{action}.html",
        title=page.get_action(action)[2],
        heading=heading(count) if heading else page.get_action(action)[2],
        action=action,
        button_variant="danger" if action in DESTRUCTIVE else "primary",
        count=count,
        shown=chosen[:NAMES_SHOWN],
        rest=max(count - NAMES_SHOWN, 0),
        form=form,
        media=page.media + form.media if form else page.media,
        selected=request.POST.getlist(ACTION_CHECKBOX_NAME),
        select_across=request.POST.get("select_across") == "1",
        **context,
    )
