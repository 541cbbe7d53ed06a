import io
import re
import sys
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command, get_commands, load_command_class

from devices.access.actor import SYSTEM
from devices.accounts import api_keys
from devices.imports import plan
from devices.models import ApiKey, Device, Hospital
from devices.tests.support.client import Api, issue
from devices.tests.support.factories import device_payload, register

pytestmark = pytest.mark.django_db
HEADINGS = "device_name,device_mac,device_type,device_holder\n"
COMMANDS = sorted(name for name, app in get_commands().items() if app == "devices")


def run(*arguments: str) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    call_command(*arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Any:
    def send(text: str | bytes) -> None:
        data = text.encode() if isinstance(text, str) else text
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))

    return send


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_a_help_text(name: str) -> None:
    assert len(load_command_class("devices", name).help) > 60


def test_all_documented_commands_exist() -> None:
    keys = {"create_api_key", "list_api_keys", "revoke_api_key", "rotate_api_key", "empty_sandbox"}
    bulk = {"import_devices", "export_devices", "seed_devices", "check_counts"}
    following = {"follow_changes", "prune", "after_restore"}
    users = {"reset_two_factor", "make_password_link", "change_user"}
    assert set(COMMANDS) == keys | bulk | following | users | {"quickstart", "export_audit", "loaddata", "migrate"}


# --- API keys


def test_create_api_key_prints_only_the_key_on_stdout(api: Api) -> None:
    out, err = run("create_api_key", "ward app", "--read-only", "--hospital", "RS Baru", "--naming", "camelCase")
    assert re.fullmatch(r"cxp_\w{8}_\w{46}\n", out)
    assert out.strip() not in err
    key = ApiKey.objects.get(name="ward app")
    assert (key.read_only, str(key.hospitals.get()), key.naming, key.expires_at) == (True, "RS Baru", "camelCase", None)
    assert Api(out.strip()).get("/api/devices").status_code == 200
    assert Hospital.history.count() == 1


def test_key_is_valid_through_the_last_day() -> None:
    run("create_api_key", "app", "--expires", "2099-12-31")
    assert ApiKey.objects.get().expires_at.isoformat() == "2099-12-31T17:00:00+00:00"  # midnight in Jakarta


def test_legacy_key_is_read_from_stdin_and_not_printed(stdin: Any) -> None:
    text = "MTYzNTEzMDIzNDY0MA==16351302346401637558061370"
    stdin(text + "\n")
    out, err = run("create_api_key", "web", "--value", "-")
    assert out == ""
    assert text not in err
    assert Api(text).get("/api/devices").status_code == 200


@pytest.mark.parametrize("sent", ["\ufeff{}\r\n", "  {}\u00a0\n"])
def test_legacy_key_on_stdin_may_have_a_byte_order_mark_and_spaces(stdin: Any, sent: str) -> None:
    text = "MTYzNTEzMDIzNDY0MA==16351302346401637558061370"
    stdin(sent.format(text))
    run("create_api_key", "web", "--value", "-")
    assert Api(text).get("/api/devices").status_code == 200


@pytest.mark.parametrize(
    "sent",
    [
        b"# key of the ward\nMTYzNTEzMDIzNDY0MA==16351302346401637558061370\n",
        "\ufeffMTYzNTEzMDIzNDY0MA==16351302346401637558061370\n".encode("utf-16-le"),
        b"MTYzNTEzMDIzNDY0MA==\xe916351302346401637558061370\n",
        b"MTYzNTEzMDIzNDY0MA\0==\n",
        b"",
    ],
)
def test_key_that_cannot_be_imported_is_not_printed(stdin: Any, sent: bytes) -> None:
    stdin(sent)
    with pytest.raises(CommandError) as failed:
        run("create_api_key", "web", "--value", "-")
    assert "MTY" not in str(failed.value)
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize("command", ["revoke_api_key", "rotate_api_key"])
@pytest.mark.parametrize("text", ["cxp_a-secret", "MTYzNTEzMDIzNDY0MA==", "-1", "7.0", "٧", ""])
def test_key_in_place_of_its_id_is_not_printed(command: str, text: str) -> None:
    with pytest.raises(CommandError) as failed:
        run(command, text)
    assert len(text) < 3 or text not in str(failed.value)
    assert "list_api_keys" in str(failed.value) or text == "-1"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["app", "--expires", "soon"], "--expires: Use a date such as 2027-12-31."),
        (["app", "--expires", "2020-01-01"], "--expires: This date is in the past."),
        (["app", "--hospital", "unknown"], "--hospital: “unknown” means no hospital."),
        (["app", "--hospital", " "], "--hospital: This field must not be empty."),
        (["app", "--rate", "often"], "--rate: This is not a valid rate"),
        (["app", "--naming", "kebab-case"], "--naming: invalid choice"),
        (["app", "--value", "short"], "A legacy key must have 16 to 255 printable ASCII characters"),
        (["app", "--expires", "9999-12-31"], "--expires: Use a date such as 2027-12-31."),
        (
            ["app", "--hospital", "RS Baru", "--value", "short"],
            "A legacy key must have 16 to 255 printable ASCII characters",
        ),
        (["app", "--allow", "10.0.0.1/8"], "10.0.0.1/8 has bits after the length of its prefix."),
        (["app", "--allow", ""], "--allow: This field must not be empty."),
        (["app", "--allow", "10.0.0.0/8", "--allow", " , "], "--allow: , is not a network."),
        (["app", "--page-size", "10001"], "Enter a number from 1 to 10000."),
        (["app", "--page-size", "²"], "Enter a number from 1 to 10000."),
        ([" "], "NAME: This field must not be empty."),
        (["a\0b"], "NAME: This contains control characters"),
        (["x" * 256], "NAME: This has 256 characters. The maximum is 255."),
    ],
)
def test_invalid_key_settings_are_an_error_and_create_nothing(arguments: list[str], message: str) -> None:
    with pytest.raises(CommandError, match=re.escape(message)):
        run("create_api_key", *arguments)
    assert not ApiKey.objects.exists()
    assert not Hospital.objects.exists()


def test_list_api_keys_shows_settings_and_no_digest(rs_a: Hospital) -> None:
    issued = issue("ward app", hospitals=[rs_a], read_only=True)
    revoked = issue("old app")
    api_keys.revoke(revoked.key, SYSTEM)
    out, err = run("list_api_keys")
    [headings, ward, old] = out.splitlines()
    assert headings.split()[:3] == ["ID", "NAME", "PREFIX"]
    assert f"cxp_{issued.key.prefix}" in ward
    assert "RS Harapan" in ward
    assert ward.endswith("active")
    assert old.endswith("revoked")
    assert issued.key.digest not in out
    assert err == "2 keys, 1 active.\n"


def test_key_can_be_revoked_only_once() -> None:
    issued = issue("app")
    assert run("revoke_api_key", str(issued.key.pk))[0] == f"API key {issued.key.pk} (app) was revoked.\n"
    assert Api(issued.text).get("/api/devices").status_code == 401
    with pytest.raises(CommandError, match="was already revoked"):
        run("revoke_api_key", str(issued.key.pk))


@pytest.mark.parametrize("command", ["revoke_api_key", "rotate_api_key"])
@pytest.mark.parametrize("number", ["4711", str(10**30)])
def test_unknown_key_is_an_error(command: str, number: str) -> None:
    with pytest.raises(CommandError, match=f"API key {number} does not exist. Run list_api_keys to see all keys."):
        run(command, number)


def test_rotated_key_stays_valid_during_the_overlap() -> None:
    issued = issue("app")
    out, _err = run("rotate_api_key", str(issued.key.pk), "--overlap", "7d")
    assert Api(out.strip()).get("/api/devices").status_code == Api(issued.text).get("/api/devices").status_code == 200
    run("rotate_api_key", str(issued.key.pk), "--overlap", "0h")
    assert Api(issued.text).get("/api/devices").status_code == 401
    with pytest.raises(CommandError, match="is not a valid duration"):
        run("rotate_api_key", str(issued.key.pk), "--overlap", "a week")


# --- Imports and exports


def write_file(path: Path, lines: str | bytes) -> str:
    path.write_bytes(lines.encode() if isinstance(lines, str) else lines)
    return str(path)


def test_import_registers_new_devices_and_updates_known_ones(tmp_path: Path) -> None:
    register(device_payload(1, device_holder="RS Harapan"), device_payload(2))
    lines = HEADINGS + (
        "Cuff 1,000000000001,consumer,rs harapan\n"
        "Renamed,00-00-00-00-00-02,CONSUMER,\n"
        "\n"
        "New,00:00:00:00:00:03,CORPORATE,RS Baru\n"
    )
    out, _err = run("import_devices", write_file(tmp_path / "devices.csv", lines), "--new-hospitals")
    assert out == "Devices: 1 registered, 1 changed, 1 unchanged.\n"
    rows = Device.objects.order_by("pk").values_list("device_name", "device_holder__name")
    assert list(rows) == [("Cuff 1", "RS Harapan"), ("Renamed", None), ("New", "RS Baru")]
    assert set(Device.history.filter(history_channel="import").values_list("history_type", flat=True)) == {"+", "~"}
    assert (
        run("import_devices", write_file(tmp_path / "devices.csv", lines))[0]
        == "Devices: 0 registered, 0 changed, 3 unchanged.\n"
    )


@pytest.mark.parametrize(
    "lines",
    [
        "ID,MAC,TYPE,HOLDER\nCuff 1,000000000001,CONSUMER,RS Harapan\n",
        "\ufeffid;mac;type;holder\r\nCuff 1;000000000001;CONSUMER;RS Harapan\r\n",
        "device_holder\tdevice_type\tdevice_mac\tdevice_name\tid\nRS Harapan\tCONSUMER\t000000000001\tCuff 1\t\n",
        'ID,MAC,TYPE,HOLDER,NOTE\n"Cuff 1","000000000001",CONSUMER,"RS Harapan","two\nlines"\n',
    ],
)
def test_import_reads_each_form_of_header_and_delimiter(tmp_path: Path, lines: str) -> None:
    run("import_devices", write_file(tmp_path / "devices.csv", lines), "--new-hospitals")
    device = Device.objects.get()
    assert (device.device_name, device.device_holder.name) == ("Cuff 1", "RS Harapan")


def test_import_reports_each_invalid_row_and_imports_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "BATCH_SIZE", 3)
    register(device_payload(9))
    lines = HEADINGS + (
        "Cuff 1,000000000001,CONSUMER,RS Baru\n"
        ",000000000002,CONSUMER,\n"
        "Cuff 3,12345,PHONE,\n"
        "Cuff 9,000000000004,CONSUMER,\n"
        "Cuff 5,00:00:00:00:00:01,CONSUMER,\n"
        "Cuff 6,000000000006,CONSUMER,unknown\n"
    )
    out, err = io.StringIO(), io.StringIO()
    with pytest.raises(CommandError, match=r"^Nothing was imported: 4 rows have errors\.$"):
        call_command("import_devices", write_file(tmp_path / "devices.csv", lines), stdout=out, stderr=err)
    assert [line[: line.index(":", 8)] for line in err.getvalue().splitlines()] == [
        "row 3: device_name",
        "row 4: device_mac",
        "row 4: device_type",
        "row 5: device_name",
        "row 6: device_mac",
    ]
    assert Device.objects.count() == 1
    assert not Hospital.objects.exists()


def test_dry_run_of_an_import_reports_the_result_and_writes_nothing(tmp_path: Path) -> None:
    path = write_file(tmp_path / "devices.csv", HEADINGS + "Cuff 1,000000000001,CONSUMER,RS Baru\n")
    assert (
        run("import_devices", path, "--dry-run")[0]
        == "Dry run, nothing was written: 1 registered, 0 changed, 0 unchanged.\n"
    )
    assert not Device.objects.exists()
    assert not Device.history.exists()
    assert not Hospital.objects.exists()


@pytest.mark.parametrize(
    ("name", "lines", "message"),
    [
        ("devices.csv", "", "The file is empty."),
        ("devices.csv", "name,address\n", "Missing columns: MAC address, Type."),
        ("devices.csv", "MAC,TYPE,device_mac,ID\n", "More than one column is “MAC address”: MAC, device_mac."),
        ("devices.csv", HEADINGS.encode() + b"\x81,1,2,3\n", "neither XLSX nor text in a known encoding."),
        ("devices.csv", HEADINGS + '"Cuff 1,00\n', "The file is not valid CSV"),
        ("devices.xlsx", "PK\x03\x04 no workbook", "The file is not a valid XLSX workbook."),
    ],
)
def test_unreadable_file_is_an_error(tmp_path: Path, name: str, lines: str | bytes, message: str) -> None:
    with pytest.raises(CommandError, match=re.escape(message)):
        run("import_devices", write_file(tmp_path / name, lines))


def test_missing_file_or_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot be read: No such file or directory"):
        run("import_devices", str(tmp_path / "none.csv"))
    with pytest.raises(CommandError, match="cannot be written: No such file or directory"):
        run("export_devices", str(tmp_path / "none" / "x.csv"))


def test_numbers_in_a_workbook_are_read_as_text_without_loss(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet: Any = book.active
    for row in (
        ["ID", "MAC", "TYPE", "HOLDER"],
        [1001, 112233445566, "CONSUMER", None],
        [1002.0, 1.1e9, "CONSUMER", ""],
    ):
        sheet.append(row)
    book.save(tmp_path / "devices.xlsx")
    with pytest.raises(CommandError):
        run("import_devices", str(tmp_path / "devices.xlsx"))
    sheet["B3"] = "00:00:00:00:00:02"
    book.save(tmp_path / "devices.xlsx")
    run("import_devices", str(tmp_path / "devices.xlsx"))
    assert set(Device.objects.values_list("device_name", "device_mac")) == {
        ("1001", "11:22:33:44:55:66"),
        ("1002", "00:00:00:00:00:02"),
    }


@pytest.mark.parametrize("name", ["devices.csv", "devices.xlsx"])
def test_exported_file_imports_without_changes_formulas_included(tmp_path: Path, name: str) -> None:
    names = ["=1+1", "+6281", "-5", "@sum", "'quoted", "'=x", "a,b;c", 'say "hi"', "Müller 测试", "1.0E+11"]
    register(*(device_payload(n, device_name=text, device_holder=text) for n, text in enumerate(names)))
    path = tmp_path / name
    _out, err = run("export_devices", str(path))
    assert err == f"{len(names)} devices were exported.\n"
    if name.endswith(".csv"):
        assert not re.search(r",[=+\-@]", path.read_text())
    else:
        cells = [cell for row in openpyxl.load_workbook(path).active.iter_rows() for cell in row]
        assert not [cell for cell in cells if cell.data_type == "f"]
    assert run("import_devices", str(path))[0] == f"Devices: 0 registered, 0 changed, {len(names)} unchanged.\n"
    assert list(Device.objects.order_by("pk").values_list("device_name", flat=True)) == names


def test_export_and_import_work_in_a_pipe(stdin: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    register(device_payload(1, device_holder="RS Harapan"))
    buffer = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(buffer))
    run("export_devices", "-")
    pk = Device.objects.get().pk
    assert buffer.getvalue().decode() == "\ufeffid," + HEADINGS.replace("\n", "\r\n") + (
        f"{pk},Cuff 1,00:00:00:00:00:01,CONSUMER,RS Harapan\r\n"
    )
    stdin(buffer.getvalue())
    assert run("import_devices", "-")[0] == "Devices: 0 registered, 0 changed, 1 unchanged.\n"


# --- Demo data


def test_seeded_devices_are_unique_and_of_many_hospitals() -> None:
    assert run("seed_devices", "2000")[0] == "2000 devices were registered.\n"
    run("seed_devices", "500")
    assert Device.objects.count() == Device.history.count() == 2500
    assert 380 < Hospital.objects.count() <= 400
    assert not Device.objects.exclude(device_mac__startswith="02:").exists()


@pytest.mark.parametrize("count", ["0", "-5"])
def test_seeding_fewer_than_one_device_is_an_error(count: str) -> None:
    with pytest.raises(CommandError, match=r"^N must be at least 1\.$"):
        call_command("seed_devices", int(count))


def test_number_of_hospitals_of_seeded_devices_can_be_set() -> None:
    run("seed_devices", "50", "--hospitals", "2")
    assert Hospital.objects.count() == 2
    with pytest.raises(CommandError, match=r"^N must be at least 1\.$"):
        call_command("seed_devices", 1, hospitals=0)


def test_quickstart_prints_its_secrets_only_once(
    monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path
) -> None:
    settings.STATIC_ROOT = tmp_path
    out, _err = run("quickstart")
    password = re.search(r"password  (\S+)", out)
    [curl] = re.findall(r"curl -H 'x-api-key: (\S+)' (\S+)", out)
    assert password
    admin = get_user_model().objects.get(username="admin")
    assert admin.is_superuser
    assert admin.check_password(password[1])
    assert curl[1] == "http://127.0.0.1:8000/api/devices"
    assert Api(curl[0]).get("/api/devices").status_code == 200
    again, _err = run("quickstart")
    assert "password" not in again
    assert "cxp_" not in again
    assert ApiKey.objects.count() == 1


def test_create_api_key_sets_all_limits(rs_a: Hospital, rs_b: Hospital) -> None:
    run(
        *("create_api_key", "app", "--hospital", "RS Harapan", "--hospital", "rs sehat", "--page-size", "500"),
        *("--unknown-holder", "refuse", "--allow", "10.0.0.0/8,192.0.2.7", "--allow", "2001:db8::/32"),
    )
    key = ApiKey.objects.get()
    assert (key.all_hospitals, set(key.scope_hospitals)) == (False, {rs_a, rs_b})
    assert (key.naming, key.page_size, key.unknown_holder) == ("snake_case", 500, "refuse")
    assert key.allowed_networks == "10.0.0.0/8 192.0.2.7 2001:db8::/32"
    out, _err = run("list_api_keys")
    for text in ("RS Harapan, RS Sehat", "500", "refuse", "10.0.0.0/8 192.0.2.7 2001:db8::/32"):
        assert text in out
