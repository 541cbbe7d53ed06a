"""Pages of lists that may have a million rows."""

from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from devices import counts

COUNTED = 10_000  # rows: a number that is greater tells nobody more, and takes a second to find out


class LargePaginator(Paginator):  # type: ignore[type-arg]  # Django's takes no parameter when it runs
    """Tells the exact number of rows where the counts have it or it is small, else that there are more."""

    object_list: QuerySet[Any]
    template_name = "admin/pagination_large.html"
    more_than = _("more than")

    @cached_property
    def count(self) -> int:
        known = counts.known(self.object_list)
        return known if known is not None else min(self._counted, COUNTED)

    @cached_property
    def _counted(self) -> int:
        return self.object_list.order_by()[: COUNTED + 1].count()

    @property
    def has_more(self) -> bool:
        return "_counted" in self.__dict__ and self._counted > COUNTED

    def page(self, number: Any) -> Page[Any]:
        """Find the page by its ids alone, which an index has, and only then read its rows."""
        page = super().page(number)
        rows: QuerySet[Any] = page.object_list  # type: ignore[assignment]
        page.object_list = self.object_list.filter(pk__in=list(rows.values_list("pk", flat=True)))
        return page
