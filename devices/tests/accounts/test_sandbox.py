"""The scope of a sandbox key is the one sandbox hospital, and a command empties it."""

import re
from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command

from devices.access.actor import SYSTEM
from devices.accounts import api_key_texts, api_keys, sandbox
from devices.models import ApiKey, Device, Hospital
from devices.registry import hospitals
from devices.tests.support.admin.api_keys import LEGACY_KEY
from devices.tests.support.client import Api, issue
from devices.tests.support.factories import device_payload, register
from devices.values.errors import ValidationFailed

pytestmark = pytest.mark.django_db


def issue_sandbox_key(name: str = "tries") -> api_keys.IssuedKey:
    return api_keys.issue(name, SYSTEM, sandbox=True)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    call_command(*arguments)
    return capsys.readouterr().out


def test_sandbox_keys_are_marked_and_have_one_hospital() -> None:
    first, second = issue_sandbox_key(), issue_sandbox_key("more tries")
    assert re.fullmatch(r"cxt_[0-9A-Za-z]{8}_[0-9A-Za-z]{46}", first.text)
    assert api_key_texts.describe_token(first.key) == f"cxt_{first.text[4:12]}…"
    assert first.key.sandbox
    [hospital] = first.key.scope_hospitals
    assert second.key.scope_hospitals == (hospital,) == (Hospital.objects.get(sandbox=True),)
    assert (hospital.name, Hospital.history.get(id=hospital.pk).sandbox) == ("Sandbox", True)


def test_other_settings_do_not_widen_a_sandbox_key(rs_a: Hospital) -> None:
    key = api_keys.issue("tries", SYSTEM, [rs_a], sandbox=True, all_hospitals=True).key
    assert (key.all_hospitals, [hospital.sandbox for hospital in key.scope_hospitals]) == (False, [True])


def test_sandbox_key_uses_the_devices_of_the_sandbox_only(rs_a: Hospital) -> None:
    [live] = register(device_payload(1, device_holder=rs_a.name))
    api = Api(issue_sandbox_key().text)
    [tried] = api.post("/api/devices", device_payload(2)).json()["data"]
    assert tried["device_holder"] == "Sandbox"
    assert [device["id"] for device in api.get("/api/devices").json()["data"]] == [tried["id"]]
    assert api.get(f"/api/device/{live.pk}").status_code == 404
    assert api.post("/api/devices", device_payload(3, device_holder=rs_a.name)).status_code == 403
    assert Api(issue("ward app", hospitals=[rs_a]).text).get(f"/api/device/{tried['id']}").status_code == 404


@pytest.mark.parametrize("former", [False, True])
def test_sandbox_is_never_a_hospital_that_exists(rs_a: Hospital, *, former: bool) -> None:
    hospitals.rename(rs_a, "SANDBOX", SYSTEM)
    if former:
        hospitals.rename(rs_a, "RS Harapan", SYSTEM)
    hospital = issue_sandbox_key().key.scope_hospitals[0]
    assert (hospital.name, hospital == rs_a) == ("Sandbox 2", False)


def test_renamed_sandbox_stays_the_sandbox() -> None:
    [hospital] = issue_sandbox_key().key.scope_hospitals
    hospitals.rename(hospital, "Uji coba", SYSTEM)
    [again] = issue_sandbox_key().key.scope_hospitals
    assert (again.pk, again.name) == (hospital.pk, "Uji coba")


def test_sandbox_cannot_be_merged(rs_a: Hospital) -> None:
    [hospital] = issue_sandbox_key().key.scope_hospitals
    for merged, into in ((rs_a, hospital), (hospital, rs_a)):
        with pytest.raises(ValidationFailed) as refused:
            hospitals.merge([merged], into, SYSTEM)
        assert str(refused.value.problems[0].message).startswith("The sandbox cannot be merged")
    assert Hospital.objects.count() == 2


def test_rotated_sandbox_key_stays_in_the_sandbox() -> None:
    old = issue_sandbox_key().key
    new = api_keys.rotate(old, SYSTEM, timedelta(0))
    assert new.text.startswith("cxt_")
    assert (new.key.sandbox, new.key.scope_hospitals) == (True, old.scope_hospitals)


def test_imported_key_is_not_for_the_sandbox() -> None:
    with pytest.raises(ValidationError, match="An imported key cannot be a sandbox key"):
        api_keys.import_key(LEGACY_KEY, "first web client", SYSTEM, sandbox=True)
    with pytest.raises(ValidationError, match="must not begin with cxp_ or cxt_"):
        api_keys.import_key("cxt_" + "x" * 55, "app", SYSTEM)
    assert not ApiKey.objects.exists()


def test_command_issues_a_sandbox_key(rs_a: Hospital, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "create_api_key", "tries", "--sandbox", "--read-only").startswith("cxt_")
    key = ApiKey.objects.get()
    assert (key.sandbox, key.all_hospitals, key.read_only) == (True, False, True)
    with pytest.raises(CommandError, match="--sandbox or --hospital"):
        call_command("create_api_key", "tries", "--sandbox", "--hospital", rs_a.name)


def test_command_issues_no_key_for_the_sandbox_without_its_mark(rs_a: Hospital) -> None:
    issue_sandbox_key()
    with pytest.raises(CommandError, match=r"Sandbox is the sandbox\. Use --sandbox"):
        call_command("create_api_key", "app", "--hospital", rs_a.name, "--hospital", "sandbox")
    assert ApiKey.objects.filter(sandbox=False).count() == 0


def test_command_empties_the_sandbox(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devices.management.commands.empty_sandbox.DEVICES_AT_ONCE", 2)
    assert run(capsys, "empty_sandbox").startswith("There is no sandbox")
    api = Api(issue_sandbox_key().text)
    [live] = register(device_payload(1))
    ids = [device["id"] for device in api.post("/api/devices", [device_payload(n) for n in range(2, 7)]).json()["data"]]
    assert run(capsys, "empty_sandbox", "--dry-run") == "5 devices of Sandbox would be retired.\n"
    assert Device.objects.count() == 6
    assert run(capsys, "empty_sandbox") == "5 devices of Sandbox were retired.\n"
    assert list(Device.objects.all()) == [live]
    assert [api.get(f"/api/device/{pk}").status_code for pk in ids] == [410] * 5
    actions = [(change["device"]["id"], change["action"]) for change in api.get("/api/devices/changes").json()["data"]]
    assert actions[5:] == [(pk, "deleted") for pk in ids]
    assert api.post("/api/devices", device_payload(2)).status_code == 201
    assert sandbox.find_sandbox() is not None
