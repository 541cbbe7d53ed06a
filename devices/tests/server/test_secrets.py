"""Logs, error pages, error reports and `repr` contain no key, password, code or email address."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.test import Client, RequestFactory
from django.views.debug import get_exception_reporter_class
from hypothesis import given
from hypothesis import strategies as st

from cexup.logs import MAY_BE_SECRET, SECRETS, redacted
from devices import registry
from devices.access.actor import SYSTEM, Actor
from devices.accounts import api_keys, two_factor, users
from devices.crypto import keys
from devices.models import ApiKey, Hospital, ImportPreview, StaffUser
from devices.tests.support.client import Api, issue
from devices.tests.support.factories import device_payload
from devices.tests.support.logs import FORMATTERS
from devices.tests.support.services.server import ROOT

LEGACY = "MTYzNTEzMDIzNDY0MA==16351302346401637558061370"
PASSWORD, CODE, SESSION = "correct horse battery", "123456", "abcdefghijklmnop"
HIDDEN = "the name of a client application"
EMAIL, LINK = "ratna@rs.example", "/admin/set-password/MQ/abc-def/"


class Lines(logging.Handler):
    """A handler that collects the records of a format. JSON is decoded."""

    def __init__(self, log_format: str) -> None:
        super().__init__()
        self.log_format = log_format
        self.setFormatter(FORMATTERS[log_format]())
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        line = self.format(record)
        self.text += ("\n".join(map(str, json.loads(line).values())) if self.log_format == "json" else line) + "\n"


@pytest.fixture(params=FORMATTERS)
def log(request: pytest.FixtureRequest, settings: Any) -> Iterator[Lines]:
    settings.ACCESS_LOG = True
    settings.MIDDLEWARE = ["cexup.access_log.AccessLogMiddleware", *settings.MIDDLEWARE]
    handler = Lines(request.param)
    logging.getLogger().addHandler(handler)
    yield handler
    logging.getLogger().removeHandler(handler)


def fail(*_args: Any, **_kwargs: Any) -> Any:
    raise RuntimeError("it broke")


# --- Logs and error pages


@pytest.mark.django_db
@pytest.mark.parametrize("sandbox", [False, True])
def test_error_shows_neither_key_nor_body(log: Lines, monkeypatch: pytest.MonkeyPatch, *, sandbox: bool) -> None:
    text = issue("ward app", sandbox=sandbox).text
    monkeypatch.setattr(registry, "register", fail)
    response = Api(text).post(f"/api/devices?x={text}", [device_payload(1)])
    assert response.status_code == 400  # an unknown parameter
    response = Api(text, cookie="sessionid=abcdefghijklmnop").post("/api/devices", [device_payload(1)])
    assert response.status_code == 500
    assert "it broke" in log.text
    assert "it broke" not in response.content.decode()
    for secret in (text, keys.digest(text), "abcdefghijklmnop", "Cuff 1"):
        assert secret not in log.text
        assert secret not in response.content.decode()


@pytest.mark.django_db
def test_rejected_row_is_not_logged(
    log: Lines, operator: Client, ratna: Client, rs_a: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    users.invite("Other", "other@rs.example", [rs_a])
    user = StaffUser.objects.get(first_name="Ibu Ratna")
    monkeypatch.setattr("devices.admin.users.UserForm.clean_email", lambda form: "other@rs.example")
    operator.raise_request_exception = False
    form = {"first_name": "Ibu Ratna", "email": "x@rs.example", "hospitals": [rs_a.pk], "is_active": "on"}
    response = operator.post(f"/admin/devices/staffuser/{user.pk}/change/", form)
    assert response.status_code == 500
    assert "IntegrityError" in log.text
    for text in (log.text, response.content.decode()):
        assert "rs.example" not in text
        assert user.password not in text


@pytest.mark.django_db
@pytest.mark.skipif(connection.vendor != "postgresql", reason="errors of SQLite have no values")
def test_row_in_the_message_of_a_constraint_is_not_logged(log: Lines) -> None:
    with pytest.raises(IntegrityError, match=HIDDEN) as raised, transaction.atomic():
        ApiKey.objects.bulk_create([ApiKey(name=HIDDEN, prefix="abcdefgh", digest="d" * 64, naming="x")])
    logging.getLogger("devices").error("rejected", exc_info=raised.value)
    assert "apikey_naming_known" in log.text
    assert "DETAIL: …" in log.text
    assert HIDDEN not in log.text
    assert "dddd" not in log.text


@pytest.mark.django_db
def test_sign_in_forms_are_not_logged(log: Lines, client: Client, operator: Client) -> None:
    for username in ("operator", "ratna@rs.example", PASSWORD):
        for _ in range(6):
            response = client.post("/admin/login/", {"username": username, "password": PASSWORD})
    assert response.status_code == 429
    assert PASSWORD not in log.text
    assert "rs.example" not in log.text


@pytest.mark.parametrize(
    ("text", "redacted_text"),
    [
        ("Not Found: /admin/set-password/MQ/abc-def/", "Not Found: /admin/set-password/…"),
        (f"/{keys.generate()}?x={keys.generate(sandbox=True)}", "/cxp_…?x=cxt_…"),
        ("no such user ratna@rs.example.", "no such user …@…."),
        ("postgres://registry:hunter2@localhost/db", "postgres://registry:…@localhost/db"),
        ("redis://:hunter2@localhost:6379/0", "redis://:…@localhost:6379/0"),
        ("redis://:hunt/er@2@localhost:6379/0", "redis://:…@localhost:6379/0"),
        ('"GET /api/devices?x-api-key=MTYzNTEz HTTP/1.1" 400', '"GET /api/devices?x-api-key=… HTTP/1.1" 400'),
        ("a\nDETAIL:  Key (username)=(x) already exists.\nb", "a\nDETAIL: …\nb"),
        ("nothing to hide: key 7 of Ward app", "nothing to hide: key 7 of Ward app"),
    ],
)
def test_redaction_removes_only_secrets(text: str, redacted_text: str) -> None:
    assert redacted(text) == redacted_text


@given(
    st.lists(
        st.sampled_from(
            ["cxp_", "CXT_", "abcdefgh_1", "/set-password/", "://", ":", "@", "%40", "a.b", " ", "?", "key="]
        )
        | st.sampled_from(["Token=", "=", "x-api-key", "\n", "DETAIL", "CONTEXT:", "x", "/", ".", "ä"])
    ).map("".join)
)
def test_text_without_a_mark_of_a_secret_matches_no_pattern(text: str) -> None:
    if not MAY_BE_SECRET.search(text):
        assert not any(pattern.search(text) for pattern, _replacement in SECRETS)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SECRET_KEY", "hunter2-short"),
        ("SECRET_KEY_FALLBACKS", "hunter2-short"),
        ("DATABASE_URL", "nonsense://registry:hunter2@localhost:port/x"),
    ],
)
def test_malformed_setting_is_reported_without_its_value(variable: str, value: str) -> None:
    environment = {"PATH": os.environ["PATH"], "ENV_FILE": os.devnull, "SECRET_KEY": "x" * 50, variable: value}
    command = [sys.executable, "manage.py", "check", "--database", "default"]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode != 0
    assert variable in result.stderr
    assert "hunter2" not in result.stderr + result.stdout


# --- Error reports, as Django mails them


@pytest.mark.django_db
@pytest.mark.parametrize("how", ["get_traceback_text", "get_traceback_html"])
def test_error_report_has_no_headers_forms_or_variables(how: str, settings: Any) -> None:
    text = keys.generate()
    request = RequestFactory().post(
        f"{LINK}?key={text}",
        {"new_password1": PASSWORD, "code": CODE, "email": EMAIL},
        headers={"x-api-key": LEGACY, "cookie": f"sessionid={SESSION}"},
    )
    try:
        _fails_with(LEGACY, PASSWORD)
    except ValueError:
        reporter_class: Any = get_exception_reporter_class(request)
        report = getattr(reporter_class(request, *sys.exc_info()), how)()
    assert "_fails_with" in report
    for secret in (text, LEGACY, PASSWORD, CODE, EMAIL, SESSION, LINK, settings.SECRET_KEY):
        assert secret not in report, secret


def _fails_with(key: str, password: str) -> None:
    form = {"password": password, "key": key}
    raise ValueError(f"invalid: {len(form)}")


# --- repr


@pytest.mark.django_db
def test_repr_has_no_secret_and_no_email_address(rs_a: Hospital, ratna: Client) -> None:
    issued = issue("ward app")
    user = StaffUser.objects.get(first_name="Ibu Ratna")
    device = two_factor.start_enrollment(User.objects.get(pk=user.pk), "session")
    upload = ImportPreview(name="devices.csv", user=user, digest="d" * 64)
    secrets = [issued.text, issued.text[-46:], keys.digest(issued.text), user.email, user.password]
    secrets += [device.key, device.bin_key.hex(), two_factor.format_secret(device)]
    legacy = api_keys.import_key(LEGACY, "legacy", SYSTEM)
    for item in (issued, issued.key, upload, user, legacy, Actor("api", api_key=legacy)):  # type: ignore[arg-type]
        for secret in [*secrets, LEGACY, keys.digest(LEGACY), "d" * 64]:
            assert secret not in repr(item)
            assert secret not in str(item)
    for secret in secrets:
        assert secret not in redacted(repr(device))  # the repr of django-otp, which has the user name too
    assert user.email not in redacted(repr(User.objects.get(pk=user.pk)))
