"""Lists that may have a million rows, and their pages."""

from typing import Any

from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property

COUNTED = 10_000  # rows: a greater number tells nobody more, and takes a second to find out


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
