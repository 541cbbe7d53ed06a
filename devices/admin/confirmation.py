"""A page between a choice and its effect: it says what will happen to how many, and asks for what else is needed."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from unfold.admin import ModelAdmin

from devices import origin
from devices.models import Through
from devices.origin import Origin
from devices.problems import Refused

SHOWN = 20  # of the chosen, by name


def sent(request: HttpRequest) -> Any:
    """Return what the page's form is bound to: nothing before the page was shown."""
    return request.POST if "confirmed" in request.POST else None


def ask(
    page: ModelAdmin,
    request: HttpRequest,
    chosen: QuerySet[Any],
    *,
    action: str,
    title: Any,
    will: Any,
    form: forms.Form | None = None,
    name: Callable[[Any], str] = str,
) -> HttpResponse | None:
    """Return the page that asks; None once it was answered, the form is valid, and the number is still the same.

    Who chose all that a filter finds confirms a number: whatever came in between is not swept along unseen.
    `will` says what will happen; it may have a plural, by `count`.
    """
    count = chosen.count()
    if sent(request) and request.POST["confirmed"] == str(count) and (form is None or form.is_valid()):
        return None
    if sent(request) and request.POST["confirmed"] != str(count):
        messages.warning(request, _("The number has changed meanwhile. Please look again."))
    across = request.POST.get("select_across") == "1"
    named = [name(each) for each in chosen[:SHOWN]]
    context = {
        **page.admin_site.each_context(request),
        "opts": page.opts,
        "title": title,
        "explanation": will % {"count": count},
        "named": named,
        "rest": _("and %(count)d more") % {"count": count - len(named)} if count > len(named) else "",
        "form": form,
        "media": page.media + form.media if form else page.media,
        "action": action,
        "count": count,
        "select_across": across,
        "selected": request.POST.getlist(ACTION_CHECKBOX_NAME)[: 1 if across else None],
        "cancel_url": request.get_full_path(),
        "back": _("No, take me back"),
    }
    return render(request, "admin/confirm_action.html", context)


def carry_out(
    page: ModelAdmin,
    request: HttpRequest,
    chosen: QuerySet[Any],
    verb: Callable[[Origin], int],
    *,
    done: Any,
    **question: Any,
) -> HttpResponse | None:
    """Ask, and once it is answered do it and say to how many it was done."""
    if asked := ask(page, request, chosen, **question):
        return asked
    try:
        count = verb(origin.of_request(request, Through.ADMIN))
    except Refused as refused:
        for problem in refused.problems:
            messages.error(request, str(problem.message))
    else:
        messages.success(request, done % {"count": count})
    return None
