"""Check the hospitals of a list of devices: each is in scope, none is missing, and unknown ones may be rejected."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from django.utils.translation import gettext_lazy as _

from devices.access.actor import Actor
from devices.models import Hospital
from devices.registry.device_fields import DeviceData
from devices.registry.similar_hospitals import find_similar
from devices.values.error_codes import ErrorCode
from devices.values.errors import FORBIDDEN, FieldError
from devices.values.hospital_names import fold_name

FIELD = "device_holder"
MAX_LISTED = 3  # hospitals of a key in a message
AMBIGUOUS_HOSPITAL = _("You manage several hospitals. Select one of them.")
OTHER_HOSPITAL_OF_USER = _("You can manage only the devices of your hospitals.")
OTHER_HOSPITAL_OF_KEY = _(
    "This API key is limited to its own hospital. Omit this field, or send the name of that hospital."
)
OTHER_HOSPITAL_OF_SEVERAL = _("This API key is limited to its hospitals. Send the name of one of them.")
HOLDER_REQUIRED = _("This API key has several hospitals. Send the name of one of them: %(names)s.")
UNKNOWN_HOSPITAL = _("No hospital in the scope of this API key has this name.")
UNKNOWN_HOSPITAL_SIMILAR = _("No hospital in the scope of this API key has this name. Did you mean %(names)s?")

Known = Mapping[int, int]  # the id of the registered device that an item updates, by the index of the item


def out_of_scope(actor: Actor, index: int | None = None) -> FieldError:
    """Return the problem of a device whose hospital is not in the actor's scope."""
    message = OTHER_HOSPITAL_OF_USER
    if actor.api_key:
        message = OTHER_HOSPITAL_OF_KEY if actor.scope.default_hospital else OTHER_HOSPITAL_OF_SEVERAL
    return FieldError(FIELD, FORBIDDEN, message, index)


def find_hospital_problems(
    items: Sequence[DeviceData], actor: Actor, known: Known, malformed: Sequence[FieldError]
) -> list[FieldError]:
    """Return a problem for each item whose hospital is out of scope, missing, or unknown.

    - An unknown hospital is a problem only if the actor registers no hospitals.
    - A new device needs a hospital if the scope has several. For an API key, `unknown` is then the same as none.

    The usual caller, whose scope is unrestricted and who registers hospitals, needs no query. Nor does a scope whose
    hospitals are sent with their current names.
    """
    scope = actor.scope
    if scope.hospitals is None and actor.registers_hospitals:
        return []
    named = {index: item["device_holder"] for index, item in enumerate(items) if FIELD in item}
    if actor.api_key:
        named = {index: name for index, name in named.items() if name is not None or index in known}
    rejected = _reject(dict.fromkeys(named.values()), actor)
    problems = [replace(rejected[name], index=index) for index, name in named.items() if name in rejected]
    if scope.hospitals is not None and scope.default_hospital is None:
        malformed_holders = {problem.index for problem in malformed if problem.field == FIELD}
        missing = set(range(len(items))) - named.keys() - known.keys() - malformed_holders
        problem = _missing(actor)
        problems += [replace(problem, index=index) for index in missing]
    return problems


def _missing(actor: Actor) -> FieldError:
    """Return the problem of a new device without a hospital, in a scope of several hospitals or of none."""
    if not actor.api_key:
        return FieldError(FIELD, ErrorCode.REQUIRED, AMBIGUOUS_HOSPITAL)
    names = [hospital.name for hospital in actor.scope.hospitals or ()]
    if not names:
        return out_of_scope(actor)
    listed = ", ".join(names[:MAX_LISTED]) + (", …" if len(names) > MAX_LISTED else "")
    return FieldError(FIELD, ErrorCode.HOLDER_REQUIRED, HOLDER_REQUIRED % {"names": listed})


def _reject(names: Collection[str | None], actor: Actor) -> dict[str | None, FieldError]:
    """Return the problem of each name that is not allowed. None is the name of no hospital.

    A name of a hospital out of scope has the same problem as a name that no hospital has.
    """
    scope = actor.scope
    folded = {name: fold_name(name) for name in names if name is not None}
    allowed = {fold_name(hospital.name) for hospital in scope.hospitals or ()}
    if others := set(folded.values()) - allowed:
        allowed |= Hospital.objects.in_scope(scope).by_name(others).keys()  # current names and aliases
    rejected: dict[str | None, FieldError] = {}
    if None in names and scope.hospitals is not None:
        rejected[None] = out_of_scope(actor)
    unknown = {name: text for name, text in folded.items() if text not in allowed}
    if actor.registers_hospitals:
        return rejected | dict.fromkeys(unknown, out_of_scope(actor))
    similar = find_similar(unknown.values(), scope) if unknown else {}
    return rejected | {name: _unknown(similar[text]) for name, text in unknown.items() if text in similar}


def _unknown(similar: tuple[str, ...]) -> FieldError:
    names = ", ".join(f"“{name}”" for name in similar)
    message = UNKNOWN_HOSPITAL_SIMILAR % {"names": names} if similar else UNKNOWN_HOSPITAL
    return FieldError(FIELD, ErrorCode.UNKNOWN_HOSPITAL, message, suggestions=similar)
