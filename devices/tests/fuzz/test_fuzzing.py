"""Parsers of external bytes accept or reject every input without other exceptions, and return normalized values."""

import json
import re
from datetime import datetime
from io import BytesIO
from typing import Any
from urllib.parse import quote_from_bytes
from zipfile import ZIP_DEFLATED, ZipFile

import openpyxl
import pytest
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.test import RequestFactory
from hypothesis import strategies as st

from devices.access import client_ip, scopes
from devices.access.actor import Actor
from devices.api import conditional, long_polling
from devices.api.schema import patterns
from devices.crypto import cursors, keys
from devices.crypto.cursors import Cursor
from devices.imports import preview
from devices.imports.files import cells, header, spreadsheet
from devices.models import Channel, Device
from devices.registry import device_fields
from devices.tests.support.client import Api, issue
from devices.tests.support.factories import device_payload, register
from devices.tests.support.formats import FORMATS
from devices.tests.support.fuzzing import fuzz, mutated, mutated_text
from devices.values import csv_escaping, hospital_names, mac, normalization

LATIN = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=60)  # of a header
MACS = ["D0:61:AE:D4:58:94", "d0-61-ae-d4-58-94", "D061.AED4.5894", "d061aed45894", "D0:61:AE:FF:FE:D4:58:94"]
WORDS = ["\0", "\ufb00", "\u017f", "\u00df", "\u0130", "\u3000", "\x1c", "\u2028", "\ufeff", "::", "-", ".", "E+11"]
NOTATION = st.from_regex(mac.NOTATION, fullmatch=True)
TEXTS = st.text(max_size=40) | mutated_text([*MACS, "E86 5894", "unknown", "consumer", "CORPORATE", "x" * 255], WORDS)


def test_mac_parsers() -> None:
    def check(text: str) -> None:
        for read in (mac.parse_mac, mac.parse_manufacturer_id):
            result = read(text)
            assert result is None or (result.isascii() and read(result) == result)
        written = mac.parse_mac(text)
        assert written is None or re.fullmatch(patterns.MAC_RETURNED[1:-1], written)

    fuzz(check, NOTATION | TEXTS, examples=500)


def test_validation_accepts_what_the_formats_of_the_schema_define(settings: Any) -> None:
    def check(text: str, allow_manufacturer_ids: bool) -> None:
        settings.DEVICES_ALLOW_NON_MAC = allow_manufacturer_ids
        for clean, name in (
            (device_fields.clean_text, patterns.DISPLAY_NAME),
            (device_fields.clean_mac, patterns.mac_format()),
        ):
            pattern = FORMATS[name][1:-1]
            try:
                cleaned = clean(text)
            except ValidationError:
                cleaned = None
            normal = normalization.normalize(text)
            is_lenient = name != patterns.DISPLAY_NAME and mac.parse_mac(normal) is not None
            fits = bool(len(normal) < 256 and re.fullmatch(pattern, normal))
            assert (cleaned is not None) == fits or is_lenient, name
            assert cleaned is not None or len(normal) > 255 or not re.fullmatch(pattern, text) or is_lenient, name
            assert cleaned is None or clean(cleaned) == cleaned
        if allow_manufacturer_ids and cleaned is not None:
            assert re.fullmatch(patterns.MANUFACTURER_ID_RETURNED[1:-1], cleaned)

    fuzz(check, NOTATION | TEXTS, st.booleans(), examples=300)


@pytest.mark.parametrize("column", ["device_type", "device_holder"])
def test_normalized_fields_are_unchanged_by_normalization(column: str) -> None:
    def check(text: str) -> None:
        row, problems = device_fields.validate({column: text}, ())
        if row and not problems:
            stored = row[column] or hospital_names.NO_HOSPITAL  # type: ignore[literal-required]
            assert device_fields.validate({column: stored}, ()) == (row, [])
        assert hospital_names.fold_name(hospital_names.fold_name(text)) == hospital_names.fold_name(text)

    fuzz(check, TEXTS)


def test_key_parser() -> None:
    issued = [keys.generate(sandbox=number % 2 == 1) for number in range(4)]

    def check(text: str) -> None:
        if keys.is_well_formed(text) and text.startswith(("cxp_", "cxt_")):
            assert text in issued  # a random key has a valid checksum with a probability of 1 in 2^32
        assert len(keys.digest(text)) == 64

    examples = [*issued, "MTYzNTEzMDIzNDY0MA==16351302346401637558061370"]
    fuzz(check, LATIN | mutated_text(examples, ["cxp_", "cxt_", "_", "\0"]), examples=300)


def test_cursor_parser() -> None:
    number = st.integers(0, 2**64 - 1)
    key, cursor = b"key of this registry".ljust(32), Cursor(4711, 7, 1)
    written = cursors.encode(cursor, key)

    def check(text: str, position: int, pruned_to: int, scope: int) -> None:
        other = Cursor(position, pruned_to, scope)
        assert cursors.decode(cursors.encode(other, key), key) == other
        try:
            assert cursors.decode(text, key) == cursor
            assert text == written
        except cursors.UnknownCursor:
            assert text != written
            assert re.fullmatch(patterns.CURSOR[1:-1], text)
        except ValueError:
            assert not re.fullmatch(patterns.CURSOR[1:-1], text)

    texts = st.text(max_size=60) | mutated_text([written], ["=", "==", "+", "/", "-", "_"])
    fuzz(check, texts, number, number, number, examples=300)


def test_etag_parser() -> None:
    def check(text: str) -> None:
        tags = conditional._parse(text)
        assert bool(tags) == bool(re.fullmatch(patterns.TAGS[1:-1], text.strip(" \t")))
        assert not tags or tags == {"*"} or conditional._parse(", ".join(sorted(tags))) == tags

    fuzz(check, LATIN | mutated_text(['"a"', 'W/"7-x", "b"', "*", '"x",'], ['"', ",", "W/", "*", " "]), examples=300)


@pytest.fixture
def devices(db: None) -> None:
    register(device_payload(1), device_payload(2, device_holder="RS Harapan"), device_payload(3))


BODIES = [
    json.dumps(device_payload(1)).encode(),
    json.dumps([device_payload(4), device_payload(5, device_holder="RS Harapan")]).encode(),
    json.dumps(device_payload(2, id=2, created_at=1635821282937)).encode(),
    "\ufeff{}".encode(),
    "[]".encode("utf-16"),
]
JSON_WORDS = [
    b"\0",
    b"\xff",
    b"null",
    b"1e400",
    b"-0.0",
    b'"\\ud800"',
    b'"\\u0000"',
    b"[" * 2000,
    b"{}",
    b",",
    b"9" * 400,
]
FIELDS = st.sampled_from(["id", "device_name", "device_mac", "device_type", "device_holder", "deviceName", "x"])
VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
ROWS = st.dictionaries(FIELDS, st.recursive(VALUES, lambda inner: st.lists(inner, max_size=3), max_leaves=4))
JSON = (ROWS | st.lists(ROWS | VALUES, max_size=4) | VALUES).map(lambda value: json.dumps(value).encode())
WRITES = st.sampled_from(
    [
        ("POST", "/api/devices"),
        ("POST", "/api/devices/batch"),
        ("POST", "/api/device?on_conflict=update&mode=partial"),
        ("PUT", "/api/device"),
        ("PUT", "/api/device/2"),
        ("PATCH", "/api/device/2"),
        ("DELETE", "/api/device/2"),
    ]
)


def assert_envelope(response: Any) -> None:
    """Check that the response is not a server error, and has the envelope."""
    assert response.status_code < 500, response.content
    if response.status_code != 304:
        assert response.json()["code"] == response.status_code


def test_bodies(devices: None, camel: Api) -> None:
    def check(route: tuple[str, str], body: bytes) -> None:
        assert_envelope(camel(*route, body))

    fuzz(check, WRITES, JSON | mutated(BODIES, JSON_WORDS))


HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "if-match": LATIN | mutated_text(["*", 'W/"2-x"']),
        "if-none-match": LATIN | mutated_text(["*", 'W/"list-3"']),
        "idempotency-key": LATIN | st.sampled_from(["a", "x" * 255, "x" * 256]),
        "x-request-id": LATIN,
        "accept": LATIN | mutated_text(["text/html", "*/*;q=0.5"]),
        "accept-language": LATIN | mutated_text(["id-ID,id;q=0.9", "in", "en;q=1e400"], ["in", ";q=", "-", "\0"]),
        "x-forwarded-for": LATIN
        | mutated_text(["192.0.2.1, 2001:db8::1", "fe80::1%eth0"], [",", "%", "::", "1.2.3.4"]),
        "x-forwarded-proto": LATIN,
        "x-api-key": LATIN,
        "origin": LATIN | mutated_text(["https://app.example.org"]),
    },
).map(lambda headers: {name: re.sub("[\0\r\n]|[^\0-\xff]", "", value) for name, value in headers.items()})


def test_headers(devices: None, api: Api, settings: Any) -> None:
    settings.TRUSTED_PROXIES = 1
    read = st.sampled_from([("GET", "/api/devices"), ("GET", "/api/device/2"), ("GET", "/api/devices/changes")])

    def check(route: tuple[str, str], headers: dict[str, str], number: int) -> None:
        body = {"device_name": f"Name {number}"} if route[0] == "PATCH" else device_payload(number)
        assert_envelope(api(*route, None if route[0] in ("GET", "DELETE") else body, **headers))

    fuzz(check, WRITES | read, HEADERS, st.integers(1, 9))


def test_client_ip_parser(settings: Any) -> None:
    settings.TRUSTED_PROXIES = 1

    def check(text: str) -> None:
        address = client_ip.client_ip(RequestFactory().get("/", headers={"x-forwarded-for": text}))
        assert address is None or len(address) <= 39
        assert address is None or client_ip.client_ip(RequestFactory(REMOTE_ADDR=address).get("/")) in (
            None,
            "127.0.0.1",
            address,
        )

    fuzz(
        check, LATIN | mutated_text(["192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1", "fe80::1%eth0"], ["%", "::", ","])
    )


def test_ip_address_is_stored_without_its_zone(api: Api, settings: Any) -> None:
    settings.TRUSTED_PROXIES = 1
    sent = {"x-forwarded-for": "fe80::1%" + "z" * 300}
    assert api.post("/api/devices", device_payload(1), **sent).status_code == 201
    assert Device.history.get().history_ip_address == "fe80::1"


def test_query_strings(devices: None, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_polling, "_slots", long_polling.Slots(total=0, per_key=0))
    known = [
        b"page=1&size=20",
        b"after=1&size=2",
        b"before=3",
        b"device_name=Cuff%201&ordering=-updated_at",
        b"device_mac=d061.aed4.5894&device_type=consumer",
        b"device_holder=rs%20harapan&search=5895",
        b"updated_since=1635821282937&created_since=0",
        b"since=now&size=2&wait=30",
        b"since=AAAAAAAAAAEAAAAAAAAAAAAAAAAAAAAAW0WOXFmDA0wt",
        b"mode=partial&on_conflict=update&dry_run=true",
    ]
    words = [
        b"%00",
        b"%FF",
        b"%ED%A0%80",
        b"%",
        b"&&",
        b"=",
        b"+",
        b"9" * 30,
        b"%EF%AC%80",
        b"-1",
        b"1e3",
        b"_",
        b"%5C",
    ]
    queries = mutated(known, words) | st.binary(max_size=40).map(lambda data: quote_from_bytes(data).encode())
    paths = st.sampled_from(["/api/devices", "/api/devices/changes", "/api/device/1", "/api/device/9"])

    def check(path: str, query: bytes) -> None:
        text = query.decode("latin-1").replace("#", "")
        assert_envelope(api.client.get(path, QUERY_STRING=text, headers=api.headers))

    fuzz(check, paths, queries)


LINES = "device_name,device_mac,device_type,device_holder\r\nCuff 1,d061.aed4.5894,consumer,RS Harapan\r\n"
CSVS = [
    LINES.encode(),
    LINES.replace(",", ";").encode("utf-8-sig"),
    LINES.replace(",", "\t").encode("utf-16"),
    "\r\n".join(f'"{line}"' for line in LINES.splitlines()).encode(),
    "Daftar alat\r\n\r\nID,MAC,TYPE,HOLDER,catatan\r\n1-2,112233445566,CORPORATE,RS S\u00e9hat,x\r\n".encode("cp1252"),
    b'id,device_name,device_mac,device_type\n2,\'=1+1,D0-61-AE-D4-58-94,CONSUMER\n,"a\nb",1.1E+11,x\n',
]
CSV_WORDS = [
    b"\0",
    b"\xff\xfe",
    b'"',
    b"\r",
    b"\n",
    b",",
    b";",
    b"'",
    b"\xef\xbb\xbf",
    b"1E+11",
    b"id,",
    b"#N/A",
    b"\x1a",
]


def read_all(data: bytes) -> list[spreadsheet.Row]:
    """Return all rows of a file, or none if it is rejected. Each cell must be text without surrounding spaces."""
    try:
        with spreadsheet.open_sheet(BytesIO(data)) as sheet:
            rows = list(sheet.rows)
    except header.UnreadableFile:
        return []
    for row in rows:
        device_fields.validate(row.cells)
        assert all(isinstance(text, str) and text == text.strip() for text in row.cells.values())
    return rows


def test_csv_files() -> None:
    def check(data: bytes) -> None:
        read_all(data)

    fuzz(check, mutated(CSVS, CSV_WORDS) | st.binary(max_size=200), examples=300)


@pytest.mark.parametrize("ending", [".csv", ".xlsx"])
def test_exported_files_are_read_with_the_same_values(ending: str) -> None:
    text = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20) | TEXTS

    def clean_or_none(value: str) -> str | None:
        try:
            return device_fields.clean_text(value)
        except ValidationError:
            return None

    names = text.map(clean_or_none).filter(bool)

    def check(names: list[str]) -> None:
        rows = [(name, f"00:00:00:00:00:{n:02X}", "CONSUMER", name) for n, name in enumerate(names)]
        file = BytesIO()
        spreadsheet.write(file, ending, rows, header.COLUMNS)
        read = read_all(file.getvalue())
        assert [(row.cells["device_name"], row.cells["device_holder"]) for row in read] == [(n, n) for n in names]
        assert not any(row.conversions for row in read)

    fuzz(check, st.lists(names, min_size=1, max_size=5), examples=50)


def test_escaped_cells_are_unescaped_to_the_same_text() -> None:
    def check(text: str) -> None:
        assert csv_escaping.unescape(csv_escaping.escape(text)) == text
        for column in ("id", *header.COLUMNS):
            for is_typed in (False, True):
                read, _conversion = cells.read_cell(column, text, is_typed=is_typed)
                assert isinstance(read, str)

    fuzz(
        check,
        TEXTS | mutated_text(["=1+1", "'x", "1-2", "0012", "1E5", "@a", "''"], ["'", "=", "\t", "-"]),
        examples=300,
    )


def workbook() -> bytes:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(["Alat", None, datetime(2021, 11, 2)])  # noqa: DTZ001
    sheet.append(["ID", "MAC", "TYPE", "HOLDER"])
    sheet.append(["Cuff 1", "d061.aed4.5894", "consumer", "RS Harapan"])
    sheet.append([7, 112233445566, True, 1.5e300])
    sheet.append(["=1+1", datetime(2021, 11, 2), "#N/A", None])  # noqa: DTZ001
    sheet.merge_cells("A6:B7")
    book.create_sheet("hidden").sheet_state = "hidden"
    file = BytesIO()
    book.save(file)
    return file.getvalue()


def exported_workbook() -> bytes:
    file = BytesIO()
    spreadsheet.write(file, ".xlsx", [("1", "Cuff", MACS[0], "CONSUMER", "unknown")])
    return file.getvalue()


BOOKS = [workbook(), exported_workbook()]
XML_WORDS = [
    b'r="XFD1048577"',
    b'r="A0"',
    b'r="ZZZZ9"',
    b't="s"',
    b't="e"',
    b't="d"',
    b't="b"',
    b't="inlineStr"',
    b"<v>-1</v>",
    b"<v>1e999</v>",
    b"<v>NaN</v>",
    b"<v>99999999999</v>",
    b"<c/>",
    b"<row/>",
    b"<!DOCTYPE a [<!ENTITY b 'c'>]>&b;",
    b"&#0;",
    b'r="9999999999999"',
    b's="99999"',
    b"</row>",
    b'state="visible"',
    b'dimension ref="A1:XFD1048576"',
    b'Target="../x"',
    b"<is><t>_x0000_</t></is>",
    b"\xff\xfe",
    b'ref="A1:A1"',
    b'date1904="1"',
    b"xmlns",
    b"<f>1</f>",
    b'count="999999999"',
]


@st.composite
def damaged_workbook(draw: st.DrawFn) -> bytes:
    """Return a workbook with changed bytes, or with parts that were changed, removed, renamed or overwritten."""
    data = draw(st.sampled_from(BOOKS))
    if draw(st.booleans()):
        return draw(mutated([data], [b"PK\x01\x02", b"PK\x05\x06", b"\xff\xff\xff\xff", b"\0\0\0\0"]))
    with ZipFile(BytesIO(data)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    names = sorted(parts)
    for name in draw(st.lists(st.sampled_from(names), min_size=1, max_size=2)):
        edit = draw(st.sampled_from(["change", "change", "change", "remove", "copy", "rename"]))
        if edit == "remove":
            parts.pop(name, None)
        elif edit == "copy":
            parts[name] = parts.get(draw(st.sampled_from(names)), b"")
        elif edit == "rename":
            parts[name.upper()] = parts.pop(name, b"")
        else:
            parts[name] = draw(mutated([parts.get(name, b"<a/>")], XML_WORDS))
    file = BytesIO()
    with ZipFile(file, "w", ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return file.getvalue()


@pytest.mark.filterwarnings("ignore::UserWarning")  # openpyxl warns about unknown styles and extensions
def test_workbooks() -> None:
    def check(data: bytes) -> None:
        read_all(data)

    fuzz(check, damaged_workbook(), examples=150)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_previews_of_imported_files(devices: None) -> None:
    user = get_user_model().objects.create_superuser("operator")
    actor = Actor(Channel.ADMIN, user_id=user.pk, scope=scopes.scope_for_user(user))

    def check(data: bytes) -> None:
        try:
            upload = preview.create_preview(BytesIO(data), "devices.csv", actor)
        except header.UnreadableFile:
            return
        assert preview.refresh_preview(upload, actor) is False

    fuzz(check, mutated(CSVS, CSV_WORDS) | damaged_workbook(), examples=60)


def test_api_keys_in_headers(db: None) -> None:
    known = issue("known").text

    def check(sent: str) -> None:
        header = re.sub("[\0\r\n]|[^\0-\xff]", "", sent)
        response = Api(header).get("/api/devices")
        assert response.status_code == (200 if header == known else 401)

    fuzz(check, LATIN | mutated_text([known], ["cxp_", "cxt_"]))
