"""Query sets that are compiled once. Only this module uses Django's undocumented compiler, in a pinned version."""

import re
from datetime import timedelta
from typing import Any

import django
import pytest
from django.db import DataError, connection, transaction
from django.db.models import DateTimeField, F, QuerySet, Value
from django.test.utils import CaptureQueriesContext

from devices.access.actor import SYSTEM
from devices.db.compiled import CompiledQuery, Parameter
from devices.history import recording
from devices.models import ApiKey, ChangeFeed, Device, DeviceCount
from devices.tests.support.client import issue
from devices.tests.support.factories import device_payload, register
from devices.tests.support.services.server import ROOT

pytestmark = pytest.mark.django_db


def test_same_sql_runs_with_other_values() -> None:
    devices = register(*map(device_payload, range(5)))
    after = CompiledQuery(
        Device.objects.filter(pk__gt=Parameter("after")).order_by("pk").values_list("device_name", "created_at")
    )
    expected = [(device.device_name, device.created_at) for device in devices]
    assert after.fetch(after=0) == expected
    assert after.fetch(after=devices[1].pk) == expected[2:]
    assert after.fetch(2, after=devices[1].pk) == expected[2:4]
    assert CompiledQuery(Device.objects.none().values_list("pk")).fetch() == []


@pytest.mark.parametrize(
    "rows",
    [
        Device.objects.values_list("device_name", "device_holder__name", "created_at", F("id") + 1).order_by("-pk"),
        Device.objects.filter(device_name__icontains="50%", device_type__in=["CONSUMER"]).values_list("pk"),
        ApiKey.objects.values_list("read_only", "expires_at", Value("a %s")).filter(read_only=False),
        ChangeFeed.objects.values_list("key"),
        DeviceCount.objects.having({"device_type": "CONSUMER"}).as_total(),
    ],
)
def test_compiled_query_has_the_sql_and_rows_of_the_orm(rows: QuerySet[Any]) -> None:
    register(device_payload(1, device_holder="RS Harapan"), device_payload(2, device_name="50% Cuff"))
    issue("app")
    ChangeFeed.objects.get_or_create(pk=1, defaults={"key": b"k"})
    compiled = CompiledQuery(rows)
    with CaptureQueriesContext(connection) as queries:
        expected = list(rows)
        assert compiled.fetch() == expected
    assert len(expected) > 0
    assert queries[0]["sql"] == queries[1]["sql"]


def test_parameter_is_converted_to_the_type_of_its_field() -> None:
    at = Parameter("at", DateTimeField())
    since = CompiledQuery(Device.objects.filter(created_at__gt=at).values_list(at, "pk"))
    [device] = register(device_payload(1))
    before = device.created_at - timedelta(seconds=1)
    assert since.fetch(at=before) == [(before, device.pk)]
    assert since.fetch(at=device.created_at) == []


def test_too_long_value_is_not_truncated_in_the_history() -> None:
    [device] = register(device_payload(1))
    reason = "x" * 300
    try:
        with transaction.atomic():
            recording.record(Device, [device.pk], recording.CHANGED, SYSTEM, reason)
    except DataError:
        return
    assert Device.history.latest("history_id").history_change_reason == reason


def test_no_other_module_uses_the_compiler() -> None:
    undocumented = re.compile(r"get_compiler|sql_with_params|get_converters|elide_empty|_raw_delete|\.as_sql\(\)")
    paths = [path for folder in ("cexup", "devices") for path in (ROOT / folder).rglob("*.py")]
    found = {path.name for path in paths if "tests" not in path.parts and undocumented.search(path.read_text())}
    assert found == {"compiled.py"}


def test_django_has_the_version_that_these_tests_cover() -> None:
    assert f"django=={django.__version__}" in (ROOT / "requirements.in").read_text().splitlines()
    assert django.VERSION[:2] == (5, 2)
