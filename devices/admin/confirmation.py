"""The page that asks before an action: how many objects it will change, which ones, and what else it must know.

The sentences of an action are in templates/admin/confirm_<action>.html. An action begins like this:

    form = TransferForm(form_data(request))
    if page := ask(self, request, "transfer", queryset, form):
        return page
"""

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from devices.admin.base import RegistryModelAdmin

SHOWN = 20  # of the chosen objects, by name


def form_data(request: HttpRequest) -> Any:
    """Return the data for the page's form: None before the page was shown."""
    return request.POST if "confirmed" in request.POST else None


def ask(
    page: RegistryModelAdmin,
    request: HttpRequest,
    action: str,
    chosen: QuerySet[Any],
    form: forms.Form | None = None,
    **context: Any,
) -> HttpResponse | None:
    """Return the page, or None if the user confirmed this number of objects and the form is valid.

    A user who chose all that a filter finds confirms a number: objects that were added meanwhile are not included.
    """
    count = chosen.count()
    confirmed = request.POST.get("confirmed", "")
    if confirmed == str(count) and (form is None or form.is_valid()):
        return None
    if confirmed not in ("", str(count)):
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
