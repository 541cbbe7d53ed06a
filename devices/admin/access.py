"""Who may open which page of the admin: each is for operators only, or narrowed to what is within reach."""

from typing import Any, NoReturn

from django import forms
from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import get_language
from unfold.admin import ModelAdmin

from devices import reach
from devices.problems import Refused
from devices.reach import Reach


def is_operator(request: HttpRequest) -> bool:
    return bool(request.user.is_active and request.user.is_superuser)


class Page(ModelAdmin):
    """What all pages have: the words of the boxes to choose from in the reader's language, which unfold leaves out."""

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
            return super().changeform_view(request, object_id, form_url, extra_context)  # type: ignore[no-any-return]
        except Refused as refused:
            for problem in refused.problems:
                messages.error(request, str(problem.message))
            return redirect(request.get_full_path())
