"""The API conforms to /api/schema: schemathesis sends valid and invalid requests that it generates from the schema.

All of its checks run, with each kind of key. `is_failure` lists the exceptions, which the contract requires. By default
the test sends 50 requests per operation and key. CONFORMANCE_EXAMPLES sets another number.
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
from jsonschema import Draft202012Validator
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.openapi.checks import EnsureResourceAvailability, RejectedPositiveData, UseAfterFree

from devices.api import long_polling
from devices.api.query_params import BOOLEANS
from devices.models import MAX_PAGE_SIZE, Hospital
from devices.registry.device_fields import CLEANERS
from devices.tests.support.client import issue
from devices.tests.support.factories import device_payload, register
from devices.tests.support.formats import with_patterns

EXAMPLES = int(os.environ.get("CONFORMANCE_EXAMPLES", "50"))
KEYS = ("unrestricted", "of a hospital", "of two hospitals", "read-only")

# A valid request can fail because of the stored data: a retired device (410), a changed one (412), a reused key (422).
STATUSES_OF_VALID_REQUESTS = ["2xx", "3xx", "401", "403", "404", "409", "410", "412", "422", "429"]
# Errors that no schema of a single field can express: parameters that exclude each other, equal items, a cursor that is
# not signed, a name that is registered, a hospital that is not the key's or is unknown, no hospital with a key of
# several, a PATCH with only an empty hospital.
CODES_BEYOND_THE_SCHEMA = {"mutually_exclusive", "duplicate", "unique", "forbidden", "no_known_field"}
CODES_BEYOND_THE_SCHEMA |= {"unknown_hospital", "holder_required"}

CONFIG = SchemathesisConfig.from_dict(
    {
        "checks": {
            "max_response_time": 30,  # seconds: slow on a busy machine, but no request hangs
            "positive_data_acceptance": {"expected-statuses": STATUSES_OF_VALID_REQUESTS},
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
    """Pass the request to Django, which the first request sets up: by then the directory of static files exists.

    schemathesis requests a compressed response, but it does not decompress that of an application in its process.
    """
    environ.pop("HTTP_ACCEPT_ENCODING", None)
    return django()(environ, start_response)


django = cache(get_wsgi_application)
document = json.loads(OpenApiJsonRenderer().render(SchemaGenerator().get_schema(public=True)))  # type: ignore[no-untyped-call]
# As patterns, the formats of the project are checked exactly.
document = with_patterns(document)
components = {"components": document["components"]}
schema = schemathesis.openapi.from_dict(document, config=CONFIG)
schema.app = application


# schemathesis does not generate headers with quotes.
schemathesis.openapi.format("entity-tags", st.sampled_from(["*", '"x"', 'W/"1-x", "y"', '"",']))


dry_runs: set[str] = set()  # ids of cases


@schema.hook("after_call")
def record_dry_run(_context: Any, case: Any, _response: Any) -> None:
    if BOOLEANS.get(str((case.query or {}).get("dry_run"))):
        dry_runs.add(case.id)


@schema.hook("filter_failure")
def is_failure(_context: Any, failure: Exception, case: Any, response: Any) -> bool:
    """Return whether the finding of a check is a failure of the API. These are not:

    - Each field is valid, but their combination is not (CODES_BEYOND_THE_SCHEMA).
    - A batch with invalid items is accepted (207), and each of them has the status `invalid`.
    - A lookup accepts an array with invalid items, and each of them has `errors`.
    - The document describes another notation in words only: see `is_other_notation`.
    - With `dry_run=true` the API retires nothing, and a registered device has no id.
    """
    if isinstance(failure, UseAfterFree):
        return failure.deleted_case_id not in dry_runs
    if isinstance(failure, EnsureResourceAvailability):
        return case.path_parameters.get("id_device") not in (None, "null")
    if isinstance(failure, RejectedPositiveData):
        return not {error["code"] for error in response.json()["errors"]} <= CODES_BEYOND_THE_SCHEMA
    if isinstance(failure, AcceptedNegativeData) and case.path == "/api/devices/lookup":
        return response.status_code != 200 or not any("errors" in result for result in response.json()["data"])
    if isinstance(failure, AcceptedNegativeData):
        results = response.json()["data"] if response.status_code == 207 else []
        return "invalid" not in {result["status"] for result in results} and not is_other_notation(case)
    return True


def is_other_notation(case: Any) -> bool:
    """Return whether the request is valid in a notation that generated clients never send.

    These are one device instead of an array, a type in lower case, an integer instead of a string, and `True`, `False`,
    1 and 0 for a boolean.
    """
    if str((case.query or {}).get("dry_run")) in BOOLEANS.keys() - {"true", "false"}:
        return True
    documented = case.operation.definition.raw.get("requestBody")
    if documented is None or not isinstance(case.body, (dict, list)):
        return False
    documented = documented["content"]["application/json"]["schema"]
    rows = case.body if isinstance(case.body, list) else [case.body]
    rows = [as_documented(row) for row in rows]
    body = rows if documented.get("type") == "array" or isinstance(case.body, list) else rows[0]
    return bool(body != case.body and Draft202012Validator(documented | components).is_valid(body))


def as_documented(row: Any) -> Any:
    """Return the device with its type in capitals, and with strings in place of integers."""
    if not isinstance(row, dict):
        return row
    row = {field: str(value) if field in CLEANERS and type(value) is int else value for field, value in row.items()}
    kind = row.get("device_type")
    return {**row, "device_type": kind.upper()} if isinstance(kind, str) else row


@schema.auth(refresh_interval=None)
class Key:
    """The key of the current test. To test the authentication, schemathesis omits it or sends another."""

    text = ""

    def get(self, _case: Any, _context: Any) -> str:
        return Key.text

    def set(self, case: Any, text: str, _context: Any) -> None:
        case.headers["x-api-key"] = text


@pytest.fixture(autouse=True)
def _connection_stays_open() -> Iterator[None]:
    """Leave the database connection of the test open between requests, as Django's test client does."""
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    yield
    for signal in signals:
        signal.connect(close_old_connections)


@pytest.fixture(autouse=True)
def _no_long_polling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Return at once from a request that could wait for a change."""
    monkeypatch.setattr(long_polling, "_slots", long_polling.Slots(total=0, per_key=0))


@pytest.fixture(params=KEYS)
def key(request: pytest.FixtureRequest, rs_a: Hospital, rs_b: Hospital, monkeypatch: pytest.MonkeyPatch) -> None:
    """Send this key with each request. A few devices are registered, in and out of its scope."""
    register(device_payload(1, device_holder=rs_a.name), device_payload(2, device_holder="RS Sehat"), device_payload(3))
    options: dict[str, Any] = {
        "unrestricted": {},
        "of a hospital": {"hospitals": [rs_a]},
        # With the settings of a key that the operator has imported for the vendor's web client.
        "of two hospitals": {
            "hospitals": [rs_a, rs_b],
            "naming": "both",
            "page_size": MAX_PAGE_SIZE,
            "unknown_holder": "refuse",
        },
        "read-only": {"read_only": True},
    }
    monkeypatch.setattr(Key, "text", issue(request.param, **options[request.param]).text)


@schema.parametrize()
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_api_conforms_to_the_schema(case: Any, key: None) -> None:
    case.call_and_validate()


def test_api_conforms_to_the_schema_along_links(key: None) -> None:
    class Client(schema.as_state_machine()):  # type: ignore[misc]
        """Sends requests that follow the links of responses. A rollback after each walk restores the devices."""

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
