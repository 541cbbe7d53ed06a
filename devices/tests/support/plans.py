"""Query plans of the statements that the tested code sends, and a search for quadratic plans."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson
from django.db import connection

EXPLAINED = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "(")
FULL_SCANS = ("Function Scan", "Materialize", "Seq Scan")  # nodes of PostgreSQL that read all rows each time they run
LARGE = 100  # rows; PostgreSQL rightly scans a smaller table, and plans again when it has grown

Plans = dict[str, list[str]]  # by statement: the full scans that its plan repeats for each row of another node


@contextmanager
def explained() -> Iterator[Plans]:
    """Explain each statement of the block before it runs. Yield the plans, which are complete after the block."""
    plans: Plans = {}

    def explain(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith(EXPLAINED) and sql not in plans:
            plans[sql] = list(repeated_scans(sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(explain):
        yield plans


@contextmanager
def plans_of(table: str) -> Iterator[dict[str, str]]:
    """Explain each SELECT of the block that reads the table. Yield the plans as text, by statement."""
    plans: dict[str, str] = {}

    def explain(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith("SELECT") and f'"{table}"' in sql:
            keyword = "EXPLAIN QUERY PLAN" if connection.vendor == "sqlite" else "EXPLAIN"
            plans[sql] = str(_fetch(f"{keyword} {sql}", params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(explain):
        yield plans


def repeated_scans(sql: str, params: Any) -> Iterator[str]:
    """Return a description of each full scan that the plan of the statement repeats."""
    if connection.vendor == "sqlite":
        rows = _fetch(f"EXPLAIN QUERY PLAN {sql}", params)
        return _of_sqlite({pk: (parent, detail) for pk, parent, _unused, detail in rows})
    [[plan]] = _fetch(f"EXPLAIN (FORMAT JSON) {sql}", params)
    [explanation] = orjson.loads(plan) if isinstance(plan, str) else plan
    return _of_postgresql(explanation["Plan"], repeated=False)


def rows_read(sql: str, table: str) -> int:
    """Run a statement of PostgreSQL without parameters, and return how many rows it has read from the table."""
    [[plan]] = _fetch(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", None)
    [explanation] = orjson.loads(plan) if isinstance(plan, str) else plan
    return _rows_of(explanation["Plan"], table)


def _rows_of(node: dict[str, Any], table: str) -> int:
    here = (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
    below = sum(_rows_of(child, table) for child in node.get("Plans", []))
    return int(here if node.get("Relation Name") == table else 0) + below


def _fetch(sql: str, params: Any) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchall()


def _of_sqlite(steps: dict[int, tuple[int, str]]) -> Iterator[str]:
    """Return each SCAN inside a loop or in a correlated subquery: https://www.sqlite.org/eqp.html.

    Steps with the same parent are nested loops. A JSON list is a virtual table without an index, so SQLite reads all of
    it even if the step is a SEARCH.
    """
    parents_with_a_loop = set()
    for parent, detail in steps.values():
        reads_all = detail.startswith("SCAN ") or "VIRTUAL TABLE" in detail
        if reads_all and (parent in parents_with_a_loop or _is_correlated(parent, steps)):
            yield detail
        if reads_all or detail.startswith("SEARCH "):
            parents_with_a_loop.add(parent)


def _is_correlated(step: int, steps: dict[int, tuple[int, str]]) -> bool:
    while step in steps:
        step, detail = steps[step]
        if detail.startswith("CORRELATED"):
            return True
    return False


def _of_postgresql(node: dict[str, Any], *, repeated: bool) -> Iterator[str]:
    """Return each node that reads all rows on the inner side of a loop, or in a correlated subplan."""
    children = node.pop("Plans", [])
    kind, table = node["Node Type"], node.get("Relation Name")
    if repeated and kind in FULL_SCANS and (table is None or _is_large(table)):
        yield f"{kind} of {table or node.get('Function Name') or 'rows'}"
    for child in children:
        relation, name = child["Parent Relationship"], child.get("Subplan Name")
        inner = relation == "Inner" and kind == "Nested Loop"
        correlated = relation == "SubPlan" and f"hashed {name}" not in str(node)
        yield from _of_postgresql(child, repeated=relation != "InitPlan" and (repeated or inner or correlated))


def _is_large(table: str) -> bool:
    [[rows]] = _fetch("SELECT reltuples FROM pg_class WHERE oid = %s::regclass", [table])
    return bool(rows >= LARGE)
