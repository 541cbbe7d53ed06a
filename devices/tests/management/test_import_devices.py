"""The command import_devices names new hospitals, and registers them only if the operator agrees."""

import builtins
import io
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from devices.models import Device, Hospital
from devices.tests.support.factories import device_payload, register

pytestmark = pytest.mark.django_db

HEADER = "device_name,device_mac,device_type,device_holder\n"
LINES = (
    HEADER
    + "Cuff 1,02:00:00:00:00:01,CONSUMER,RS Baru\n"
    + "Cuff 2,02:00:00:00:00:02,CONSUMER,rs\u00a0baru\n"
    + "Cuff 3,02:00:00:00:00:03,CONSUMER,RS Lain\n"
    + "Cuff 4,02:00:00:00:00:04,CONSUMER,\u2013\n"
)


@pytest.fixture
def path(tmp_path: Path) -> str:
    (tmp_path / "devices.csv").write_text(LINES)
    return str(tmp_path / "devices.csv")


@pytest.fixture
def at_terminal(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that simulates a terminal with this input, and returns the list of questions."""

    def simulate(text: str) -> list[str]:
        questions: list[str] = []
        monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
        monkeypatch.setattr(builtins, "input", lambda question="": questions.append(question) or text)
        return questions

    return simulate


def run(*arguments: str) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    call_command("import_devices", *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def hospitals() -> list[str]:
    return list(Hospital.objects.order_by("name").values_list("name", flat=True))


def test_new_hospitals_are_named_and_nothing_is_imported(path: str) -> None:
    with pytest.raises(CommandError) as caught:
        run(path)
    assert str(caught.value) == (
        "Nothing was imported: hospitals of the file are not registered: RS Baru, RS Lain. Correct their names, or "
        "register them with --new-hospitals."
    )
    assert caught.value.returncode == 1
    assert (Device.objects.count(), hospitals(), Hospital.history.count()) == (0, [], 0)


def test_new_hospitals_are_registered_with_the_option(path: str) -> None:
    out, err = run(path, "--new-hospitals")
    assert out == "Devices: 4 registered, 0 changed, 0 unchanged.\n"
    assert err == "New hospitals: RS Baru, RS Lain.\n"
    assert hospitals() == ["RS Baru", "RS Lain"]
    assert run(path) == ("Devices: 0 registered, 0 changed, 4 unchanged.\n", "")


def test_dry_run_names_new_hospitals(path: str) -> None:
    assert run(path, "--dry-run")[1] == "New hospitals: RS Baru, RS Lain.\n"
    assert hospitals() == []


@pytest.mark.parametrize(("text", "count"), [("y", 4), ("Yes ", 4), ("", 0), ("n", 0), ("ya", 0)])
def test_question_at_a_terminal_is_shown_once(path: str, at_terminal: Any, text: str, count: int) -> None:
    questions = at_terminal(text)
    if count:
        assert "These hospitals are not registered: RS Baru, RS Lain." in run(path)[1]
    else:
        with pytest.raises(CommandError, match="Nothing was imported"):
            run(path)
    assert questions == ["Register them? [y/N] "]
    assert Device.objects.count() == count


def test_file_from_a_pipe_needs_the_option(at_terminal: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    questions = at_terminal("y")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(LINES.encode())))
    with pytest.raises(CommandError, match="RS Baru, RS Lain"):
        run("-")
    assert questions == []


def test_registered_hospital_in_another_spelling_is_not_new(tmp_path: Path) -> None:
    register(device_payload(1, device_holder="RS Ma'arif"))
    (tmp_path / "a.csv").write_text(HEADER + "Cuff 9,02:00:00:00:00:09,CONSUMER,rs\u00a0MA\u2019ARIF\n")
    assert run(str(tmp_path / "a.csv"))[0] == "Devices: 1 registered, 0 changed, 0 unchanged.\n"
    assert hospitals() == ["RS Ma'arif"]


def test_invalid_rows_are_reported_before_new_hospitals(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(LINES + "Cuff 5,02:00:00:00:00:0O,CONSUMER,RS Baru\n")
    with pytest.raises(CommandError, match="1 rows have errors"):
        run(str(tmp_path / "a.csv"))


def test_long_list_of_new_hospitals_is_shortened(tmp_path: Path) -> None:
    lines = [f"Cuff {n},02:00:00:00:00:{n:02},CONSUMER,RS {n:02}\n" for n in range(25)]
    (tmp_path / "a.csv").write_text(HEADER + "".join(lines))
    with pytest.raises(CommandError, match="RS 18, RS 19 and 5 more"):
        run(str(tmp_path / "a.csv"))


def test_pasted_addresses_are_imported(tmp_path: Path) -> None:
    texts = ["\u200b02:C0:00:00:00:26", "02\u2013C0\u201300\u201300\u201300\u201327", "MAC: 02:C0:00:00:00:28"]
    texts += ["02 C0 00 00 00 29", "2:C0:0:0:0:2A"]
    (tmp_path / "a.csv").write_text(HEADER + "".join(f"P{n},{text},Konsumen,-\n" for n, text in enumerate(texts)))
    run(str(tmp_path / "a.csv"))
    assert set(Device.objects.values_list("device_mac", flat=True)) == {
        f"02:C0:00:00:00:{n}" for n in (26, 27, 28, 29, "2A")
    }
