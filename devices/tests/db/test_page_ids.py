"""Pages of searches, whose plan must not depend on a wrong estimate of how many rows match."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from devices.db import expressions
from devices.models import Device
from devices.tests.support.client import Api
from devices.tests.support.factories import device_payload, register

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("ordering", ["id", "-id", "device_name", "-updated_at"])
def test_ids_are_those_of_the_slice(ordering: str) -> None:
    register(*(device_payload(n) for n in range(1, 13)))
    rows = Device.objects.filter(device_name__contains="1").order_by(ordering, "id")
    expected = list(rows[1:3].values_list("pk", flat=True))
    found = Device.objects.filter(pk__in=expressions.PageIds(rows, 1, 3))
    assert list(found.order_by(ordering, "id").values_list("pk", flat=True)) == expected
    assert len(expected) == 2


@pytest.mark.parametrize("ids", [[], [1], [1, 2, 3]])
def test_condition_for_any_number_of_ids(ids: list[int]) -> None:
    devices = register(*(device_payload(n) for n in range(1, 6)))
    wanted = [devices[number].pk for number in ids]
    found = Device.objects.filter(expressions.IsAny("id", wanted)).order_by("id")
    assert list(found.values_list("pk", flat=True)) == wanted


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite does not estimate how many rows match")
@pytest.mark.parametrize("condition", ["search=rs+cuff", "updated_since=0", "created_since=0&device_type=CONSUMER"])
@pytest.mark.parametrize("position", ["", "&after=1", "&before=9"])
def test_postgresql_plans_a_page_of_few_devices_without_its_limit(api: Api, condition: str, position: str) -> None:
    """With the limit, it reads a large table until 21 devices match, also if there are fewer."""
    register(*(device_payload(n, device_holder=f"RS {n}") for n in range(1, 4)))
    with CaptureQueriesContext(connection) as sent:
        assert api.get(f"/api/devices?{condition}{position}").status_code == 200
    [page] = [one["sql"] for one in sent if "LIMIT" in one["sql"] and '"devices_device"' in one["sql"]]
    assert "LIMIT (SELECT 21)" in page


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no arrays")
def test_hospitals_of_a_word_are_one_parameter(api: Api) -> None:
    register(*(device_payload(n, device_holder=f"RS {n}") for n in range(1, 4)))
    with CaptureQueriesContext(connection) as sent:
        assert api.get("/api/devices?search=rs").json()["pagination"]["total"] == 3
    assert any("::bigint[])" in one["sql"] for one in sent)
