"""Compare the registry with a model of it after random sequences of operations.

`make test` runs 30 sequences of 30 steps, `make test-model` 200 of 50. MODEL_EXAMPLES and MODEL_STEPS set the numbers.
"""

import os
import re
from collections import Counter
from typing import Any
from urllib.parse import urlencode

from django.db import transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from devices import registry
from devices.access.actor import SYSTEM
from devices.db.triggers import counts
from devices.models import Device, Hospital
from devices.registry import hospitals
from devices.tests.support.client import Api, issue
from devices.values.errors import ValidationFailed

HOSPITALS = ("RS Harapan", "RS Sehat")
# There are few values of each kind, so that they conflict.
NAMES = st.sampled_from([f"Cuff {n}" for n in range(6)])
MACS = st.sampled_from([f"00:00:00:00:00:0{n}" for n in range(1, 7)])
TYPES = st.sampled_from(["CONSUMER", "CORPORATE"])
NEW_HOSPITAL = "RS Baru"
HOLDERS = st.sampled_from([*HOSPITALS, "unknown", NEW_HOSPITAL])
WHO = st.sampled_from(["a", "b", "both", "all", "reader"])
SEARCHES = st.sampled_from(["CUFF 1", "harapan", "sehat", "0000:0003", "f 4", "nothing"])
ORDERINGS = st.sampled_from(["id", "-id", "device_name", "-device_name", "updated_at", "-updated_at"])
FIELDS = ("device_name", "device_mac", "device_type", "device_holder")
ITEMS = st.fixed_dictionaries(
    {"device_name": NAMES, "device_mac": MACS, "device_type": TYPES}, optional={"device_holder": HOLDERS}
)
CHANGES = st.fixed_dictionaries(
    {}, optional={"device_name": NAMES, "device_mac": MACS, "device_type": TYPES, "device_holder": HOLDERS}
)


FILTERS = {
    "device_name": NAMES,
    "device_mac": MACS.map(lambda mac: mac.replace(":", "").lower()),
    "device_type": TYPES.map(str.lower),
    "device_holder": HOLDERS.map(str.upper),
    "search": SEARCHES,
}


def matches(device: dict[str, str], filters: dict[str, str]) -> bool:
    """Return whether the device matches all of these query parameters."""
    for name, value in filters.items():
        if name == "search":
            mac = value.replace(":", "") in device["device_mac"].replace(":", "")
            texts = (device["device_name"].lower(), device["device_holder"].lower())
            if not mac and not any(value.lower() in text for text in texts):
                return False
        elif re.sub("[:]", "", device[name]).lower() != value.lower():
            return False
    return True


def limited_to(own: list[Hospital] | None) -> dict[str, list[Hospital]]:
    """Return the settings of a key of these hospitals; None: of all hospitals."""
    return {} if own is None else {"hospitals": own}


class Model(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.before = transaction.savepoint()
        own = hospitals.get_or_create(HOSPITALS, SYSTEM)
        self.hospitals = set(HOSPITALS)
        self.scope = {"a": HOSPITALS[:1], "b": HOSPITALS[1:], "both": HOSPITALS, "all": None, "reader": None}
        self.apis = {
            who: Api(
                issue(
                    who, **limited_to(names and [own[name.lower()] for name in names]), read_only=who == "reader"
                ).text
            )
            for who, names in self.scope.items()
        }
        self.devices: dict[int, dict[str, str]] = {}
        self.versions: Counter[int] = Counter()
        self.tags: dict[int, tuple[str, int]] = {}  # the last seen ETag of a device, and its version
        self.copies: dict[str, dict[int, dict[str, str]]] = {who: {} for who in self.apis}  # by the change feed
        self.next_paths = dict.fromkeys(self.apis, "/api/devices/changes?size=3")
        self.retired: dict[int, dict[str, str]] = {}

    def teardown(self) -> None:
        """Roll back everything, because records cannot be deleted."""
        transaction.savepoint_rollback(self.before)

    def visible(self, who: str) -> dict[int, dict[str, str]]:
        """Return the devices in the scope of the client."""
        own = self.scope[who]
        return {pk: device for pk, device in self.devices.items() if own is None or device["device_holder"] in own}

    def as_read(self, who: str, item: dict[str, str]) -> dict[str, str]:
        """Return the item as the registry reads it: for a key of one hospital, `unknown` means that hospital."""
        own = self.scope[who]
        if item.get("device_holder") == "unknown" and own and len(own) == 1:
            return {**item, "device_holder": own[0]}
        return item

    def holder_status(self, who: str, item: dict[str, str], *, is_new: bool, refuse: bool) -> int | None:
        """Return the status with which the hospital of an item is rejected; None if it is allowed."""
        own, holder = self.scope[who], item.get("device_holder", "unknown" if is_new else None)
        if own is None:
            return 400 if refuse and holder not in (None, "unknown", *self.hospitals) else None
        if holder is None or holder in own or (is_new and len(own) == 1 and "device_holder" not in item):
            return None
        if holder == "unknown":
            return 400 if is_new else 403
        return 400 if refuse else 403

    def check_new_hospitals(self, response: Any, items: list[dict[str, str]], *, dry_run: bool = False) -> None:
        """Check that the response has the hospitals that it registered, and no others."""
        new = {item["device_holder"] for item in items if "device_holder" in item} - self.hospitals - {"unknown"}
        registered = response.json().get("hospitals_registered", [])
        assert {row["hospital_name"] for row in registered} == new
        assert all((row["hospital_id"] is None) == dry_run for row in registered)
        if not dry_run:
            self.hospitals |= new

    def change(self, pk: int, changes: dict[str, str]) -> None:
        if self.devices[pk] | changes != self.devices[pk]:
            self.devices[pk] |= changes
            self.versions[pk] += 1

    def error_status(self, who: str, pk: int, changes: dict[str, str], *, refuse: bool = False) -> int | None:
        """Return the status with which a change of a device is rejected; None if it is allowed."""
        if who == "reader":
            return 403
        if pk not in self.visible(who):
            return 404
        if not changes:
            return 400
        if status := self.holder_status(who, changes, is_new=False, refuse=refuse):
            return status
        return 409 if self.conflicts(changes, but=pk) else None

    def conflicts(self, item: dict[str, str], but: int | None = None) -> bool:
        """Return whether another device has the name or MAC address of the item."""
        return any(
            device[field] == item.get(field)
            for pk, device in self.devices.items()
            if pk != but
            for field in ("device_name", "device_mac")
        )

    @rule(who=WHO, items=st.lists(ITEMS, min_size=1, max_size=3), refuse=st.booleans())
    def register(self, who: str, items: list[dict[str, str]], refuse: bool) -> None:
        own = self.scope[who]
        response = self.apis[who].post("/api/devices" + "?unknown_holder=refuse" * refuse, items)
        items = [self.as_read(who, item) for item in items]
        statuses = {self.holder_status(who, item, is_new=True, refuse=refuse) for item in items}
        is_duplicate = any(len({item[field] for item in items}) < len(items) for field in ("device_name", "device_mac"))
        if who == "reader":
            expected = 403
        elif is_duplicate or 400 in statuses:
            expected = 400
        elif 403 in statuses:
            expected = 403
        else:
            expected = 409 if any(map(self.conflicts, items)) else 201
        assert response.status_code == expected, response.json()
        if expected == 201:
            for item, device in zip(items, response.json()["data"], strict=True):
                assert device["id"] not in self.devices | self.retired
                self.devices[device["id"]] = {"device_holder": own[0] if own else "unknown", **item}
            self.check_new_hospitals(response, items)

    @precondition(lambda self: self.devices)
    @rule(who=WHO, changes=CHANGES, dry_run=st.booleans(), refuse=st.booleans(), data=st.data())
    def update(self, who: str, changes: dict[str, str], dry_run: bool, refuse: bool, data: st.DataObject) -> None:
        pk = data.draw(st.sampled_from(sorted(self.devices)))
        query = f"?dry_run={str(dry_run).lower()}" + "&unknown_holder=refuse" * refuse
        response = self.apis[who].patch(f"/api/device/{pk}{query}", changes)
        changes = self.as_read(who, changes)
        assert response.status_code == (self.error_status(who, pk, changes, refuse=refuse) or 200), response.json()
        if response.status_code == 200:
            returned = {field: response.json()["data"][field] for field in FIELDS}
            assert returned == self.devices[pk] | changes
            self.check_new_hospitals(response, [changes], dry_run=dry_run)
            if not dry_run:
                self.change(pk, changes)

    @precondition(lambda self: self.devices)
    @rule(who=WHO, item=ITEMS, by=st.sampled_from(["address", "id", "mac"]), data=st.data())
    def replace(self, who: str, item: dict[str, str], by: str, data: st.DataObject) -> None:
        pk = data.draw(st.sampled_from(sorted(self.devices)))
        if by == "mac":
            item = item | {"device_mac": self.devices[pk]["device_mac"]}
        path = f"/api/device/{pk}" if by == "address" else "/api/device"
        response = self.apis[who].put(path, {**item, "id": pk} if by == "id" else item)
        item = self.as_read(who, item)
        assert response.status_code == (self.error_status(who, pk, item) or 200), response.json()
        if response.status_code == 200:
            assert response.json()["data"]["id"] == pk
            self.check_new_hospitals(response, [item])
            self.change(pk, item)

    @precondition(lambda self: self.devices)
    @rule(who=WHO, data=st.data())
    def look(self, who: str, data: st.DataObject) -> None:
        pk = data.draw(st.sampled_from(sorted(self.devices)))
        response = self.apis[who].get(f"/api/device/{pk}")
        assert response.status_code == (200 if pk in self.visible(who) else 404)
        if response.status_code == 200:
            assert {field: response.json()["data"][field] for field in FIELDS} == self.devices[pk]
            self.tags[pk] = response["ETag"], self.versions[pk]

    @precondition(lambda self: self.tags.keys() & self.devices.keys())
    @rule(who=WHO, name=NAMES, data=st.data())
    def change_with_if_match(self, who: str, name: str, data: st.DataObject) -> None:
        pk = data.draw(st.sampled_from(sorted(self.tags.keys() & self.devices.keys())))
        tag, version = self.tags[pk]
        changes = {"device_name": name}
        response = self.apis[who].patch(f"/api/device/{pk}", changes, **{"if-match": tag})
        error = self.error_status(who, pk, changes)
        if error in (None, 409) and version != self.versions[pk]:
            error = 412
        assert response.status_code == (error or 200), response.json()
        if response.status_code == 200:
            self.change(pk, changes)

    @precondition(lambda self: self.devices)
    @rule(who=WHO, data=st.data())
    def retire(self, who: str, data: st.DataObject) -> None:
        pk = data.draw(st.sampled_from(sorted(self.devices)))
        expected = 403 if who == "reader" else 200 if pk in self.visible(who) else 404
        assert self.apis[who].delete(f"/api/device/{pk}").status_code == expected
        if expected == 200:
            self.retired[pk] = self.devices.pop(pk)

    @precondition(lambda self: self.retired)
    @rule(data=st.data())
    def restore(self, data: st.DataObject) -> None:
        pk = data.draw(st.sampled_from(sorted(self.retired)))
        try:
            registry.restore([pk], SYSTEM)
        except ValidationFailed:
            assert self.conflicts(self.retired[pk])
        else:
            assert not self.conflicts(self.retired[pk])
            self.devices[pk] = self.retired.pop(pk)
            self.versions[pk] += 1

    @rule(holder=st.sampled_from([*HOSPITALS, "unknown"]), device_type=TYPES)
    def transfer(self, holder: str, device_type: str) -> None:
        hospital = Hospital.objects.by_name([holder.lower()]).get(holder.lower())
        registry.transfer(Device.objects.filter(device_type=device_type), hospital, SYSTEM)
        for pk, device in self.devices.items():
            if device["device_type"] == device_type:
                self.change(pk, {"device_holder": holder})

    @rule(name=st.sampled_from(["RSUD Harapan", "RS Harapan"]))
    def rename(self, name: str) -> None:
        """Hospital A is found by both names. All of its devices have the current name."""
        hospital = Hospital.objects.by_name(["rs harapan"])["rs harapan"]
        hospitals.rename(hospital, name, SYSTEM)
        hospitals.rename(hospital, "RS Harapan", SYSTEM)

    @rule(who=WHO, ordering=ORDERINGS, size=st.integers(1, 4))
    def walk(self, who: str, ordering: str, size: int) -> None:
        """Follow `next` to the last page, and `previous` back. Both return the same devices, in order."""
        forward, last = self.follow_pages(who, f"/api/devices?ordering={ordering}&size={size}", "next")
        assert sorted(row["id"] for row in forward) == sorted(self.visible(who))
        field = ordering.removeprefix("-")
        assert [row[field] for row in forward] == sorted((row[field] for row in forward), reverse=ordering[0] == "-")
        back, _first = self.follow_pages(who, last, "previous")
        assert {row["id"] for row in back} == set(self.visible(who))

    def follow_pages(self, who: str, url: str, direction: str) -> tuple[list[dict[str, Any]], str]:
        """Return the devices of all pages, and the URL of the last page."""
        rows: list[dict[str, Any]] = []
        while True:
            response = self.apis[who].get(url).json()
            assert response["pagination"]["total"] == len(self.visible(who))
            rows += response["data"]
            next_url = response["pagination"][direction]
            if not next_url:
                return rows, url
            url = next_url

    @rule(who=WHO, filters=st.fixed_dictionaries({}, optional=FILTERS))
    def find(self, who: str, filters: dict[str, str]) -> None:
        response = self.apis[who].get("/api/devices?" + urlencode(filters)).json()
        expected = {pk for pk, device in self.visible(who).items() if matches(device, filters)}
        assert {row["id"] for row in response["data"]} == expected
        assert response["pagination"]["total"] == len(expected)

    @invariant()
    def every_key_lists_the_devices_in_its_scope(self) -> None:
        for who in self.apis:
            rows, _last = self.follow_pages(who, "/api/devices?size=2", "next")
            assert {row["id"]: {field: row[field] for field in FIELDS} for row in rows} == self.visible(who)
            assert len(rows) == len(self.visible(who))

    @invariant()
    def copies_by_the_change_feed_are_complete(self) -> None:
        for who, api in self.apis.items():
            while True:
                response = api.get(self.next_paths[who]).json()
                self.next_paths[who] = response["pagination"]["next"]
                for change in response["data"]:
                    device = change["device"]
                    if change["action"] == "deleted":
                        del self.copies[who][device["id"]]
                    else:
                        assert (device["id"] in self.copies[who]) == (change["action"] == "updated")
                        self.copies[who][device["id"]] = {field: device[field] for field in FIELDS}
                if not response["data"]:
                    break
            assert self.copies[who] == self.visible(who)

    @invariant()
    def retired_devices_are_410_in_scope_and_404_out_of_scope(self) -> None:
        for who, api in self.apis.items():
            for pk, device in self.retired.items():
                own = self.scope[who]
                expected = 410 if own is None or device["device_holder"] in own else 404
                assert api.get(f"/api/device/{pk}").status_code == expected

    @invariant()
    def the_counts_are_right(self) -> None:
        assert counts.find_drift() == []


def test_registry_behaves_like_the_model(db: None) -> None:
    run_state_machine_as_test(
        Model,
        settings=settings(
            max_examples=int(os.environ.get("MODEL_EXAMPLES", "30")),
            stateful_step_count=int(os.environ.get("MODEL_STEPS", "30")),
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
