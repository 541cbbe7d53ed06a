"""The API does what /api/schema says, and no more: schemathesis makes requests of it, right and wrong ones.

All of its checks are on, with each kind of key. Where one contradicts the contract, `is_failure` says in what, and why.
`make test` makes 100 requests an operation and key; CONFORMANCE_EXAMPLES makes it more.
"""

import json
import os
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, transaction
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.openapi.checks import EnsureResourceAvailability, RejectedPositiveData, UseAfterFree

from devices.api import long_polling
from devices.models import Hospital
from devices.tests.support.client import issue
from devices.tests.support.factories import device_payload, register

EXAMPLES = int(os.environ.get("CONFORMANCE_EXAMPLES", "100"))
KEYS = ("unbound", "of a hospital", "read-only")

# A request can be well formed, and what it asks for be gone (410), changed (412), or asked for otherwise before (422).
DEPENDS_ON_WHAT_IS_THERE = ["2xx", "3xx", "401", "403", "404", "409", "410", "412", "422", "429"]
# What no schema of one field can say: two parameters that exclude each other, two items that are the same, what a seal
# is, what is registered, which hospital a key is bound to.
BEYOND_A_SCHEMA = {"mutually_exclusive", "duplicate", "cursor", "unique", "forbidden"}

CONFIG = SchemathesisConfig.from_dict(
    {
        "checks": {
            "max_response_time": 30,  # seconds; a busy machine, and still no request that hangs
            "positive_data_acceptance": {"expected-statuses": DEPENDS_ON_WHAT_IS_THERE},
            "negative_data_rejection": {
                "expected-statuses": [
                    "400",
                    "401",
                    "403",
                    "404",
                    "405",
                    "409",
                    "410",
                    "412",
                    "413",
                    "415",
                    "422",
                    "429",
                ]
            },
        },
    }
)


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Hand the request to Django, which is set up with the first: static files have their place by then."""
    return django()(environ, start_response)


django = cache(get_wsgi_application)
document = json.loads(OpenApiJsonRenderer().render(SchemaGenerator().get_schema(public=True)))  # type: ignore[no-untyped-call]
schema = schemathesis.openapi.from_dict(document, config=CONFIG)
schema.app = application


# Of its own accord it makes no header with a quote in it.
schemathesis.openapi.format("entity-tags", st.sampled_from(["*", '"x"', 'W/"1-x", "y"', '"",']))


rehearsed: set[str] = set()  # ids of schemathesis' cases


@schema.hook("after_call")
def note_rehearsals(_context: Any, case: Any, _response: Any) -> None:
    if (case.query or {}).get("dry_run") == "true":
        rehearsed.add(case.id)


@schema.hook("filter_failure")
def is_failure(_context: Any, failure: Exception, case: Any, response: Any) -> bool:
    """Tell whether what a check found is one, and not the contract.

    - Beside what its fields are like, a request can be wrong in how they go together (BEYOND_A_SCHEMA).
    - With `mode=partial` a list is accepted, 207, and each item in it that is malformed is told: `invalid`.
    - With `dry_run=true` nothing is deleted, and what is registered has no id by which it could be read.
    """
    if isinstance(failure, UseAfterFree):
        return failure.deleted_case_id not in rehearsed
    if isinstance(failure, EnsureResourceAvailability):
        return case.path_parameters["id_device"] not in (None, "null")
    if isinstance(failure, RejectedPositiveData):
        return not {error["code"] for error in response.json()["errors"]} <= BEYOND_A_SCHEMA
    if isinstance(failure, AcceptedNegativeData) and response.status_code == 207:
        return "invalid" not in {result["status"] for result in response.json()["data"]}
    return True


@schema.auth(refresh_interval=None)
class Key:
    """The key of the present test. schemathesis leaves it out, or sends another, where that is what it tests."""

    text = ""

    def get(self, _case: Any, _context: Any) -> str:
        return Key.text

    def set(self, case: Any, text: str, _context: Any) -> None:
        case.headers["x-api-key"] = text


@pytest.fixture(autouse=True)
def _as_the_test_client_does() -> Iterator[None]:
    """Leave the test's connection open between requests, as Django's own test client does."""
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    yield
    for signal in signals:
        signal.connect(close_old_connections)


@pytest.fixture(autouse=True)
def _nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no place for those who wait for a change: they are answered at once."""
    monkeypatch.setattr(long_polling, "_slots", long_polling.Slots(total=0, per_key=0))


@pytest.fixture(params=KEYS)
def key(request: pytest.FixtureRequest, rs_a: Hospital, monkeypatch: pytest.MonkeyPatch) -> None:
    """Send this key with each request; there are a few devices, within its reach and beyond."""
    register(device_payload(1, device_holder=rs_a.name), device_payload(2, device_holder="RS Sehat"), device_payload(3))
    options: dict[str, Any] = {"unbound": {}, "of a hospital": {"hospital": rs_a}, "read-only": {"read_only": True}}
    monkeypatch.setattr(Key, "text", issue(request.param, **options[request.param]).text)


@schema.parametrize()
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_api_is_what_its_schema_says(case: Any, key: None) -> None:
    case.call_and_validate()


def test_the_api_is_what_its_schema_says_along_the_links(key: None) -> None:
    class Client(schema.as_state_machine()):  # type: ignore[misc]
        """Walks from answer to request. What it has written is taken back, so that each walk begins with the same."""

        def setup(self) -> None:
            self.walk = transaction.atomic()
            self.walk.__enter__()

        def teardown(self) -> None:
            transaction.set_rollback(True)
            self.walk.__exit__(None, None, None)
            super().teardown()

    run_state_machine_as_test(
        Client,
        settings=settings(
            max_examples=EXAMPLES // 4,
            stateful_step_count=8,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
