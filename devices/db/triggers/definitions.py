"""Compare the triggers of a database with those that this release ships, and recreate those that differ.

Each module of triggers has a mapping `SHIPPED` for each database vendor. A key is the text that DROP needs, such as
`TRIGGER name ON table`. The value is the SQL that creates the object, in the form in which the database returns it. So
a changed body, event, search_path or state is found.
"""

from collections.abc import Mapping
from typing import Any

from django.db import transaction

INSTALLED = {
    "postgresql": """
        SELECT format('FUNCTION %I()', proname), pg_get_functiondef(oid) FROM pg_proc
        WHERE pronamespace = current_schema()::regnamespace AND prokind = 'f' AND pronargs = 0
        AND starts_with(proname, 'devices_')
        UNION ALL
        SELECT format('TRIGGER %I ON %I', tgname, relname), pg_get_triggerdef(pg_trigger.oid, true) || CASE tgenabled
            WHEN 'O' THEN '' WHEN 'A' THEN format('; ALTER TABLE %I ENABLE ALWAYS TRIGGER %I', relname, tgname)
            ELSE '; not enabled' END
        FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid
        WHERE NOT tgisinternal AND relnamespace = current_schema()::regnamespace AND starts_with(relname, 'devices_')
    """,
    "sqlite": """
        SELECT 'TRIGGER ' || name, sql FROM sqlite_master
        WHERE type = 'trigger' AND substr(tbl_name, 1, 8) = 'devices_'
    """,
}

# Without this search_path, PostgreSQL would look for tables in the temporary schema of the session first.
FUNCTION = """
    CREATE OR REPLACE FUNCTION <schema>.{name}() RETURNS {returns} LANGUAGE {language}
    SET search_path TO <schema literal>, 'pg_temp' AS $function${body}$function$
"""

Shipped = Mapping[str, Mapping[str, str]]


def function(name: str, body: str, *, returns: str = "trigger", language: str = "plpgsql") -> dict[str, str]:
    """Return a PostgreSQL function by its key. `<schema>` in its SQL is a placeholder for the current schema."""
    return {f"FUNCTION {name}()": FUNCTION.format(name=name, body=body, returns=returns, language=language)}


def for_connection(connection: Any, shipped: Shipped) -> dict[str, str]:
    """Return the SQL of the shipped objects for the vendor and the current schema of the connection."""
    objects = shipped[connection.vendor]
    if connection.vendor != "postgresql":
        return dict(objects)
    with connection.cursor() as cursor:
        cursor.execute("SELECT quote_ident(current_schema()), quote_literal(current_schema())")
        schema, literal = cursor.fetchone()
    return {key: sql.replace("<schema>", schema).replace("<schema literal>", literal) for key, sql in objects.items()}


def installed(connection: Any) -> dict[str, str]:
    """Return the SQL of the installed triggers and functions by their key."""
    with connection.cursor() as cursor:
        cursor.execute(INSTALLED[connection.vendor])
        return dict(cursor.fetchall())


def changed(connection: Any, shipped: Shipped) -> list[str]:
    """Return the keys of the objects that are missing, disabled or different."""
    present, expected = installed(connection), for_connection(connection, shipped)
    return [key for key, sql in expected.items() if _normalize(present.get(key, "")) != _normalize(sql)]


def install(connection: Any, shipped: Shipped) -> bool:
    """Recreate the objects that are missing, disabled or different. Return whether there were any.

    PostgreSQL replaces them. A changed function locks no table. A changed trigger blocks the writers of its table until
    the transaction ends, but no reader.
    """
    keys, expected = changed(connection, shipped), for_connection(connection, shipped)
    if not keys:
        return False
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        for key in keys:
            if connection.vendor == "postgresql":
                cursor.execute(expected[key].replace("CREATE TRIGGER", "CREATE OR REPLACE TRIGGER", 1))
            else:
                cursor.execute(f"DROP TRIGGER IF EXISTS {key.partition(' ')[2]}")
                cursor.execute(expected[key])
    return True


def drop(connection: Any, shipped: Shipped) -> None:
    """Drop the objects that exist."""
    cascade = " CASCADE" if connection.vendor == "postgresql" else ""
    with connection.cursor() as cursor:
        for key in shipped[connection.vendor]:
            kind, _space, name = key.partition(" ")
            cursor.execute(f"DROP {kind} IF EXISTS {name}{cascade}")


def _normalize(sql: str) -> str:
    """Collapse white space. Shipped SQL has no comment, and no literal in which white space matters."""
    return " ".join(sql.split())
