"""Who may open which page of the admin: each is for operators only, or narrowed to what is within reach."""

from collections.abc import Collection
from typing import Any, NoReturn

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin

from devices import reach, registry
from devices.drafts import normalize
from devices.models import MAX_ID
from devices.problems import Refused
from devices.reach import Reach

OUTDATED = _("Somebody has changed this meanwhile, and nothing was saved. Here is what it is now.")
GONE = _("This is not there any more: somebody was faster. Nothing was saved.")


def is_operator(request: HttpRequest) -> bool:
    return bool(request.user.is_active and request.user.is_superuser)


CHOICES = {("devices", "device", "device_holder"), ("devices", "apikey", "hospital")}


def choices(request: HttpRequest) -> HttpResponse:
    """Give the choices of the fields that forms and filters here have, and of no other relation between tables."""
    if tuple(request.GET.get(name) for name in ("app_label", "model_name", "field_name")) not in CHOICES:
        raise PermissionDenied
    return admin.site.autocomplete_view(request)


def is_id(text: str) -> bool:
    return text.isascii() and text.isdecimal() and int(text[:20]) <= MAX_ID


class Page(ModelAdmin):
    """What all pages have.

    - A URL narrows a list by what its filters offer (`lookups`), and by nothing else: Django would take any condition
      on any column, by which values that are not shown can be guessed, or the server be kept busy with a regular
      expression.
    - What a form sends for an id is one, or stands for none.
    - The words of the boxes to choose from are in the reader's language, which unfold leaves out.
    """

    lookups: Collection[str] = ()

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        return lookup in self.lookups

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Normalize the text like the names it is compared with."""
        return super().get_search_results(request, queryset, normalize(search_term))  # type: ignore[no-any-return]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        self._take_ids_only(request)
        return super().changelist_view(request, extra_context)  # type: ignore[no-any-return]

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        self._take_ids_only(request)
        return super().changeform_view(request, object_id, form_url, extra_context)  # type: ignore[no-any-return]

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """Show Django's log of an object to operators only: it has the user names of all who changed the object.

        Reject the request before Django looks for the object, so that the response does not show which exist.
        """
        if not is_operator(request):
            raise PermissionDenied
        return super().history_view(request, object_id, extra_context)  # type: ignore[no-any-return]

    def _take_ids_only(self, request: HttpRequest) -> None:
        if request.method != "POST":
            return
        sent = request.POST.copy()
        if ACTION_CHECKBOX_NAME in sent:
            sent.setlist(ACTION_CHECKBOX_NAME, [pk for pk in sent.getlist(ACTION_CHECKBOX_NAME) if is_id(pk)])
        for field in self.autocomplete_fields:
            if sent.get(field) and not is_id(str(sent[field])):
                sent[field] = "0"  # which nothing has: the field tells so
        request.POST = sent  # type: ignore[assignment]

    @property
    def media(self) -> forms.Media:
        vendor = "admin/js/vendor"
        language = get_language()
        words = [f"{vendor}/select2/i18n/{language}.js"] if language != "en" else []
        libraries = [f"{vendor}/jquery/jquery.min.js", f"{vendor}/select2/select2.full.js"]
        return super().media + forms.Media(js=[*libraries, *words, "admin/js/jquery.init.js"])  # type: ignore[no-any-return]


class OnlyForOperators(Page):
    """Pages of the vendor's own, whatever permissions somebody was given in the database."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        return is_operator(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_operator(request)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_operator(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_operator(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_operator(request)


class OnlyToRead(Page):
    """Tables that are shown and not changed here: what changes them has verbs of its own."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class WithinReach(Page):
    """Pages that hospital admins have too. What is beyond their reach is 404, as if it had never been."""

    narrowed_by = "device_holder"  # the column that has the hospital's id

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)
        within = reach.of_user(request.user)
        return rows if within.ids is None else self.narrowed(rows, within)

    def narrowed(self, rows: QuerySet[Any], within: Reach) -> QuerySet[Any]:
        return rows.filter(**{f"{self.narrowed_by}__in": within.ids})

    def _get_obj_does_not_exist_redirect(self, request: HttpRequest, opts: Any, object_id: str) -> NoReturn:
        raise Http404


class WritesByVerbs(Page):
    """Forms whose writing a verb may refuse, with problems that a person is told."""

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Tell what is in the way also if somebody was faster than this form, between its check and its writing."""
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except Refused as refused:
            for problem in refused.problems:
                messages.error(request, str(problem.message))
        except registry.Outdated:
            messages.error(request, str(OUTDATED))
        except ObjectDoesNotExist:
            messages.error(request, str(GONE))
            return redirect(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist")
        return redirect(request.get_full_path())
