"""Misspelled hospitals: what a request does with a name that no hospital has, and what the response says about it."""

from typing import Any

import pytest

from devices.access.actor import SYSTEM
from devices.api.field_names import spell
from devices.models import ApiKey, Device, Hospital
from devices.registry import hospitals, similar_hospitals
from devices.tests.support.client import Api, errors, issue
from devices.tests.support.factories import device_payload, register
from devices.values.scope import UNRESTRICTED

DEVICES = "/api/devices"
REFUSE = "unknown_holder=refuse"
NAMINGS = ApiKey.Naming.values
MODES = ["", "mode=all", "dry_run=true", "mode=all&dry_run=true", "on_conflict=update"]
ITEM_BY_ITEM = ["mode=partial", "mode=partial&dry_run=true", "mode=partial&on_conflict=update"]


def named(number: int, name: object) -> dict[str, Any]:
    return device_payload(number, device_holder=name)


def new_hospitals(response: Any) -> list[tuple[int | None, str]]:
    """Return the hospitals that the response says it has registered."""
    rows = response.json().get("hospitals_registered", [])
    return [(row["hospital_id"], row["hospital_name"]) for row in rows]


@pytest.fixture
def careful(rs_a: Hospital, rs_b: Hospital) -> Api:
    """A client with a key of all hospitals that registers none."""
    return Api(issue("careful", unknown_holder="refuse").text)


def request_to(api: Api, kind: str, query: str, device: Device, name: str) -> Any:
    """Send a request of this kind that would give the device, or a new one, to the hospital."""
    if kind == "POST devices":
        return api.post(f"{DEVICES}?{query}", [named(7, name)])
    if kind == "POST device":
        return api.post(f"/api/device?{query}", named(7, name))
    if kind == "PUT":
        return api.put(f"/api/device/{device.pk}?{query}", named(1, name))
    if kind == "PUT by id":
        return api.put(f"/api/device?{query}", {**named(1, name), "id": device.pk})
    return api.patch(f"/api/device/{device.pk}?{query}", {"device_holder": name})


KINDS = ["POST devices", "POST device", "PUT", "PUT by id", "PATCH"]


# --- Refused


@pytest.mark.parametrize("dry_run", ["", "&dry_run=true"])
@pytest.mark.parametrize("kind", KINDS)
def test_unknown_hospital_is_refused_with_similar_names(
    api: Api, devices: dict[str, Device], kind: str, dry_run: str
) -> None:
    response = request_to(api, kind, REFUSE + dry_run, devices["a"], "rs harapn")
    assert (response.status_code, errors(response)) == (400, [("device_holder", "unknown_hospital")])
    [error] = response.json()["errors"]
    assert error["suggestions"] == ["RS Harapan"]
    assert error["message"].endswith("Did you mean “RS Harapan”?")
    assert error.get("index") == (0 if kind.startswith("POST") else None)
    assert sorted(Hospital.objects.values_list("name", flat=True)) == ["RS Harapan", "RS Sehat"]
    assert Device.objects.count() == 3


@pytest.mark.parametrize("query", ["", "unknown_holder=register"])
@pytest.mark.parametrize("kind", KINDS)
def test_parameter_does_not_loosen_the_setting_of_the_key(
    careful: Api, devices: dict[str, Device], kind: str, query: str
) -> None:
    response = request_to(careful, kind, query, devices["a"], "RS Baru")
    assert (response.status_code, errors(response)) == (400, [("device_holder", "unknown_hospital")])
    assert request_to(careful, kind, query, devices["a"], "rs SEHAT").status_code in (200, 201)


@pytest.mark.parametrize("name", [" rs  HARAPAN ", "RS Lama", "unknown", None, "", "-"])
@pytest.mark.parametrize("kind", ["POST devices", "PUT"])
def test_known_former_and_absent_names_are_accepted(
    careful: Api, devices: dict[str, Device], rs_a: Hospital, kind: str, name: Any
) -> None:
    hospitals.merge([hospitals.get_or_create(["RS Lama"], SYSTEM)["rs lama"]], rs_a, SYSTEM)
    response = request_to(careful, kind, "", devices["a"], name)
    assert response.status_code in (200, 201), response.json()
    assert new_hospitals(response) == []


@pytest.mark.parametrize("query", MODES)
def test_all_errors_of_a_list_are_reported_together(careful: Api, query: str) -> None:
    posted = [named(1, "RS Sehta"), named(2, "RS Harapan"), named(3, "Klinik Kasih"), device_payload(3)]
    response = careful.post(f"{DEVICES}?{query}", posted)
    assert response.status_code == 400
    assert [(e["index"], e["code"], e.get("suggestions")) for e in response.json()["errors"]] == [
        (0, "unknown_hospital", ["RS Sehat"]),
        (2, "unknown_hospital", []),
        (3, "duplicate", None),
        (3, "duplicate", None),
    ]
    assert not Device.objects.exists()


@pytest.mark.parametrize("query", ITEM_BY_ITEM)
def test_partial_mode_skips_devices_of_unknown_hospitals(careful: Api, query: str) -> None:
    response = careful.post(f"{DEVICES}?{query}", [named(1, "RS Sehta"), named(2, "RS Harapan")])
    first, second = response.json()["data"]
    assert (response.status_code, first["status"], second["status"]) == (207, "invalid", "created")
    assert first["errors"][0]["suggestions"] == ["RS Sehat"]
    assert new_hospitals(response) == []


def test_parameter_belongs_to_post_put_and_patch(api: Api, devices: dict[str, Device]) -> None:
    path = f"/api/device/{devices['a'].pk}"
    for response in (api.delete(f"{path}?{REFUSE}"), api.get(f"{DEVICES}?{REFUSE}"), api.get(f"{path}?{REFUSE}")):
        assert errors(response) == [("unknown_holder", "unknown_parameter")]
    assert errors(api.post(f"{DEVICES}?unknown_holder=reject", named(7, "RS Harapan"))) == [
        ("unknown_holder", "invalid_choice")
    ]


def test_parameter_is_part_of_an_idempotent_request(api: Api, rs_a: Hospital) -> None:
    key = {"idempotency-key": "one"}
    assert api.post(f"{DEVICES}?{REFUSE}", named(1, "RS Harapn"), **key).status_code == 400
    assert api.post(DEVICES, named(1, "RS Harapn"), **key).status_code == 422
    assert api.post(f"{DEVICES}?{REFUSE}", named(1, "RS Harapn"), **key).status_code == 400


def test_camel_case_key_gets_the_name_of_its_field(rs_a: Hospital) -> None:
    api = Api(issue("web", naming="camelCase", unknown_holder="refuse").text)
    assert errors(api.post(DEVICES, named(1, "RS Harapn"))) == [("deviceHolder", "unknown_hospital")]


# --- Suggestions


def test_suggestion_is_the_current_name(careful: Api, rs_a: Hospital) -> None:
    hospitals.rename(rs_a, "Klinik Utama", SYSTEM)
    response = careful.post(DEVICES, named(1, "RS Harapn"))
    assert response.json()["errors"][0]["suggestions"] == ["Klinik Utama"]


def test_at_most_three_names_are_suggested_the_best_first(careful: Api) -> None:
    hospitals.get_or_create([f"RS Harapan {place}" for place in ("Bogor", "Garut", "Malang", "Kediri")], SYSTEM)
    [error] = careful.post(DEVICES, named(1, "RS Harapan Malan")).json()["errors"]
    assert (error["suggestions"][0], len(error["suggestions"])) == ("RS Harapan Malang", 3)


def test_only_the_first_names_of_a_request_are_compared(careful: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(similar_hospitals, "MAX_NAMES", 2)
    names = ["RS Harapn", "rs harapn", "RS Sehta", "RS Seht"]
    response = careful.post(DEVICES, [named(n, name) for n, name in enumerate(names, start=1)])
    suggested = [error["suggestions"] for error in response.json()["errors"]]
    assert suggested == [["RS Harapan"], ["RS Harapan"], ["RS Sehat"], []]


def test_one_query_finds_similar_names_for_any_number_of_names(rs_a: Hospital, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(1):
        found = similar_hospitals.find_similar(
            (f"rs harapan {chr(n)}" for n in range(0x4E00, 0x4E00 + 1000)), UNRESTRICTED
        )
    assert [len(names) for names in found.values()] == [1] * 10 + [0] * 990


def test_key_of_a_hospital_is_refused_every_other_name_alike(rs_a: Hospital, rs_b: Hospital) -> None:
    api = Api(issue("ward", hospitals=[rs_a], unknown_holder="refuse").text)
    foreign, unknown = (api.post(DEVICES, named(1, name)) for name in ("RS Sehat", "RS Sehut"))
    assert foreign.status_code == 400
    assert foreign.content == unknown.content
    assert foreign.json()["errors"][0]["suggestions"] == []
    assert api.post(DEVICES, named(1, "RS Harapn")).json()["errors"][0]["suggestions"] == ["RS Harapan"]


# --- Registered


@pytest.mark.parametrize("kind", KINDS)
def test_response_has_the_hospital_that_it_registered(api: Api, devices: dict[str, Device], kind: str) -> None:
    dry = request_to(api, kind, "dry_run=true", devices["a"], " RS  Baru ")
    assert new_hospitals(dry) == [(None, "RS Baru")]
    real = request_to(api, kind, "", devices["a"], " RS  Baru ")
    assert new_hospitals(real) == [(Hospital.objects.get(name="RS Baru").pk, "RS Baru")]
    again = api.post(DEVICES, named(8, "rs baru"))
    assert (again.status_code, "hospitals_registered" in again.json()) == (201, False)


@pytest.mark.parametrize("query", ["", *ITEM_BY_ITEM])
def test_each_new_hospital_is_listed_once_by_name(api: Api, query: str) -> None:
    register(device_payload(1))
    names = ["RS Baru", "RS Asih", "rs baru", "unknown", "RS ASIH"]
    posted = [named(n, name) for n, name in enumerate(names, start=1 if "update" in query else 2)]
    response = api.post(f"{DEVICES}?{query}", posted)
    assert [name for _id, name in new_hospitals(response)] == ["RS Asih", "RS Baru"]


def test_hospital_of_an_invalid_item_is_not_registered(api: Api) -> None:
    posted = [named(1, "RS Asih"), device_payload(2, device_holder="RS Baru", device_type="PHONE")]
    response = api.post(f"{DEVICES}?mode=partial", posted)
    assert [name for _id, name in new_hospitals(response)] == ["RS Asih"]
    assert "hospitals_registered" not in api.post(DEVICES, posted).json()
    assert Hospital.objects.count() == 1


def test_sandbox_is_suggested_to_its_own_keys_only(careful: Api) -> None:
    tries = issue("tries", sandbox=True)
    [sandbox] = tries.key.scope_hospitals
    hospitals.rename(sandbox, "Test room", SYSTEM)
    for name in ("Sandbx", "Test roon"):
        for client, suggestions in ((careful, []), (Api(tries.text), ["Test room"])):
            [error] = client.post(f"{DEVICES}?{REFUSE}", named(1, name)).json()["errors"]
            assert (error["code"], error["suggestions"]) == ("unknown_hospital", suggestions)


def test_replayed_response_is_the_same(api: Api) -> None:
    first, again = (api.post(DEVICES, named(1, "RS Baru"), **{"idempotency-key": "one"}) for _ in range(2))
    assert new_hospitals(first) == [(Hospital.objects.get().pk, "RS Baru")]
    assert (again["Idempotency-Replayed"], again.content) == ("true", first.content)


@pytest.mark.parametrize("dry_run", ["", "?dry_run=true"])
@pytest.mark.parametrize("naming", NAMINGS)
@pytest.mark.parametrize("kind", [*KINDS, "batch"])
def test_new_hospitals_have_the_names_of_the_naming(
    devices: dict[str, Device], naming: str, kind: str, dry_run: str
) -> None:
    client = Api(issue("web", naming=naming).text)
    if kind == "batch":
        response = client.post(f"/api/devices/batch{dry_run}", [named(7, "RS Baru")])
    else:
        response = request_to(client, kind, dry_run.lstrip("?"), devices["a"], "RS Baru")
    new_id = None if dry_run else Hospital.objects.get(name="RS Baru").pk
    [row] = response.json()["hospitals_registered"]
    assert list(row.items()) == list(spell({"hospital_id": new_id, "hospital_name": "RS Baru"}, naming).items())


# --- No known field


@pytest.mark.parametrize(
    "body",
    [
        {"device_hodler": "RS Sehat"},
        {"id": 7, "created_at": 1, "role": []},
        {"device_holder": None},
        {"deviceHolder": " "},
        {},
    ],
)
def test_body_without_a_known_field_returns_400(api: Api, devices: dict[str, Device], body: dict[str, Any]) -> None:
    path = f"/api/device/{devices['a'].pk}"
    assert errors(api.patch(path, body)) == [(None, "no_known_field")]
    fields = ("device_name", "device_mac", "device_type")
    assert errors(api.put(path, body)) == [(field, "required") for field in fields]
    assert api.put("/api/device", {**body, "id": devices["a"].pk}).status_code == 400
    assert errors(api.post(DEVICES, body)) == [(field, "required") for field in fields]
