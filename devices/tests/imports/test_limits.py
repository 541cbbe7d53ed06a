"""One import at a time, with limited memory and time for any file."""

import io
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.test import Client

from devices.admin import imports
from devices.imports import plan, preview
from devices.imports.deadline import Deadline, DeadlineExceeded
from devices.imports.files import header, spreadsheet, xlsx_file, xlsx_reader
from devices.models import Device, ImportPreview, ImportTurn
from devices.tests.support.factories import device_payload
from devices.tests.support.imports import choose, confirm, csv, upload
from devices.tests.support.services.server import ROOT
from devices.tests.support.workbooks import MADE, NS, PARTS, SHEET, repacked, with_shared_texts

ONE = csv(device_payload(1, device_holder=""))
BUSY = "Another import is in progress. Try again in a moment."


# --- One import at a time


@pytest.fixture
def process_is_busy() -> Any:
    with preview._process:
        yield


def turn_elsewhere(user: str, seconds: int = 60) -> ImportTurn:
    """Create a turn of the user in another process."""
    pk = User.objects.get(username=user).pk
    return ImportTurn.objects.create(user_id=pk, token="elsewhere", ends_at=int(time.time()) + seconds)


def assert_busy(response: Any) -> None:
    assert response.status_code == 429
    assert response["retry-after"] == str(imports.RETRY_AFTER)
    assert BUSY in response.content.decode()


def test_second_import_in_a_process_is_rejected(operator: Client, process_is_busy: None) -> None:
    response = choose(operator, ONE)
    assert_busy(response)
    assert 'type="file"' in response.content.decode()
    assert not ImportPreview.objects.exists()


def test_second_import_of_a_user_in_another_process_is_rejected(operator: Client, ratna: Client) -> None:
    turn_elsewhere("operator")
    assert_busy(choose(operator, ONE))
    assert choose(ratna, ONE).status_code == 302
    assert ImportTurn.objects.get().token == "elsewhere"


def test_turn_of_a_dead_process_expires(operator: Client) -> None:
    turn_elsewhere("operator", seconds=0)
    assert choose(operator, ONE).status_code == 302
    assert not ImportTurn.objects.exists()


@pytest.mark.parametrize("content", [ONE, b"not a list", xlsx_file.ZIP])
def test_turn_is_released_after_any_file(operator: Client, content: bytes) -> None:
    choose(operator, content)
    assert not ImportTurn.objects.exists()
    assert choose(operator, ONE).status_code == 302


def test_turn_is_released_after_a_failure(operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    operator.raise_request_exception = False
    with monkeypatch.context() as patch:
        patch.setattr(plan, "make_plan", None)
        assert choose(operator, ONE).status_code == 500
    assert choose(operator, ONE).status_code == 302


def test_turn_of_another_process_is_not_released(operator: Client) -> None:
    user = User.objects.get(username="operator")
    with preview.one_import(user.pk):
        ImportTurn.objects.update(token="elsewhere")
    assert ImportTurn.objects.get().token == "elsewhere"


def test_confirmation_is_rejected_while_another_import_runs(operator: Client) -> None:
    url = upload(operator, device_payload(1))
    with preview._process:
        assert_busy(operator.post(url, {"confirm": "yes"}))
    turn = turn_elsewhere("operator")
    assert_busy(operator.post(url, {"confirm": "yes"}))
    assert not Device.objects.exists()
    turn.delete()
    confirm(operator, url)
    assert Device.objects.count() == 1


def test_stored_preview_is_shown_while_another_import_runs(operator: Client) -> None:
    url = upload(operator, device_payload(1))
    with preview._process:
        assert operator.get(url).status_code == 200
        response = operator.get(url, headers={"accept-language": "id"})
        assert response.status_code == 429
        assert len(response.context["rows"]) == 1
    assert operator.get(url, headers={"accept-language": "id"}).status_code == 200


def test_import_by_a_command_needs_no_turn(db: None, tmp_path: Path, process_is_busy: None) -> None:
    Path(tmp_path, "devices.csv").write_bytes(ONE)
    call_command("import_devices", str(tmp_path / "devices.csv"))
    assert Device.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_concurrent_import_is_rejected_without_waiting(operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    started, released, statuses = threading.Event(), threading.Event(), []
    read = preview._read

    def read_slowly(*args: Any) -> Any:
        started.set()
        assert released.wait(60)
        return read(*args)

    def upload() -> None:
        statuses.append(choose(operator, ONE).status_code)
        connection.close()

    monkeypatch.setattr(preview, "_read", read_slowly)
    first = threading.Thread(target=upload)
    first.start()
    try:
        assert started.wait(60)
        second = Client()
        second.cookies = operator.cookies
        assert_busy(choose(second, ONE))
    finally:
        released.set()
        first.join(60)
    assert statuses == [302]


# --- Time


@pytest.mark.parametrize("content", [ONE, MADE])
def test_file_that_takes_too_long_is_rejected(
    operator: Client, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preview, "CPU_SECONDS", -1)
    assert "Reading the file takes too long." in choose(operator, content).content.decode()
    assert not ImportTurn.objects.exists()


def test_planning_that_takes_too_long_is_stopped(operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    class Planning(Deadline):
        checks = 0

        def check(self) -> None:
            Planning.checks += 1
            if Planning.checks > 1:
                raise DeadlineExceeded

    monkeypatch.setattr(preview, "Deadline", Planning)
    assert "Reading the file takes too long." in choose(operator, ONE).content.decode()


def test_deadline_counts_cpu_time_and_not_wall_time(monkeypatch: pytest.MonkeyPatch) -> None:
    deadline = Deadline(5)
    monkeypatch.setattr(time, "monotonic", lambda: deadline.started + 1_000)
    monkeypatch.setattr(time, "time", lambda: deadline.started + 1_000)
    deadline.check()
    now = time.thread_time()
    monkeypatch.setattr(time, "thread_time", lambda: now + 6)
    with pytest.raises(DeadlineExceeded):
        deadline.check()


# --- Hostile files


def worksheet(rows: str, after: str = "") -> bytes:
    return f'<worksheet xmlns="{NS}"><sheetData>{rows}</sheetData>{after}</worksheet>'.encode()


MANY = 600_000
SMALL = {
    "cells in one row": repacked(MADE, SHEET, worksheet(f"<row>{'<c/>' * MANY}</row>")),
    "empty rows": repacked(MADE, SHEET, worksheet("<row/>" * MANY)),
    "rows of empty cells": repacked(MADE, SHEET, worksheet(f"<row>{'<c/>' * 50}</row>" * (MANY // 50))),
    "elements after the rows": repacked(MADE, SHEET, worksheet("", "<x/>" * MANY)),
    "shared texts": with_shared_texts(f'<sst xmlns="{NS}">{"<si><t>x</t></si>" * (MANY // 2)}</sst>'.encode()),
    **{part: repacked(MADE, part, f"<x>{'<a/>' * MANY}</x>".encode()) for part in PARTS[:-1]},
}


def cpu_seconds_to_read(content: bytes) -> float:
    """Read a file, and return the CPU time of the process that reads workbooks."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        with spreadsheet.open_sheet(io.BytesIO(content)) as sheet:
            list(sheet.rows)
    except header.UnreadableFile:
        pass
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.parametrize("content", SMALL.values(), ids=SMALL)
def test_small_file_with_many_elements_takes_little_time(content: bytes) -> None:
    assert len(content) < 30_000
    assert 0 < cpu_seconds_to_read(content) < 3


@pytest.mark.parametrize(
    "sheet",
    [
        worksheet(f'<row><c t="inlineStr"><is><t>{"ab," * 5_000_000}</t></is></c></row>'),
        worksheet("<row>" + ('<c t="inlineStr"><is><t>' + "x" * 200_000 + "</t></is></c>") * 60 + "</row>"),
    ],
    ids=["one text", "texts of a row"],
)
def test_text_in_memory_is_limited(sheet: bytes) -> None:
    with (
        pytest.raises(header.UnreadableFile, match="too large"),
        spreadsheet.open_sheet(io.BytesIO(repacked(MADE, SHEET, sheet))) as opened,
    ):
        list(opened.rows)


def numbers(rows: int) -> bytes:
    """Return a workbook with this number of rows of 26 numbers."""
    row = "".join(f"<c><v>{number}</v></c>" for number in range(26))
    return repacked(MADE, SHEET, worksheet(f"<row>{row}</row>" * rows))


def test_reading_a_workbook_stops_at_the_cpu_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xlsx_file, "MAX_CPU_SECONDS", 1)
    with pytest.raises(header.UnreadableFile, match="too large"), spreadsheet.open_sheet(io.BytesIO(numbers(140_000))):
        pass


def test_reading_a_workbook_stops_at_the_memory_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    content = numbers(40_000)
    with (
        pytest.raises(header.UnreadableFile, match="Missing columns"),
        spreadsheet.open_sheet(io.BytesIO(content)),
    ):
        pass
    monkeypatch.setattr(xlsx_file, "MAX_MEMORY", 64 * 2**20)
    with pytest.raises(header.UnreadableFile, match="too large"), spreadsheet.open_sheet(io.BytesIO(content)):
        pass


def test_largest_worksheet_that_excel_writes_is_within_the_limits() -> None:
    columns = ["ID", "MAC", "TYPE", "HOLDER", "A", "B", "C", "D"]
    texts = "".join(f"<si><t>{text}</t></si>" for text in columns)
    texts += "".join(f"<si><t>SN-{number:07}</t></si>" for number in range(6 * preview.MAX_ROWS))
    rows = "".join(
        f'<row r="{row}" spans="1:8" s="1" customFormat="1" ht="15.6" customHeight="1">'
        + "".join(
            f'<c r="{letter}{row}" s="1" t="s"><v>{(row - 1) * 6 + place if row > 1 else place}</v></c>'
            for place, letter in enumerate("ABCDEFGH")
        )
        + "</row>"
        for row in range(1, preview.MAX_ROWS + 1)
    )
    content = repacked(with_shared_texts(f'<sst xmlns="{NS}">{texts}</sst>'.encode()), SHEET, worksheet(rows))
    with spreadsheet.open_sheet(io.BytesIO(content)) as sheet:
        assert sum(1 for _row in sheet.rows) == preview.MAX_ROWS - 1


@pytest.mark.parametrize("line", ["ab," * 400_000, '"\n",' * 300_000, "," * 1_100_000])
def test_size_of_a_csv_record_is_limited(line: str) -> None:
    for content in (f"{line}\n", f"ID,MAC,TYPE\nx,y,z\n{line}\n"):
        with (
            pytest.raises(header.UnreadableFile, match="is too long"),
            spreadsheet.open_sheet(io.BytesIO(content.encode())) as sheet,
        ):
            list(sheet.rows)


def test_number_of_compared_column_headers_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    monkeypatch.setattr(header, "get_close_matches", lambda text, *args, **options: compared.append(text) or [])
    many = ",".join(f"note {number}" for number in range(50_000))
    with spreadsheet.open_sheet(io.BytesIO(f"ID,MAC,TYPE,{many}\nx,y,z\n".encode())) as sheet:
        assert len(list(sheet.rows)) == 1
    with pytest.raises(header.UnreadableFile), spreadsheet.open_sheet(io.BytesIO(f"{many}\n".encode())):
        pass
    assert len(compared) <= 2 * xlsx_reader.MAX_COLUMNS


def test_memory_for_hostile_files_is_limited_and_released(tmp_path: Path) -> None:
    attributes = "".join(f'<c a="{number:016}"/>' for number in range(950_000))
    hostile = {
        **SMALL,
        "attributes": repacked(MADE, SHEET, worksheet(f"<row>{attributes}</row>")),
        "a text": repacked(
            MADE, SHEET, worksheet(f"<row><c t='inlineStr'><is><t>{'ab,' * 20_000_000}</t></is></c></row>")
        ),
        "a shared text": with_shared_texts(
            f'<sst xmlns="{NS}"><si><t>{"x" * 30_000_000}\U0001f600</t></si></sst>'.encode()
        ),
        "far apart": repacked(
            MADE, SHEET, worksheet('<row><c r="A1"><v>1</v></c><c r="XFD1048576"><v>1</v></c></row>')
        ),
        "count": with_shared_texts(f'<sst xmlns="{NS}" uniqueCount="999999999"/>'.encode()),
        "numbers": numbers(60_000),
        "cells": b"ab," * 3_300_000,
    }
    for number, content in enumerate(hostile.values()):
        Path(tmp_path, str(number)).write_bytes(content)
    run = [sys.executable, "-m", "devices.tests.support.services.reading_memory", *map(str, sorted(tmp_path.iterdir()))]
    output = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    peak, reader, *after = map(int, output.split())
    assert peak < 100  # MiB more than before, in the process that imports
    assert reader < xlsx_file.MAX_MEMORY // 2**20  # in the process that reads workbooks
    assert after[1] - after[0] < 50
