"""What all pages of the admin share, and who may open them."""

from collections.abc import Collection
from typing import Any, NoReturn

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import BadRequest, ObjectDoesNotExist, PermissionDenied, ValidationError
from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.response import SimpleTemplateResponse
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from unfold.admin import ModelAdmin

from devices import registry
from devices.access import scopes
from devices.db import queries
from devices.models import MAX_ID
from devices.values.errors import ValidationFailed
from devices.values.normalization import normalize
from devices.values.scope import Scope

COUNTED = 10_000  # rows: a greater number tells nobody more, and takes a second to find out
AUTOCOMPLETE_FIELDS = {("devices", "device", "device_holder"), ("devices", "apikey", "hospital")}


def is_operator(request: HttpRequest) -> bool:
    return bool(request.user.is_active and request.user.is_superuser)


def autocomplete_view(request: HttpRequest) -> HttpResponse:
    """Return the choices of the fields that our forms and filters have, and of no other relation."""
    if tuple(request.GET.get(name) for name in ("app_label", "model_name", "field_name")) not in AUTOCOMPLETE_FIELDS:
        raise PermissionDenied
    return admin.site.autocomplete_view(request)


def is_id(text: str) -> bool:
    return text.isascii() and text.isdecimal() and int(text[:20]) <= MAX_ID


class LargePaginator(Paginator):  # type: ignore[type-arg]  # Django's takes no parameter when it runs
    """Show the exact number of rows where it is known or small, otherwise that there are more."""

    known: int | None = None  # the number, if the page knows it without counting
    has_more = False
    object_list: QuerySet[Any]
    template_name = "admin/pagination_large.html"

    @cached_property
    def count(self) -> int:
        if self.known is not None:
            return self.known
        counted = self.object_list.order_by().values("pk")[: COUNTED + 1].count()
        self.has_more = counted > COUNTED
        return min(counted, COUNTED)

    def page(self, number: Any) -> Page[Any]:
        """Find the page by its ids alone, which an index has, and only then read its rows."""
        page = super().page(number)
        rows: QuerySet[Any] = page.object_list  # type: ignore[assignment]
        page.object_list = self.object_list.filter(pk__in=list(rows.values_list("pk", flat=True)))
        return page


class LargeChangeList(ChangeList):
    def get_ordering_field(self, field_name: Any) -> Any:
        """Sort by nothing that has no index, also if the URL asks for it."""
        is_sortable = self.sortable_by is None or field_name in self.sortable_by
        return super().get_ordering_field(field_name) if is_sortable else None

    def get_results(self, request: HttpRequest) -> None:
        """Where nothing filters the list, the number of all rows is the paginator's."""
        super().get_results(request)
        if not self.has_active_filters and not self.query:
            self.full_result_count = self.result_count


class RegistryModelAdmin(ModelAdmin):
    """The base of every page. A form and an action show why a write was refused."""

    # A URL filters a list by these only. Django would take any condition on any column: values that are not shown could
    # be guessed, and a regular expression could keep the server busy.
    lookups: Collection[str] = ()
    list_per_page = 50
    empty_value_display = "–"
    paginator = LargePaginator
    show_full_result_count = False

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        return lookup in self.lookups

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return LargeChangeList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Normalize the text like the names it is compared with."""
        return super().get_search_results(request, queryset, normalize(search_term))  # type: ignore[no-any-return]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Show why an action was refused. Render the list here: its template runs the search."""
        try:
            with queries.plan_each_time():
                response: HttpResponse = super().changelist_view(request, extra_context)
                return response.render() if isinstance(response, SimpleTemplateResponse) else response
        except ValidationFailed as refused:
            _show_errors(request, refused)
        return redirect(request.get_full_path())

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Show why a write was refused. Another write may come between this form's check and its own."""
        sent = request.POST.copy()
        for field in self.autocomplete_fields:
            if sent.get(field) and not is_id(str(sent[field])):
                sent[field] = "0"  # no object has it: Django would pass what is no id on to the database
        request.POST = sent  # type: ignore[assignment]
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)  # type: ignore[no-any-return]
        except ValidationFailed as refused:
            _show_errors(request, refused)
        except ValidationError as error:
            messages.error(request, error.messages[0])
        except registry.PreconditionFailed:
            text = _("Somebody has changed this meanwhile, and nothing was saved. Here is what it is now.")
            messages.error(request, text)
        except ObjectDoesNotExist:
            messages.error(request, _("This is not there any more: somebody was faster. Nothing was saved."))
            return redirect(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist")
        return redirect(request.get_full_path())

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """Show Django's log of an object to operators only: it has the user names of all who changed the object.

        Reject the request before Django looks for the object, so that the response does not show which exist.
        """
        if not is_operator(request):
            raise PermissionDenied
        return super().history_view(request, object_id, extra_context)  # type: ignore[no-any-return]

    def render_page(self, request: HttpRequest, template: str, **context: Any) -> HttpResponse:
        """Render a page that is neither a list nor a form of Django's."""
        return render(request, template, {**self.admin_site.each_context(request), "opts": self.opts, **context})

    def response_action(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        """Reject what is no id: Django would pass it on to the database."""
        if not all(map(is_id, request.POST.getlist(ACTION_CHECKBOX_NAME))):
            raise BadRequest
        return super().response_action(request, queryset)  # type: ignore[no-any-return]

    @property
    def media(self) -> forms.Media:
        """Add the translations of select2, which unfold leaves out."""
        vendor, language = "admin/js/vendor", get_language()
        translations = [f"{vendor}/select2/i18n/{language}.js"] if language != "en" else []
        libraries = [f"{vendor}/jquery/jquery.min.js", f"{vendor}/select2/select2.full.js"]
        return super().media + forms.Media(js=[*libraries, *translations, "admin/js/jquery.init.js"])  # type: ignore[no-any-return]


class OperatorOnlyMixin(RegistryModelAdmin):
    """Pages for operators only, whatever permissions a user has in the database."""

    def has_module_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_operator(request)

    has_view_permission = has_add_permission = has_change_permission = has_delete_permission = has_module_permission


class ReadOnlyMixin(RegistryModelAdmin):
    """Tables that are not changed on their pages."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    has_change_permission = has_delete_permission = has_add_permission


class ScopedMixin(RegistryModelAdmin):
    """Pages for hospital admins too. Objects outside their scope are 404, as if they had never existed."""

    scope_field = "device_holder"  # has the hospital's id
    changes_filter = "id"  # of the page of changes: what finds those of one object

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)
        scope = scopes.scope_for_user(request.user)
        return rows if scope.hospital_ids is None else self.filter_scope(rows, scope)

    def filter_scope(self, rows: QuerySet[Any], scope: Scope) -> QuerySet[Any]:
        return rows.filter(**{f"{self.scope_field}__in": scope.hospital_ids})

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """Redirect to the changes. Django's log has only those made in the admin, and names all actors."""
        if self.get_object(request, object_id) is None:
            raise Http404
        changes = reverse("admin:devices_historicaldevice_changelist", query={self.changes_filter: object_id})
        return redirect(changes)

    def _get_obj_does_not_exist_redirect(self, request: HttpRequest, opts: Any, object_id: str) -> NoReturn:
        raise Http404


def _show_errors(request: HttpRequest, refused: ValidationFailed) -> None:
    for problem in refused.problems:
        messages.error(request, str(problem.message))
