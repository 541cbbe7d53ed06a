"""Which page: by its number, or, at a cost that does not grow with depth, by the id before or after it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import orjson
from django.conf import settings
from django.db.models import BigIntegerField, Case, OuterRef, Q, QuerySet, Value, When
from django.db.models.expressions import Combinable
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from devices import counts, feed, sql
from devices.api.as_json import AsJSON
from devices.api.filters import DeviceFilter, whole_number
from devices.models import MAX_ID, ApiKey, Device
from devices.prepared import Parameter, Prepared
from devices.problems import Problem
from devices.reach import all_or_own

DEFAULT_SIZE, MAX_SIZE = 20, 1000
MAX_PAGE = 1_000_000_000
POSITIONS = ("page", "after", "before")
FIRST, AFTER, BEFORE, PLACE, OFFSET = "first", "after", "before", "place", "offset"
DEEP = 1000  # devices: behind so many, a page of what filters leave is found by its place, at the price of asking twice
USUAL_SIZES = {10, 20, 25, 50, 100, 200, 500, 1000}  # of each, what is asked along with the key is compiled and planned
NOTHING = Value(None, output_field=BigIntegerField())


@dataclass(frozen=True, slots=True)
class Cut:
    """Where a page begins, and how many devices it has: at the first, after or before an id, at a place, at an offset.

    The id and the place are parameters (`after`, `before`, `place`). A place is found along the index of ids, and so
    is for their order alone; an offset is a part of the cut.
    """

    kind: str
    size: int
    offset: int = 0

    def of(
        self, devices: QuerySet[Device], names: Mapping[str, str], holder: str | Combinable = "device_holder__name"
    ) -> sql.Lines:
        """Return the page as an expression: each of its devices as JSON, and one more if there is one."""
        if self.kind == AFTER:
            devices = devices.filter(pk__gt=Parameter("after"))
        elif self.kind == BEFORE:
            devices = devices.filter(pk__lt=Parameter("before")).order_by("-id")
        elif self.kind == PLACE:
            devices = devices.filter(pk__gte=sql.IdAt(devices, counts.expression(devices)))
        told = devices.annotate(line=AsJSON(names, holder)).values("line")
        return sql.Lines(told[self.offset : self.offset + self.size + 1])


@dataclass(frozen=True, slots=True)
class Along:
    """What a list asks along with its key: what its version is made of, and the total and the page within its reach.

    A page must tell all that its version stands for. Somebody who was writing when the query began may have ended
    before it looks who is writing: then, as for a key with another spelling, or without a cut, the page is null, and
    to be asked for by another query.
    """

    cut: Cut | None

    def __call__(self) -> list[Any]:
        if self.cut is None:
            return [*feed.marks(), NOTHING, NOTHING]
        devices = Device.objects.order_by("id")
        own = devices.of_the_hospital_of_the_key()
        total = all_or_own(counts.expression(devices), counts.expression(own))
        page = all_or_own(self.cut.of(devices, {}), self.cut.of(own, {}, holder=OuterRef("hospital__name")))
        return [*feed.marks(), total, Case(When(Q(sql.sees_all(), naming=ApiKey.Naming.SNAKE_CASE), then=page))]


def prepare(devices: QuerySet[Device], cut: Cut, names: Mapping[str, str]) -> Prepared:
    """Return what asks for the total of the devices, null if there are no counts of it, and for a page of them."""
    key = ApiKey.objects.filter(pk=Parameter("key"))
    return Prepared(key.values_list(counts.expression(devices) or NOTHING, cut.of(devices, names)), as_sent=True)


def prepare_count(devices: QuerySet[Device]) -> Prepared:
    """Return what counts the devices."""
    key = ApiKey.objects.filter(pk=Parameter("key"))
    return Prepared(key.values_list(sql.Number(devices.order_by().values("pk"))), as_sent=True)


class DevicePagination:
    """Describe which page of a list is asked for, and what it is: `read`, then `take`, then `describe`.

    Whoever follows `next` in the default order goes on after the last id they saw: devices that are registered or
    removed meanwhile shift nothing, and the database finds the place in the index at once. In another order the
    pages are counted.
    """

    @property
    def cut(self) -> Cut:
        if self.after is not None:
            return Cut(AFTER, self.size)
        if self.before is not None:
            return Cut(BEFORE, self.size)
        if not self.offset:
            return Cut(FIRST, self.size)
        by_place = self.in_default_order and (self.offset >= DEEP or not self.filters)
        return Cut(PLACE, self.size) if by_place else Cut(OFFSET, self.size, self.offset)

    def along(self) -> Along:
        """Return what to ask along with the key: the page too, if nothing narrows it and the client has none yet."""
        unusual = self.filters or self.cut.kind == PLACE or self.size not in USUAL_SIZES
        return Along(None if unusual or "If-None-Match" in self.request.headers else self.cut)

    @property
    def values(self) -> dict[str, Any]:
        """The parameters of the cut."""
        return {"after": self.after, "before": self.before, "place": self.offset}

    def take(self, total: int | None, page: str, count: Callable[[], int]) -> list[str]:
        """Return the devices of the page as JSON. What no counts know is counted, if the page does not tell it."""
        rows = page.split("\n") if page else []
        self.has_more = len(rows) > self.size
        is_last = self.cut.kind not in (AFTER, BEFORE) and not self.has_more and (rows or not self.offset)
        if total is None and is_last:
            total = self.offset + len(rows)
        self.total = count() if total is None else total
        rows = rows[: self.size][:: 1 if self.before is None else -1]
        self.ids = [orjson.loads(row)["id"] for row in (rows[0], rows[-1])] if rows else []
        return rows

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

    def read(self, request: HttpRequest) -> list[Problem]:
        """Read which page is asked for; return what is wrong with the parameters."""
        self.request = request
        self.filters = DeviceFilter.base_filters.keys() & request.GET.keys()
        self.in_default_order = request.GET.get("ordering", "id") == "id"
        problems: list[Problem] = []
        first = settings.API_FIRST_PAGE
        self.page = whole_number(request.GET, "page", first, MAX_PAGE, problems)
        self.size = whole_number(request.GET, "size", 1, MAX_SIZE, problems, DEFAULT_SIZE)
        sent = [name for name in POSITIONS if name in request.GET]
        self.after = whole_number(request.GET, "after", 0, MAX_ID, problems) if "after" in sent else None
        self.before = whole_number(request.GET, "before", 0, MAX_ID, problems) if "before" in sent else None
        self.offset = (self.page - first) * self.size
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
        kept = {k: v for k, v in self.request.GET.items() if k not in (*POSITIONS, "size")}
        [(name, number)] = position.items()
        query = f"{name}={number}&size={self.size}" + (f"&{urlencode(kept)}" if kept else "")
        return f"{self.request.scheme}://{self.request.get_host()}{self.request.path}?{query}"
