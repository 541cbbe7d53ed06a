"""Which page: by its number, or, at a cost that does not grow with depth, by the id before or after it."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.db.models import BigIntegerField, QuerySet, Value
from django.utils.translation import gettext_lazy as _
from rest_framework.request import Request

from devices import counts, sql
from devices.api.as_json import AsJSON
from devices.api.filters import whole_number
from devices.models import MAX_ID, Device
from devices.prepared import Parameter, Prepared
from devices.problems import Problem

DEFAULT_SIZE, MAX_SIZE = 20, 1000
MAX_PAGE = 1_000_000_000
POSITIONS = ("page", "after", "before")
DEEP = 1000  # devices: behind so many a page is found by its first id


def prepare(devices: QuerySet[Device], position: str, names: Mapping[str, str]) -> Prepared:
    """Return what asks for a page: of each device its id and its JSON, and the total, if there are counts of it.

    The page begins after or before an id, at an offset, or, if that is deep, with the id at a place.
    """
    total = counts.expression(devices)
    if position == "after":
        devices = devices.filter(pk__gt=Parameter("after"))
    elif position == "before":
        devices = devices.filter(pk__lt=Parameter("before")).order_by("-id")
    elif position == "place":
        devices = devices.filter(pk__gte=sql.IdAt(devices, total))
    unknown = Value(None, output_field=BigIntegerField())
    return Prepared(devices.values_list("pk", AsJSON(names), total or unknown), as_sent=True)


class DevicePagination:
    """Cut a page out of a query set and describe it: `read`, then `cut`, then `describe`.

    Whoever follows `next` in the default order goes on after the last id they saw: devices that are registered or
    removed meanwhile shift nothing, and the database finds the place in the index at once. In another order the
    pages are counted.
    """

    def cut(self, devices: QuerySet[Device], page: Prepared) -> list[str]:
        """Return the devices of the page as JSON. `page` is what `prepare` has made of the devices."""
        backwards = self.before is not None
        offset = self.offset if self.position == "page" else 0
        rows = page.rows(self.size + 1, offset, after=self.after, before=self.before, place=self.offset)
        self.has_more = len(rows) > self.size
        self.total: int
        if rows and rows[0][2] is not None:
            self.total = rows[0][2]
        elif self.position == "page" and not self.has_more and (rows or not offset):
            self.total = offset + len(rows)
        else:
            self.total = counts.total(devices)
        rows = rows[: self.size][:: -1 if backwards else 1]
        self.ids = [pk for pk, _text, _total in rows]
        return [text for _pk, text, _total in rows]

    def describe(self) -> dict[str, Any]:
        """Return the `pagination` of the envelope."""
        return {
            "page": self.page if self.after is None and self.before is None else None,
            "size": self.size,
            "total": self.total,
            "total_pages": self._total_pages(),
            "next": self._next(),
            "previous": self._previous(),
        }

    def read(self, request: Request) -> list[Problem]:
        """Read which page is asked for; return what is wrong with the parameters."""
        self.request = request
        self.in_default_order = request.query_params.get("ordering", "id") == "id"
        problems: list[Problem] = []
        first = settings.API_FIRST_PAGE
        self.page = whole_number(request, "page", first, MAX_PAGE, problems)
        self.size = whole_number(request, "size", 1, MAX_SIZE, problems, DEFAULT_SIZE)
        sent = [name for name in POSITIONS if name in self.request.query_params]
        self.after = whole_number(request, "after", 0, MAX_ID, problems) if "after" in sent else None
        self.before = whole_number(request, "before", 0, MAX_ID, problems) if "before" in sent else None
        self.offset = (self.page - first) * self.size
        is_deep = self.offset >= DEEP and self.in_default_order
        self.position = "place" if is_deep else sent[0] if sent else "page"
        if len(sent) > 1:
            problems.append(Problem(sent[1], "conflict", _("Send only one of page, after and before.")))
        elif sent and sent != ["page"] and not self.in_default_order:
            problems.append(Problem(sent[0], "conflict", _("This works in the order of ids only; send page instead.")))
        return problems

    def _total_pages(self) -> int:
        return -(-self.total // self.size)

    def _next(self) -> str | None:
        if self.before is not None:
            return self._link(after=self.ids[-1] if self.ids else max(self.before - 1, 0))
        if not self.has_more:
            return None
        return self._link(after=self.ids[-1]) if self.in_default_order else self._link(page=self.page + 1)

    def _previous(self) -> str | None:
        if self.before is not None:
            return self._link(before=self.ids[0]) if self.has_more else None
        if self.after is not None:
            first_id = self.ids[0] if self.ids else min(self.after + 1, MAX_ID)
            return self._link(before=first_id) if self.after else None
        first = settings.API_FIRST_PAGE
        if self.page == first or not self.total:
            return None
        return self._link(page=min(self.page - 1, first + self._total_pages() - 1))

    def _link(self, **position: int) -> str:
        kept = {k: v for k, v in self.request.query_params.items() if k not in (*POSITIONS, "size")}
        query = urlencode({**position, "size": self.size, **kept})
        return f"{self.request.scheme}://{self.request.get_host()}{self.request.path}?{query}"
