"""Lists that may have a million rows, and their pages."""

from typing import Any

from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import SimpleTemplateResponse
from django.utils.formats import number_format
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin

from devices import sql

COUNTED = 10_000  # rows: a number that is greater tells nobody more, and takes a second to find out


class LargePaginator(Paginator):  # type: ignore[type-arg]  # Django's takes no parameter when it runs
    """Show the exact number of rows where it is known or small, otherwise that there are more."""

    known: int | None = None  # the number, from who knows what narrows the list

    object_list: QuerySet[Any]
    template_name = "admin/pagination_large.html"
    more_than = _("more than")

    @property
    def text(self) -> str:
        return number_format(self.count, use_l10n=True, force_grouping=True)

    @cached_property
    def count(self) -> int:
        return self.known if self.known is not None else min(self._counted, COUNTED)

    @cached_property
    def _counted(self) -> int:
        return self.object_list.order_by().values("pk")[: COUNTED + 1].count()

    @property
    def has_more(self) -> bool:
        return "_counted" in self.__dict__ and self._counted > COUNTED

    def page(self, number: Any) -> Page[Any]:
        """Find the page by its ids alone, which an index has, and only then read its rows."""
        page = super().page(number)
        rows: QuerySet[Any] = page.object_list  # type: ignore[assignment]
        page.object_list = self.object_list.filter(pk__in=list(rows.values_list("pk", flat=True)))
        return page


class LargeChangeList(ChangeList):
    def get_ordering_field(self, field_name: Any) -> Any:
        """Sort by nothing that has no index, also if the URL asks for it."""
        return super().get_ordering_field(field_name) if self._may_sort_by(field_name) else None

    def _may_sort_by(self, field_name: Any) -> bool:
        return self.sortable_by is None or field_name in self.sortable_by

    def get_results(self, request: HttpRequest) -> None:
        """Take the number of all rows from the pages, where nothing narrows them: they have counted it already."""
        super().get_results(request)
        if not self.has_active_filters and not self.query:
            self.full_result_count = self.result_count


class LargeList(ModelAdmin):
    list_per_page = 50
    paginator = LargePaginator
    show_full_result_count = False

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Show the list. A search is planned for its text, and the template reads the rows, so it is rendered here."""
        with sql.planned_each_time():
            response: HttpResponse = super().changelist_view(request, extra_context)
            if isinstance(response, SimpleTemplateResponse):
                response.render()
        return response

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return LargeChangeList
