"""GET /api/key describes the key of the request."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from devices.access.actor import SYSTEM
from devices.accounts import api_keys
from devices.crypto import keys
from devices.models import ApiKey, Hospital
from devices.tests.support.admin.api_keys import LEGACY_KEY
from devices.tests.support.client import Api, errors, issue

pytestmark = pytest.mark.django_db
KEY = "/api/key"


def described(text: str, **headers: str) -> dict[str, Any]:
    response = Api(text, **headers).get(KEY)
    assert response.status_code == 200, response.content
    data: dict[str, Any] = response.json()["data"]
    return data


def test_key_of_hospitals_is_described_with_all_settings(rs_a: Hospital, rs_b: Hospital) -> None:
    expires_at = timezone.now().replace(microsecond=0) + timedelta(days=7)
    settings = {
        "read_only": True,
        "rate": "5/h",
        "page_size": 500,
        "unknown_holder": "refuse",
        "allowed_networks": "127.0.0.1 10.0.0.0/8",
        "expires_at": expires_at,
    }
    issued = issue("Ward app", hospitals=[rs_b, rs_a], **settings)
    response = Api(issued.text).get(KEY)
    data = response.json()["data"]
    [_policy, remaining, reset] = response["RateLimit"].split(";")
    assert data.pop("created_at") == round(ApiKey.objects.get().created_at.timestamp() * 1000)
    assert data == {
        "id": issued.key.pk,
        "name": "Ward app",
        "prefix": issued.text[4:12],
        "all_hospitals": False,
        "hospitals": [
            {"hospital_id": rs_a.pk, "hospital_name": "RS Harapan"},
            {"hospital_id": rs_b.pk, "hospital_name": "RS Sehat"},
        ],
        "read_only": True,
        "sandbox": False,
        "legacy": False,
        "naming": "snake_case",
        "page_size": 500,
        "unknown_holder": "refuse",
        "allowed_networks": ["127.0.0.1", "10.0.0.0/8"],
        "rate_limit": {
            "limit": 5,
            "window_seconds": 3600,
            "remaining": int(remaining.removeprefix("r=")),
            "reset_seconds": int(reset.removeprefix("t=")),
        },
        "expires_at": round(expires_at.timestamp() * 1000),
    }
    assert data["rate_limit"]["remaining"] == 4
    assert (response["Cache-Control"], response["Vary"]) == (
        "no-store",
        "Accept-Language, origin, x-api-key, Accept-Encoding",
    )


def test_other_kinds_of_keys_are_described() -> None:
    unlimited = described(issue("all", rate="unlimited").text)
    assert (unlimited["all_hospitals"], unlimited["hospitals"], unlimited["rate_limit"]) == (True, None, None)
    assert (unlimited["expires_at"], unlimited["allowed_networks"], unlimited["page_size"]) == (None, [], 20)
    nothing = described(issue("nothing", hospitals=[]).text)
    assert (nothing["all_hospitals"], nothing["hospitals"]) == (False, [])
    tried = described(issue("tries", sandbox=True).text)
    assert (tried["sandbox"], [row["hospital_name"] for row in tried["hospitals"]]) == (True, ["Sandbox"])
    api_keys.import_key(LEGACY_KEY, "first web client", SYSTEM, all_hospitals=True)
    legacy = described(LEGACY_KEY)
    assert (legacy["legacy"], legacy["prefix"], legacy["name"]) == (True, None, "first web client")


def test_names_follow_the_naming_of_the_key(rs_a: Hospital) -> None:
    snake, camel, both = (
        described(issue(n, hospitals=[rs_a], naming=n, rate="9/h").text) for n in ("snake_case", "camelCase", "both")
    )
    assert camel["hospitals"] == [{"hospitalId": rs_a.pk, "hospitalName": "RS Harapan"}]
    assert {"readOnly", "pageSize", "rateLimit", "createdAt"} <= camel.keys()
    assert not [name for name in camel if "_" in name]
    assert both.keys() == snake.keys() | camel.keys()
    assert both["rate_limit"].keys() == snake["rate_limit"].keys() | camel["rateLimit"].keys()


def test_neither_secret_nor_digest_is_returned(rs_a: Hospital) -> None:
    issued = issue("Ward app", hospitals=[rs_a])
    text = Api(issued.text).get(KEY).content.decode()
    assert issued.text[13:] not in text
    assert keys.digest(issued.text) not in text


def test_description_takes_two_queries(api: Api, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    api.get(KEY)
    with django_assert_num_queries(2):  # authentication, further columns
        api.get(KEY)


def test_unknown_parameters_are_errors_and_pages_are_ignored(api: Api, outsider: Api) -> None:
    assert api.get(f"{KEY}/?page=1&size=5").status_code == 200
    assert errors(api.get(f"{KEY}?id=1")) == [("id", "unknown_parameter")]
    assert api.post(KEY, {}).status_code == 405
    assert outsider.get(KEY).status_code == 401
