"""DeviceJSON and serialize_device return the same JSON."""

from datetime import UTC, datetime

import orjson
import pytest
from django.db import connection

from devices.api.device_json import DeviceJSON
from devices.api.device_rows import serialize_device
from devices.db.compiled import CompiledQuery
from devices.models import ApiKey, Device
from devices.tests.support.factories import device_payload, register

pytestmark = pytest.mark.django_db

NAMES = [
    'say "hi"',
    "back\\slash",
    "Žluťoučký кůň 测试",
    "😀 \u2028",
    "</script>%s{}",
    "1e5",
    "null",
    "x" * 255,
    "it's",
]
TIMESTAMPS = [
    datetime(2026, 11, 24, 2, 3, 4, tzinfo=UTC),
    datetime(2026, 11, 24, 2, 3, 4, 999_000, tzinfo=UTC),
    datetime(1970, 1, 1, 0, 0, 0, 1_000, tzinfo=UTC),
    datetime(2099, 12, 31, 23, 59, 59, 7_000, tzinfo=UTC),
]


@pytest.mark.parametrize("naming", ApiKey.Naming.values)
def test_json_of_the_database_equals_json_of_the_serializer(naming: str) -> None:
    register(
        *(device_payload(n, device_name=name, device_holder=name) for n, name in enumerate(NAMES)), device_payload(99)
    )
    register(*(device_payload(n, device_mac=f'"\\{n}') for n in (200, 201)))
    for n, device in enumerate(Device.objects.all()):
        timestamps = {"created_at": TIMESTAMPS[n % 4], "updated_at": TIMESTAMPS[-n % 4]}
        Device.objects.filter(pk=device.pk).update(**timestamps)
    devices = Device.objects.order_by("pk")
    written = [orjson.loads(text) for (text,) in CompiledQuery(devices.values_list(DeviceJSON(naming))).fetch()]
    assert written == [serialize_device(device, naming) for device in devices]


def test_json_works_if_the_feature_test_of_django_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    # Django tries JSON in a transaction: it fails while another process holds SQLite's lock, and is not tried again.
    monkeypatch.setitem(connection.features.__dict__, "supports_json_field", False)
    [device] = register(device_payload(1))
    [[text]] = Device.objects.values_list(DeviceJSON())
    assert orjson.loads(text) == serialize_device(device)
