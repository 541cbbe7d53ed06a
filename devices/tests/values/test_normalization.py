"""Texts that look the same are stored as the same text, from all sources."""

import unicodedata

import pytest
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.test import Client

from devices.accounts import users
from devices.models import ApiKey, Device, Hospital, StaffUser
from devices.registry import device_fields
from devices.tests.support.admin.api_keys import form as key_form
from devices.tests.support.admin.users import add_user
from devices.tests.support.client import Api, errors, issue
from devices.tests.support.factories import device_payload, register
from devices.tests.support.imports import choose, confirm, csv
from devices.values import hospital_names, normalization

EVERY_CHARACTER = [chr(point) for point in range(0x110000)]
SAME = {  # names that a client can send, and the stored names
    "NFD": ("Cafe\u0301 3", "Caf\u00e9 3"),
    "no-break space": ("Alfa\u00a03", "Alfa 3"),
    "ideographic space": ("Alfa\u30003", "Alfa 3"),
    "line separators": ("Alfa\u2028\u20293", "Alfa 3"),
    "a newline and a tab": ("Alfa\r\n\t3", "Alfa 3"),
    "Braille blank": ("\u2800Alfa\u28003", "Alfa 3"),
    "zero-width space": ("Al\u200bfa 3\u200b", "Alfa 3"),
    "byte-order mark": ("\ufeffAlfa 3", "Alfa 3"),
    "soft hyphen": ("Al\u00adfa 3", "Alfa 3"),
    "direction marks": ("\u200eAlfa\u200f 3\u061c", "Alfa 3"),
    "word joiner": ("Alfa\u2060 3", "Alfa 3"),
    "Hangul filler": ("Alfa 3\u3164\uffa0", "Alfa 3"),
    "tags": ("Alfa 3\U000e0041\U000e007f", "Alfa 3"),
    "joined emoji": ("\U0001f469\u200d\u2695\ufe0f 3", "\U0001f469\u2695 3"),
    "joiner between a letter and its mark": ("e\u034f\u0301", "\u00e9"),
}
BLANK = ["\u200b", "\u3164", "\u2800", "\u00a0", "\u2028", "\ufeff \u00ad", "\U000e0020", "\U0001d159"]
REJECTED = ["\u202e", "\u202a", "\u2066", "\u2069", "\ue000", "\U0010fffd", "\ufdd0", "\U0001ffff", "\ufff9", "\u0600"]


@pytest.mark.parametrize(("sent", "stored"), SAME.values(), ids=SAME)
def test_texts_that_look_the_same_are_stored_as_one(sent: str, stored: str) -> None:
    assert device_fields.clean_text(sent) == device_fields.clean_text(stored) == stored


@pytest.mark.parametrize("text", BLANK)
def test_text_without_visible_characters_is_blank(text: str) -> None:
    with pytest.raises(ValidationError) as caught:
        device_fields.clean_text(text)
    assert caught.value.code == "blank"


@pytest.mark.parametrize("character", REJECTED)
def test_misleading_and_meaningless_characters_are_rejected(character: str) -> None:
    with pytest.raises(ValidationError) as caught:
        device_fields.clean_text(f"Alfa{character}3")
    assert caught.value.code == "characters"


def test_stored_character_is_visible_and_in_normal_form() -> None:
    hidden = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp", "Zs"}
    for character in EVERY_CHARACTER:
        text = normalization.normalize(f"a{character}a")
        if normalization.is_rejected(text):
            continue
        assert not {unicodedata.category(each) for each in text if each != " "} & hidden, ascii(character)
        assert normalization.normalize(text) == text == unicodedata.normalize("NFC", text), ascii(character)


def test_folded_name_fits_its_column_and_folding_is_idempotent() -> None:
    for character in EVERY_CHARACTER:
        folded = hospital_names.fold_name(character)
        assert len(folded) <= 3 * len(normalization.normalize(character)), ascii(character)
        assert hospital_names.fold_name(folded) == folded, ascii(character)


def test_longest_decomposition_is_known() -> None:
    longest = max(len(unicodedata.normalize("NFD", character)) for character in EVERY_CHARACTER)
    assert longest == normalization.MAX_DECOMPOSITION


def test_length_is_counted_after_normalization() -> None:
    name = "\u1f82" * 255  # four characters each in NFD
    assert device_fields.clean_text(unicodedata.normalize("NFD", name)) == name
    for longer in (f"{name}a", unicodedata.normalize("NFD", f"{name}a"), "a\u0327\u0301" * 300_000):
        with pytest.raises(ValidationError) as caught:
            device_fields.clean_text(longer)
        assert caught.value.code == "max_length"


def test_text_too_long_for_a_name_is_not_converted_to_nfc(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = []

    def convert(_form: str, text: str) -> str:
        lengths.append(len(text))
        return text

    monkeypatch.setattr(unicodedata, "normalize", convert)
    normalization.normalize("e\u0301" * 600)
    normalization.normalize("\u0327\u0301" * 200)  # sorting marks takes quadratic time
    normalization.normalize("e\u0301" * 500)
    normalization.normalize("\u0327\u0301" * 100)
    assert lengths == [1_000, 200]


# --- The API


@pytest.mark.parametrize(("sent", "stored"), SAME.values(), ids=SAME)
def test_second_device_with_the_same_looking_name_is_409(api: Api, sent: str, stored: str) -> None:
    first = api.post("/api/device", device_payload(1, device_name=sent))
    assert first.json()["data"][0]["device_name"] == stored
    assert errors(api.post("/api/device", device_payload(2, device_name=stored))) == [("device_name", "unique")]
    assert errors(api.post("/api/device", device_payload(2, device_name=sent))) == [("device_name", "unique")]


@pytest.mark.parametrize("sent", ["RS\u00a0Harapan", "rs  harapan", "RS\u200b Harapan", "\ufeffRS Harapan\u2028"])
def test_hospital_with_the_same_looking_name_is_one_hospital(api: Api, rs_a: Hospital, sent: str) -> None:
    assert (
        api.post("/api/device", device_payload(1, device_holder=sent)).json()["data"][0]["device_holder"] == rs_a.name
    )
    assert Hospital.objects.count() == 1


def test_hospital_in_another_normal_form_and_case_is_one_hospital(api: Api) -> None:
    for number, name in enumerate(["RS Ce\u0301leste", "rs c\u00c9leste", "RS CE\u0301LESTE", "RS C\u00e9leste"], 1):
        assert api.post("/api/device", device_payload(number, device_holder=name)).status_code == 201
    assert [hospital.name for hospital in Hospital.objects.all()] == ["RS C\u00e9leste"]


@pytest.mark.parametrize("sent", ["unkno\u200bwn", "\u3164UNKNOWN", "un\u00adknown\u00a0"])
def test_unknown_with_invisible_characters_means_no_hospital(api: Api, sent: str) -> None:
    assert (
        api.post("/api/device", device_payload(1, device_holder=sent)).json()["data"][0]["device_holder"] == "unknown"
    )
    assert not Hospital.objects.exists()


def test_mac_with_invisible_characters_around_it_is_parsed(api: Api) -> None:
    device = api.post("/api/device", device_payload(1, device_mac="\u200ed061.aed4.5894\ufeff")).json()["data"][0]
    assert device["device_mac"] == "D0:61:AE:D4:58:94"


@pytest.mark.parametrize("sent", ["Cafe\u0301\u00a03", "Caf\u00e9 3", "\ufeffCafe\u0301\u200b  3"])
@pytest.mark.parametrize("parameter", ["device_name", "search", "device_holder"])
def test_filter_normalizes_its_value(api: Api, parameter: str, sent: str) -> None:
    register(device_payload(1, device_name="Caf\u00e9 3", device_holder="Caf\u00e9 3"), device_payload(2))
    found = api.client.get("/api/devices", {parameter: sent}, headers=api.headers).json()["data"]
    assert [device["device_name"] for device in found] == ["Caf\u00e9 3"]


def test_key_of_a_hospital_can_send_any_spelling_of_its_name(api_a: Api) -> None:
    assert api_a.post("/api/device", device_payload(1, device_holder="RS\u00a0Harapan\u200b")).status_code == 201


# --- Admin, import and commands


@pytest.mark.parametrize("sent", ["Cafe\u0301\u00a03", "\u200bCaf\u00e9  3"])
def test_admin_search_normalizes_its_text(operator: Client, sent: str) -> None:
    register(device_payload(1, device_name="Caf\u00e9 3", device_holder="RS Caf\u00e9 3"))
    issue("Caf\u00e9 3")
    users.invite("Caf\u00e9 3", "cafe@rs.example", [])
    for page in (
        "devices/device",
        "devices/historicaldevice",
        "devices/hospital",
        "devices/apikey",
        "devices/staffuser",
    ):
        shown = operator.get(f"/admin/{page}/", {"q": sent})
        assert len(shown.context["cl"].result_list) == 1, page


def test_import_with_other_spellings_of_a_hospital_reports_no_new_one(operator: Client, rs_a: Hospital) -> None:
    lines = [device_payload(1, device_holder="RS\u00a0Harapan"), device_payload(2, device_holder="rs\u200b harapan")]
    url = choose(operator, csv(*lines))["location"]
    assert "will be registered" not in operator.get(url).content.decode()
    confirm(operator, url)
    assert {device.device_holder for device in Device.objects.select_related("device_holder")} == {rs_a}


def test_import_finds_names_that_look_the_same(operator: Client) -> None:
    lines = [
        device_payload(1, device_name="Cafe\u0301", device_holder=""),
        device_payload(2, device_name="Caf\u00e9", device_holder=""),
    ]
    url = choose(operator, csv(*lines))["location"]
    assert "Row 2 of the file has the same name." in operator.get(url).content.decode()


def test_name_padded_with_invisible_characters_is_not_truncated(operator: Client) -> None:
    name = "".join(f"{letter}\u200b" for letter in "x" * 255)
    url = choose(operator, csv(device_payload(1, device_name=name, device_holder="")))["location"]
    assert operator.get(url).context["rows"][0]["fields"][0]["new"] == "x" * 255


def test_new_hospital_with_letters_of_another_alphabet_is_shown_before_it_is_registered(
    operator: Client, rs_a: Hospital
) -> None:
    url = choose(operator, csv(device_payload(1, device_holder="RS H\u0430rapan")))["location"]  # a Cyrillic letter
    assert "registered: RS H\u0430rapan." in operator.get(url).content.decode()


def test_names_of_keys_and_users_are_normalized(operator: Client) -> None:
    operator.post("/admin/devices/apikey/add/", key_form(name="Ward\u00a0app\u200b"))
    call_command("create_api_key", "Lab\u2003app", "--hospital", "RS\u00a0Harapan\u200b")
    assert set(ApiKey.objects.values_list("name", flat=True)) == {"Ward app", "Lab app"}
    add_user(operator, *Hospital.objects.all(), first_name="Cafe\u0301\u00a0A")
    assert [hospital.name for hospital in StaffUser.objects.get(first_name="Caf\u00e9 A").hospitals.all()] == [
        "RS Harapan"
    ]


def test_device_that_was_stored_before_normalization_can_be_read_and_sent_back(api: Api) -> None:
    [device] = register(device_payload(1))
    Device.objects.filter(pk=device.pk).update(device_name="Cafe\u0301\u200b 1")
    path = f"/api/device/{device.pk}"
    row = api.get(path).json()["data"]
    assert row["device_name"] == "Cafe\u0301\u200b 1"
    assert api.patch(path, {"device_type": "CORPORATE"}).status_code == 200
    assert api.put(path, row).json()["data"]["device_name"] == "Caf\u00e9 1"
