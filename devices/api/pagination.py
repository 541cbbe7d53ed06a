"""Pages of a list, by number (page) or by id (after, before). The cost of a page by id does not grow with its depth.

In the default order, `next` continues after the last id. Devices that are registered or retired in the meantime do not
shift the pages, and the database finds the id in the index. In other orders, `next` is a page number.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol
from urllib.parse import urlencode

import orjson
from django.conf import settings
from django.http import HttpRequest
from django.utils.translation import gettext as _

from devices.api.queries import AFTER, BEFORE, FIRST, OFFSET, PLACE, Cut
from devices.api.query_params import QueryParams
from devices.models import DEFAULT_PAGE_SIZE, MAX_ID, ApiKey
from devices.values.error_codes import ErrorCode

MAX_SIZE = 1000
MAX_PAGE = 1_000_000_000
POSITIONS = ("page", "after", "before")
PARAMETERS = {*POSITIONS, "size"}
SEEK_THRESHOLD = 1000  # from this offset on, a page of a filtered list is found by PLACE, which needs a second count


def parse_size(query: QueryParams) -> int:
    """Return the size of a page: the parameter `size`, by default that of the key, which can be above MAX_SIZE."""
    key = query.request.auth
    default = key.page_size if isinstance(key, ApiKey) else None
    return query.integer("size", 1, MAX_SIZE, default or DEFAULT_PAGE_SIZE)


def size_in_link(size: int) -> dict[str, int]:
    """Return the parameter `size` of a link. A size above MAX_SIZE is the key's default, so the link omits it."""
    return {"size": size} if size <= MAX_SIZE else {}


class Selection(Protocol):
    """The rows of a list: devices (queries.py) or hospitals (hospital_queries.py). The id is the first field of a row.

    `fetch` returns the total, None if it is not known, and the rows of the page and the next one, as JSON texts.
    `needs_own_plan`: the query is not compiled, because its plan depends on its values.
    """

    @property
    def is_filtered(self) -> bool: ...

    @property
    def needs_own_plan(self) -> bool: ...

    def fetch(self, cut: Cut, naming: str, **position: int | None) -> tuple[int | None, list[str]]: ...

    def count(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Position:
    """The page that a client requests: by number, or after or before an id."""

    size: int
    page: int
    after: int | None
    before: int | None
    in_default_order: bool

    @classmethod
    def parse(cls, query: QueryParams) -> "Position":
        first = settings.API_FIRST_PAGE
        page = query.integer("page", first, MAX_PAGE, first)
        size = parse_size(query)
        names = [name for name in POSITIONS if name in query.sent]
        after = query.integer("after", 0, MAX_ID, 0) if "after" in names else None
        before = query.integer("before", 0, MAX_ID, 0) if "before" in names else None
        in_default_order = query.sent.get("ordering", "id") == "id"
        if len(names) > 1:
            query.add(names[1], ErrorCode.MUTUALLY_EXCLUSIVE, _("Send only one of page, after and before."))
        elif names and names != ["page"] and not in_default_order:
            message = _("after and before work only with ordering=id. Use page with this ordering.")
            query.add(names[0], ErrorCode.MUTUALLY_EXCLUSIVE, message)
        return cls(size, page, after, before, in_default_order)

    @property
    def offset(self) -> int:
        return (self.page - settings.API_FIRST_PAGE) * self.size

    def cut(self, selection: Selection) -> Cut:
        if self.after is not None:
            return Cut(AFTER, self.size)
        if self.before is not None:
            return Cut(BEFORE, self.size)
        if not self.offset:
            return Cut(FIRST, self.size)
        is_deep = self.offset >= SEEK_THRESHOLD or not selection.is_filtered
        by_place = self.in_default_order and is_deep and not selection.needs_own_plan
        return Cut(PLACE, self.size) if by_place else Cut(OFFSET, self.size, self.offset)


@dataclass(frozen=True)
class Page:
    """One page: its rows as JSON objects, the number of rows in all pages, and the neighboring pages."""

    request: HttpRequest
    position: Position
    rows: Sequence[str]
    total: int
    has_more: bool

    @classmethod
    def fetch(cls, request: HttpRequest, selection: Selection, position: Position, naming: str) -> "Page":
        cut = position.cut(selection)
        ids = {"after": position.after, "before": position.before, "place": position.offset}
        total, rows = selection.fetch(cut, naming, **ids)
        has_more = len(rows) > position.size
        if total is None:
            is_last = cut.kind not in (AFTER, BEFORE) and not has_more and (rows or not position.offset)
            total = position.offset + len(rows) if is_last else selection.count()
        rows = rows[: position.size][:: 1 if position.before is None else -1]
        return cls(request, position, rows, total, has_more)

    def describe(self) -> dict[str, Any]:
        """Return the `pagination` of the response. `after` and `before` are the ids in `next` and `previous`."""
        is_numbered = self.position.after is None and self.position.before is None
        following, preceding = self._next(), self._previous()
        return {
            "page": self.position.page if is_numbered else None,
            "size": self.position.size,
            "total": self.total,
            "total_pages": self._total_pages(),
            "after": following.get("after"),
            "before": preceding.get("before"),
            "next": self._link(following),
            "previous": self._link(preceding),
        }

    def first_url(self) -> str | None:
        """Return the URL of the first page."""
        return self._link({"page": settings.API_FIRST_PAGE})

    @property
    def data(self) -> orjson.Fragment:
        return orjson.Fragment(f"[{','.join(self.rows)}]")

    def _id(self, place: int) -> int:
        return int(next(iter(orjson.loads(self.rows[place]).values())))

    def _total_pages(self) -> int:
        return -(-self.total // self.position.size)

    def _next(self) -> dict[str, int]:
        """Return the parameter of the next page, such as `after`, with its value. Empty: there is none."""
        before = self.position.before
        if before is not None:
            return {"after": self._id(-1) if self.rows else max(before - 1, 0)}
        if not self.has_more:
            return {}
        return {"after": self._id(-1)} if self.position.in_default_order else {"page": self.position.page + 1}

    def _previous(self) -> dict[str, int]:
        before, after = self.position.before, self.position.after
        if before is not None:
            return {"before": self._id(0)} if self.has_more else {}
        if after is not None:
            first_id = self._id(0) if self.rows else min(after + 1, MAX_ID)
            return {"before": first_id} if after else {}
        first = settings.API_FIRST_PAGE
        if self.position.page == first or not self.total:
            return {}
        return {"page": min(self.position.page - 1, first + self._total_pages() - 1)}

    def _link(self, position: dict[str, int]) -> str | None:
        if not position:
            return None
        numbers = "&".join([f"{name}={number}" for name, number in position.items()])
        return f"{self._address}?{numbers}{self._rest_of_query}"

    @cached_property
    def _address(self) -> str:
        return f"{self.request.scheme}://{self.request.get_host()}{self.request.path}"

    @cached_property
    def _rest_of_query(self) -> str:
        """The query of each link after its position: the size and the filters."""
        filters = {k: v for k, v in self.request.GET.items() if k not in PARAMETERS}
        parameters = size_in_link(self.position.size) | filters
        return f"&{urlencode(parameters)}" if parameters else ""
