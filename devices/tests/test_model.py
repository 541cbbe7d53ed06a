"""The registry against a model of it: whatever is done, in whatever order, both tell the same.

`make test` runs 30 machines of 30 steps; MODEL_EXAMPLES and MODEL_STEPS make it more.
"""

import os

from django.db import transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from devices import counts, hospitals, registry
from devices.models import Device, Hospital
from devices.origin import COMMAND
from devices.problems import Refused
from devices.tests.conftest import Api, issue

HOSPITALS = ("RS Harapan", "RS Sehat")
# Few of each, so that they collide.
NAMES = st.sampled_from([f"Cuff {n}" for n in range(6)])
MACS = st.sampled_from([f"00:00:00:00:00:0{n}" for n in range(6)])
TYPES = st.sampled_from(["CONSUMER", "CORPORATE"])
HOLDERS = st.sampled_from([*HOSPITALS, "unknown"])
WHO = st.sampled_from(["a", "b", "all", "reader"])
DRAFTS = st.fixed_dictionaries(
    {"device_name": NAMES, "device_mac": MACS, "device_type": TYPES}, optional={"device_holder": HOLDERS}
)
CHANGES = st.fixed_dictionaries(
    {}, optional={"device_name": NAMES, "device_mac": MACS, "device_type": TYPES, "device_holder": HOLDERS}
)


class Model(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.before = transaction.savepoint()
        own = registry.name_hospitals(HOSPITALS, COMMAND)
        self.reach = {"a": "RS Harapan", "b": "RS Sehat", "all": None, "reader": None}
        self.apis = {
            who: Api(issue(who, hospital=own.get((name or "").lower()), read_only=who == "reader").text)
            for who, name in self.reach.items()
        }
        self.devices: dict[int, dict[str, str]] = {}
        self.retired: dict[int, dict[str, str]] = {}

    def teardown(self) -> None:
        """Take everything back: what is on record cannot be deleted."""
        transaction.savepoint_rollback(self.before)

    def seen(self, who: str) -> dict[int, dict[str, str]]:
        own = self.reach[who]
        return {pk: device for pk, device in self.devices.items() if own in (None, device["device_holder"])}

    def taken(self, draft: dict[str, str], but: int | None = None) -> bool:
        return any(
            device[field] == draft.get(field)
            for pk, device in self.devices.items()
            if pk != but
            for field in ("device_name", "device_mac")
        )

    @rule(who=WHO, drafts=st.lists(DRAFTS, min_size=1, max_size=3))
    def register(self, who: str, drafts: list[dict[str, str]]) -> None:
        own = self.reach[who]
        answer = self.apis[who].post("/api/devices", drafts)
        twice = any(len({draft[field] for draft in drafts}) < len(drafts) for field in ("device_name", "device_mac"))
        beyond = own is not None and any(draft.get("device_holder", own) != own for draft in drafts)
        if who == "reader":
            expected = 403
        elif twice:
            expected = 400
        elif beyond:
            expected = 403
        else:
            expected = 409 if any(map(self.taken, drafts)) else 201
        assert answer.status_code == expected, answer.json()
        if expected == 201:
            for draft, device in zip(drafts, answer.json()["data"], strict=True):
                assert device["id"] not in self.devices | self.retired
                self.devices[device["id"]] = {"device_holder": own or "unknown", **draft}

    @precondition(lambda self: self.devices)
    @rule(who=WHO, changes=CHANGES, data=st.data())
    def update(self, who: str, changes: dict[str, str], data: st.DataObject) -> None:
        pk = data.draw(st.sampled_from(sorted(self.devices)))
        own = self.reach[who]
        answer = self.apis[who].patch(f"/api/device/{pk}", changes)
        if who == "reader":
            expected = 403
        elif pk not in self.seen(who):
            expected = 404
        elif not changes:
            expected = answer.status_code  # the contract leaves it open; what counts is that nothing changes
        elif own is not None and changes.get("device_holder", own) != own:
            expected = 403
        else:
            expected = 409 if self.taken(changes, but=pk) else 200
        assert answer.status_code == expected, answer.json()
        if expected == 200:
            self.devices[pk] |= changes

    @precondition(lambda self: self.devices)
    @rule(who=WHO, data=st.data())
    def retire(self, who: str, data: st.DataObject) -> None:
        pk = data.draw(st.sampled_from(sorted(self.devices)))
        expected = 403 if who == "reader" else 200 if pk in self.seen(who) else 404
        assert self.apis[who].delete(f"/api/device/{pk}").status_code == expected
        if expected == 200:
            self.retired[pk] = self.devices.pop(pk)

    @precondition(lambda self: self.retired)
    @rule(data=st.data())
    def restore(self, data: st.DataObject) -> None:
        pk = data.draw(st.sampled_from(sorted(self.retired)))
        try:
            registry.restore(pk, COMMAND)
        except Refused:
            assert self.taken(self.retired[pk])
        else:
            assert not self.taken(self.retired[pk])
            self.devices[pk] = self.retired.pop(pk)

    @rule(holder=HOLDERS, device_type=TYPES)
    def transfer(self, holder: str, device_type: str) -> None:
        hospital = Hospital.objects.called([holder.lower()]).get(holder.lower())
        registry.transfer(Device.objects.filter(device_type=device_type), hospital, COMMAND)
        for device in self.devices.values():
            if device["device_type"] == device_type:
                device["device_holder"] = holder

    @rule(name=st.sampled_from(["RSUD Harapan", "RS Harapan"]))
    def rename(self, name: str) -> None:
        """Hospital A answers to both of its names; what it is called now, all of its devices tell."""
        hospital = Hospital.objects.called(["rs harapan"])["rs harapan"]
        hospitals.rename(hospital, name, COMMAND)
        hospitals.rename(hospital, "RS Harapan", COMMAND)

    @invariant()
    def every_key_lists_what_it_may_see(self) -> None:
        for who, api in self.apis.items():
            found: dict[int, dict[str, str]] = {}
            url: str | None = "/api/devices?size=2"
            while url:
                answer = api.get(url).json()
                assert answer["pagination"]["total"] == len(self.seen(who))
                found |= {row["id"]: {field: row[field] for field in self.fields} for row in answer["data"]}
                url = answer["pagination"]["next"]
            assert found == self.seen(who)

    @invariant()
    def every_key_is_told_what_was_taken_out_of_its_hospital(self) -> None:
        for who, api in self.apis.items():
            for pk, device in self.retired.items():
                expected = 410 if self.reach[who] in (None, device["device_holder"]) else 404
                assert api.get(f"/api/device/{pk}").status_code == expected

    @invariant()
    def filters_find_what_they_say(self) -> None:
        for query, field, value in (
            ("device_type=CORPORATE", "device_type", "CORPORATE"),
            ("device_holder=rs%20harapan", "device_holder", "RS Harapan"),
            ("device_name=Cuff%201", "device_name", "Cuff 1"),
        ):
            answer = self.apis["all"].get(f"/api/devices?{query}").json()
            expected = {pk for pk, device in self.devices.items() if device[field] == value}
            assert {row["id"] for row in answer["data"]} == expected
            assert answer["pagination"]["total"] == len(expected)

    @invariant()
    def the_counts_are_right(self) -> None:
        assert counts.differences() == []

    fields = ("device_name", "device_mac", "device_type", "device_holder")


def test_the_registry_is_its_model(db: None) -> None:
    run_state_machine_as_test(
        Model,
        settings=settings(
            max_examples=int(os.environ.get("MODEL_EXAMPLES", "30")),
            stateful_step_count=int(os.environ.get("MODEL_STEPS", "30")),
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
