"""Base classes of all admin pages, and their permissions."""

from collections.abc import Collection, Iterator
from typing import Any, NoReturn
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.contrib.admin.widgets import AutocompleteSelect
from django.core.exceptions import BadRequest, ObjectDoesNotExist, PermissionDenied, ValidationError
from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.response import SimpleTemplateResponse
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldBooleanWidget

from devices import registry
from devices.access import scopes
from devices.admin.active_filters import ActiveFilter, active_filters
from devices.db import expressions, queries
from devices.models import MAX_ID, Device
from devices.values.errors import ValidationFailed
from devices.values.normalization import normalize
from devices.values.scope import Scope

MAX_COUNT = 10_000  # rows; an exact larger number is of no use, and counting takes a second
AUTOCOMPLETE_FIELDS = {("devices", "device", "device_holder"), ("devices", "apikey", "hospitals")}


def is_operator(request: HttpRequest) -> bool:
    return bool(request.user.is_active and request.user.is_superuser)


def autocomplete_view(request: HttpRequest) -> HttpResponse:
    """Return the choices of the fields in our forms and filters. Reject all other relations."""
    if tuple(request.GET.get(name) for name in ("app_label", "model_name", "field_name")) not in AUTOCOMPLETE_FIELDS:
        raise PermissionDenied
    return admin.site.autocomplete_view(request)


def is_id(text: str) -> bool:
    return text.isascii() and text.isdecimal() and int(text[:20]) <= MAX_ID


class LargePaginator(Paginator):  # type: ignore[type-arg]  # not generic at run time
    """Show the exact number of rows if it is known or at most MAX_COUNT; otherwise “more than MAX_COUNT”."""

    known: int | None = None  # the number of rows, if the page knows it without counting
    has_more = False
    object_list: QuerySet[Any]
    template_name = "admin/pagination_large.html"

    @cached_property
    def count(self) -> int:
        if self.known is not None:
            return self.known
        counted = self.object_list.order_by().values("pk")[: MAX_COUNT + 1].count()
        self.has_more = counted > MAX_COUNT
        return min(counted, MAX_COUNT)

    def page(self, number: Any) -> Page[Any]:
        """Find the ids of the page, which needs only an index, then read its rows.

        If few rows were counted, they may be few of many, such as the results of a search: see PageIds. Its query
        must select only the id. DISTINCT selects the columns of the order too.
        """
        page = super().page(number)
        rows: QuerySet[Any] = page.object_list  # type: ignore[assignment]
        if self.known is None and not self.has_more and not rows.query.distinct:
            start = (page.number - 1) * self.per_page
            found = expressions.PageIds(self.object_list, start, start + self.per_page)
            rows = self.object_list.model._default_manager.filter(pk__in=found)
        page.object_list = self.object_list.filter(pk__in=list(rows.values_list("pk", flat=True)))
        return page


class LargeChangeList(ChangeList):
    @property
    def url_without_search(self) -> str:
        return self.get_query_string(remove=["q"])

    @property
    def url_without_filters(self) -> str:
        """Return the list with the same search and order, and no filter."""
        kept = {name: value for name, value in self.params.items() if name in ("q", "o") and value}
        return f"?{urlencode({'q': self.query, **kept} if self.query else kept)}"

    @cached_property
    def active_filters(self) -> list[ActiveFilter]:
        return list(active_filters(self))

    def get_queryset(self, request: HttpRequest, *args: Any, **kwargs: Any) -> QuerySet[Any]:
        """Reject a filter that is not valid. Django would drop all filters and show the full list."""
        try:
            rows = super().get_queryset(request, *args, **kwargs)
        except IncorrectLookupParameters as error:
            raise BadRequest from error
        specs: list[Any] = self.filter_specs
        for spec in specs:
            value = spec.value() if isinstance(spec, admin.SimpleListFilter) else None
            if value and value not in {str(known) for known, _label in spec.lookup_choices}:
                raise BadRequest
        return rows

    def get_ordering_field(self, field_name: Any) -> Any:
        """Ignore a column that cannot be sorted, even if the URL contains it: it has no index."""
        is_sortable = self.sortable_by is None or field_name in self.sortable_by
        return super().get_ordering_field(field_name) if is_sortable else None

    def chosen_filters(self) -> Iterator[tuple[str, str]]:
        """Yield the title of each active filter, and its choice in words."""
        for spec in self.filter_specs:
            for number, choice in enumerate(spec.choices(self)):
                form: Any = choice.get("form")
                if form:
                    texts = list(filter(None, map(_chosen_text, form)))
                else:
                    is_chosen = choice.get("selected") and number > 0  # the first choice is All
                    texts = [str(choice["display"])] if is_chosen else []
                if texts:
                    yield str(spec.title), " – ".join(texts)

    def get_results(self, request: HttpRequest) -> None:
        """Use the paginator's number as the total number of rows if no filter is active."""
        super().get_results(request)
        if not self.has_active_filters and not self.query:
            self.full_result_count = self.result_count


def _chosen_text(field: Any) -> str:
    """Return the choice of a bound field of a filter in words. It is empty for an object outside the scope."""
    value = field.value()
    if value in (None, "", [""]):
        return ""
    try:
        chosen = field.field.clean(value)
    except ValidationError:
        return ""
    choices = {} if hasattr(field.field, "queryset") else dict(getattr(field.field, "choices", ()))
    return str(choices.get(str(chosen), chosen))


class HospitalSelect(AutocompleteSelect):
    """Choose a hospital by part of its name. Without scripts, a plain select follows, whose value takes precedence."""

    max_plain_choices = 500

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        """Return both selects. The plain one has the hospitals of the field, which are in the user's scope."""
        hospitals: Any = self.choices.queryset
        first = list(hospitals.order_by("name").values_list("pk", "name")[: self.max_plain_choices])
        chosen = hospitals.filter(pk=value).values_list("pk", "name") if is_id(str(value)) else []
        choices = dict([("", self.choices.field.empty_label or "–"), *chosen, *first])
        label = str(self.field.verbose_name)
        plain = UnfoldAdminSelectWidget({"aria-label": label[:1].upper() + label[1:]}, choices.items())
        both = super().render(name, value, attrs, renderer), plain.render(name, value)
        return format_html("{}<noscript>{}</noscript>", *both)


class RegistryModelAdmin(ModelAdmin):
    """The base class of every page. Forms and actions show the errors of a rejected write."""

    # A URL can filter a list by these only. Django would allow any condition on any column: a user could then guess
    # hidden values, or keep the server busy with a regular expression.
    lookups: Collection[str] = ()
    list_before_template = "admin/active_filters.html"
    list_per_page = 50
    empty_value_display = "–"
    paginator = LargePaginator
    show_facets = admin.ShowFacets.NEVER
    show_full_result_count = False
    warn_unsaved_form = True  # static/devices/session.js relies on it

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name in self.autocomplete_fields:
            kwargs["widget"] = HospitalSelect(db_field, self.admin_site, using=kwargs.get("using"))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    @admin.display(description=ModelAdmin.action_checkbox.short_description)
    def action_checkbox(self, obj: Any) -> str:
        """Name the tick box after its row. Django names all of them alike for screen readers."""
        name = _("Select %(name)s") % {"name": self.row_name(obj)}
        attributes = {"class": "action-select", "aria-label": name}
        return UnfoldBooleanWidget(attributes, lambda _value: False).render(ACTION_CHECKBOX_NAME, str(obj.pk))  # type: ignore[no-any-return]

    def row_name(self, obj: Any) -> str:
        """Return the name of a row of the list. It must contain nothing that the columns hide."""
        return str(obj)

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        return lookup in self.lookups

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return LargeChangeList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Normalize the search text like the names in the database."""
        return super().get_search_results(request, queryset, normalize(search_term))  # type: ignore[no-any-return]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Show the errors of a rejected action. Render the list here, because its template runs the search."""
        try:
            with queries.plan_each_time():
                response: HttpResponse = super().changelist_view(request, extra_context)
                return response.render() if isinstance(response, SimpleTemplateResponse) else response
        except ValidationFailed as failure:
            _show_errors(request, failure)
        return redirect(request.get_full_path())

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Show the errors of a rejected write. Another write can happen between this form's check and its write."""
        data = request.POST.copy()
        for field in self.autocomplete_fields:
            if data.get(field) and not is_id(str(data[field])):
                data[field] = "0"  # no object has this id; Django would send an invalid id to the database
        request.POST = data  # type: ignore[assignment]
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)  # type: ignore[no-any-return]
        except ValidationFailed as failure:
            _show_errors(request, failure)
        except ValidationError as error:
            messages.error(request, error.messages[0])
        except registry.PreconditionFailed:
            text = _("Another user has changed this record. Your changes were not saved. The current values are shown.")
            messages.error(request, text)
        except ObjectDoesNotExist:
            messages.error(request, _("This record no longer exists. Another user has removed it. Nothing was saved."))
            return redirect(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist")
        return redirect(request.get_full_path())

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """Show Django's log of an object to operators only. The log has the names of all users who changed the object.

        Reject other users before Django searches for the object, so that the response does not show whether it exists.
        """
        if not is_operator(request):
            raise PermissionDenied
        return super().history_view(request, object_id, extra_context)  # type: ignore[no-any-return]

    def render_page(self, request: HttpRequest, template: str, **context: Any) -> HttpResponse:
        """Render a page that is neither Django's list nor Django's form."""
        return render(request, template, {**self.admin_site.each_context(request), "opts": self.opts, **context})

    def response_action(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        """Reject invalid ids, which Django would send to the database."""
        if not all(map(is_id, request.POST.getlist(ACTION_CHECKBOX_NAME))):
            raise BadRequest
        return super().response_action(request, queryset)  # type: ignore[no-any-return]

    @property
    def media(self) -> forms.Media:
        """Add the translations of select2, which unfold does not include."""
        vendor, language = "admin/js/vendor", get_language()
        translations = [f"{vendor}/select2/i18n/{language}.js"] if language != "en" else []
        libraries = [f"{vendor}/jquery/jquery.min.js", f"{vendor}/select2/select2.full.js"]
        return super().media + forms.Media(js=[*libraries, *translations, "admin/js/jquery.init.js"])  # type: ignore[no-any-return]


class OperatorOnlyMixin(RegistryModelAdmin):
    """Pages for operators only. Permissions in the database do not matter."""

    def has_module_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_operator(request)

    has_view_permission = has_add_permission = has_change_permission = has_delete_permission = has_module_permission


class ReadOnlyMixin(RegistryModelAdmin):
    """Pages on which nothing can be added, changed or deleted."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    has_change_permission = has_delete_permission = has_add_permission


class ScopedMixin(RegistryModelAdmin):
    """Pages for operators and hospital admins. Objects outside the scope are 404, like objects that never existed."""

    scope_field = "device_holder"  # the field with the hospital's id
    changes_filter = "id"  # the filter of the page Changes that finds the changes of one object

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)
        scope = scopes.scope_for_user(request.user)
        return rows if scope.hospital_ids is None else self.filter_scope(rows, scope)

    def filter_scope(self, rows: QuerySet[Any], scope: Scope) -> QuerySet[Any]:
        return rows.filter(**{f"{self.scope_field}__in": scope.hospital_ids})

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """Show the changes of devices. Django's log has only the changes of the admin, and names all actors."""
        page: Any = admin.site.get_model_admin(Device.history.model)
        return page.history_of(request, self, object_id)  # type: ignore[no-any-return]

    def _get_obj_does_not_exist_redirect(self, request: HttpRequest, opts: Any, object_id: str) -> NoReturn:
        raise Http404


def _show_errors(request: HttpRequest, failure: ValidationFailed) -> None:
    for problem in failure.problems:
        messages.error(request, str(problem.message))
