"""The sandbox: the one hospital in which the client applications of sandbox keys try out requests (decision 35)."""

from itertools import count

from devices.access.actor import Actor
from devices.db import bulk, locks
from devices.history import recording
from devices.models import Hospital, now_ms
from devices.values.hospital_names import fold_name

NAME = "Sandbox"  # of the new hospital; operators can rename it


def find_sandbox() -> Hospital | None:
    """Return the sandbox, or None if no sandbox key was issued yet."""
    return Hospital.objects.filter(sandbox=True).first()


def get_or_create_sandbox(actor: Actor) -> Hospital:
    """Return the sandbox. The first call registers it, in the caller's transaction.

    If NAME is or was the name of another hospital, a number follows it: a hospital of patients never becomes a sandbox.
    """
    locks.acquire_registry_lock()
    if found := find_sandbox():
        return found
    names = (NAME if number == 1 else f"{NAME} {number}" for number in count(1))
    name = next(name for name in names if not Hospital.objects.by_name([fold_name(name)]))
    at = now_ms()
    columns = {"name": [name], "name_folded": [fold_name(name)]}
    ids = bulk.insert(Hospital, columns, {"sandbox": True, "created_at": at, "updated_at": at})
    recording.record(Hospital, ids, recording.CREATED, actor)
    return Hospital.objects.get(pk=ids[0])
