"""Searches for a part of a name work with and without pg_trgm. With it, they use an index."""

import pytest
from django.core.management import call_command
from django.db import connection

from devices.db import trigrams
from devices.models import Device
from devices.tests.support.factories import device_payload, register
from devices.values.scope import UNRESTRICTED

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no trigrams"),
]


def indexes() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT indexname FROM pg_indexes WHERE indexname LIKE '%%_by_part'")
        return {row[0] for row in cursor.fetchall()}


def has_extension() -> bool:
    with connection.cursor() as cursor:
        return trigrams._is_true(cursor, trigrams.EXTENSION_IS_USABLE)


def test_trigram_indexes_exist_if_the_extension_exists() -> None:
    assert indexes() == (set(trigrams.INDEXES) if has_extension() else set())


def test_devices_have_no_index_for_prefix_searches() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT indexname FROM pg_indexes WHERE tablename = 'devices_device' AND indexname LIKE '%%_like'"
        )
        assert cursor.fetchall() == []


def test_migrate_and_search_work_without_the_extension(monkeypatch: pytest.MonkeyPatch) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP EXTENSION IF EXISTS pg_trgm CASCADE")
    monkeypatch.setattr(trigrams, "CAN_CREATE_EXTENSION", "SELECT false")
    call_command("migrate", verbosity=0)
    assert indexes() == set()
    register(device_payload(1))
    assert Device.objects.search("uff", UNRESTRICTED).count() == 1


def test_search_uses_the_trigram_indexes() -> None:
    if not has_extension():
        pytest.skip("This server has no pg_trgm.")
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_indexscan = off")
    plan = Device.objects.search("58:94", UNRESTRICTED).order_by("-updated_at").explain()
    assert plan.count("Bitmap Index Scan on device_by_part") >= 2, plan
    with connection.cursor() as cursor:
        cursor.execute("DROP INDEX change_by_type")  # in an almost empty table, the planner may use any index
    changes = Device.history.order_by("-history_date")
    former = changes.filter(history_previous_name__icontains="5894").explain()
    assert "Bitmap Index Scan on former_by_part" in former, former
    retired = changes.filter(device_name__icontains="5894", history_type="-").explain()
    assert "Bitmap Index Scan on retired_by_part" in retired, retired
