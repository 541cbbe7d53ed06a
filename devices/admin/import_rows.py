"""The rows of an import's preview, and the file with their errors, in the words of the page.

Suggestions and links show only hospitals and devices of the user's scope.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

from django.db.models import Q
from django.http import HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from devices.db import expressions
from devices.imports import preview
from devices.imports.export import attachment
from devices.imports.files import header
from devices.imports.files.header import COLUMNS, ID
from devices.imports.plan import RowAction
from devices.models import Device, Hospital, ImportPreview, ImportPreviewRow
from devices.registry.similar_hospitals import most_similar
from devices.values.device_types import DeviceType
from devices.values.error_codes import ErrorCode
from devices.values.hospital_names import NO_HOSPITAL, fold_name
from devices.values.scope import Scope

VARIANTS = {RowAction.NEW: "success", RowAction.CHANGED: "info", RowAction.INVALID: "danger"}  # of unfold's label
TYPES: dict[str, object] = dict(DeviceType.choices)
SIMILARITY = 0.8  # from 0 to 1: of a typing error and the name that was meant
MAX_HOSPITALS = 2_000  # that are compared with an unknown name
MAX_SUGGESTIONS = 20
HOSPITALS_SHOWN = 5
UNIQUE_FIELDS = ("device_name", "device_mac")


class Hospitals:
    """The hospitals of a scope, to suggest the one that a name with a typing error means."""

    def __init__(self, scope: Scope) -> None:
        rows = Hospital.objects.in_scope(scope).order_by("pk").values_list("name_folded", "name")
        self.names = dict(rows[:MAX_HOSPITALS])
        self.similar = lru_cache(maxsize=1000)(self._similar)

    def _similar(self, name: str) -> str | None:
        """Return the name of the most similar hospital."""
        found = most_similar(fold_name(name), self.names, SIMILARITY)
        return self.names[found[0]] if found else None

    def list_some(self) -> str:
        names = sorted(self.names.values())
        return ", ".join(names[:HOSPITALS_SHOWN]) + (", …" if len(names) > HOSPITALS_SHOWN else "")


def suggestions(names: Sequence[str], scope: Scope) -> list[tuple[str, str]]:
    """Return those of the new hospitals that look like a registered one, each with the registered name."""
    hospitals = Hospitals(scope) if names else None
    pairs = ((name, hospitals.similar(name)) for name in names[:MAX_SUGGESTIONS] if hospitals)
    return [(name, similar) for name, similar in pairs if similar]


def row_contexts(rows: Iterable[ImportPreviewRow], upload: ImportPreview, scope: Scope) -> list[dict[str, Any]]:
    """Return the rows for the template. The number of queries does not depend on their number."""
    read = [(row, preview.content(row)) for row in rows]
    all_problems = [problem for _row, stored in read for problem in stored["problems"]]
    hospitals = Hospitals(scope) if any(field == "device_holder" for field, _code, _text in all_problems) else None
    links = _devices_with_taken_values([stored for _row, stored in read], scope)
    return [_row_context(row, upload, stored, hospitals, links) for row, stored in read]


def _row_context(
    row: ImportPreviewRow, upload: ImportPreview, stored: Any, hospitals: Hospitals | None, links: Any
) -> dict[str, Any]:
    """Return of each column the value, the old value if it differs, and the errors; and all errors together."""
    action = RowAction(row.action)
    old = stored["old"]
    new = {"device_holder": NO_HOSPITAL, **old, **stored["cells"], **stored["new"]}
    for values in (old, new):
        values["device_type"] = TYPES.get(values.get("device_type", ""), values.get("device_type"))
        if values.get("device_holder") == NO_HOSPITAL:
            values["device_holder"] = _("No hospital")
    problems = [
        {
            "label": header.label(field),
            "text": _in_words_of_the_page(field, code, text, stored, hospitals),
            "device": links.get((field, stored["new"].get(field))) if code == ErrorCode.UNIQUE else None,
        }
        for field, code, text in stored["problems"]
    ]
    errors: dict[str, list[str]] = {}
    for (field, _code, _text), problem in zip(stored["problems"], problems, strict=True):
        errors.setdefault(field, []).append(str(problem["text"]))
    fields = [
        {
            "label": header.label(column),
            "old": old[column] if action == RowAction.CHANGED and old[column] != new[column] else None,
            "new": new.get(column),
            "errors": errors.get(column),
        }
        for column in COLUMNS
    ]
    return {
        "number": str(preview.number_of(row, upload)) if upload.notes.get("sheets") else row.number,
        "action": action.label,
        "variant": VARIANTS.get(action, "default"),
        "id": stored["cells"].get(ID),
        "errors": errors.get(ID),
        "fields": fields,
        "problems": problems,
    }


def _in_words_of_the_page(field: str, code: str, text: str, stored: Any, hospitals: Hospitals | None) -> str:
    """Return the message for a cell of a file. Some messages are for a field of a request or a form."""
    if field == "device_holder" and hospitals:
        if code == ErrorCode.REQUIRED:
            return _("You manage several hospitals. Write one of them: %(names)s.") % {"names": hospitals.list_some()}
        if code == ErrorCode.FORBIDDEN:
            similar = hospitals.similar(stored["cells"].get(field, ""))
            if similar:
                return f"{text} " + _("Did you mean “%(name)s”?") % {"name": similar}
            return f"{text} " + _("Write one of them: %(names)s.") % {"names": hospitals.list_some()}
    if code == ErrorCode.REQUIRED:
        return _("This cell is empty. Write a value.")
    return text


def _devices_with_taken_values(rows: Iterable[Any], scope: Scope) -> dict[tuple[str, str], dict[str, str]]:
    """Return the devices in the scope whose name or MAC address is taken, by field and value."""
    taken: dict[str, set[str]] = {field: set() for field in UNIQUE_FIELDS}
    for stored in rows:
        for field, code, _text in stored["problems"]:
            if code == ErrorCode.UNIQUE and field in taken and stored["new"].get(field):
                taken[field].add(stored["new"][field])
    if not any(taken.values()):
        return {}
    condition = Q()
    for field, values in taken.items():
        condition |= Q(**{f"{field}__in": expressions.in_texts(sorted(values))})
    found = dict[tuple[str, str], dict[str, str]]()
    for device in Device.objects.in_scope(scope).filter(condition):
        link = {"url": reverse("admin:devices_device_change", args=[device.pk]), "name": device.device_name}
        found |= {(field, getattr(device, field)): link for field in UNIQUE_FIELDS}
    return found


def file_with_errors(upload: ImportPreview, scope: Scope) -> HttpResponse:
    """Return the rows of the file as XLSX, with the errors of each row in a last column.

    An import ignores that column. A cell that Excel has converted is empty, because as a text it would look intended.
    """
    has_ids = any(ID in preview.content(row)["cells"] for row in upload.rows.order_by("number").iterator())
    columns = [ID] if has_ids else []
    columns += [column for column in COLUMNS if column != "device_holder" or not upload.notes.get("has_no_hospitals")]

    def rows() -> Iterator[list[str]]:
        hospitals = Hospitals(scope)
        for row in upload.rows.order_by("number").iterator():
            stored = preview.content(row)
            converted = stored["conversions"]
            cells = ["" if column in converted else stored["cells"].get(column, "") for column in columns]
            yield [*cells, _errors_in_one_cell(stored, hospitals)]

    labels = [*(header.label(column) for column in columns), _("Error")]
    return attachment("devices-errors.xlsx", ".xlsx", rows(), labels)


def _errors_in_one_cell(stored: Any, hospitals: Hospitals) -> str:
    texts = []
    for field, code, text in stored["problems"]:
        lost = f" ({stored['cells'][field]})" if field in stored["conversions"] and field in stored["cells"] else ""
        message = _in_words_of_the_page(field, code, text, stored, hospitals)
        texts.append(f"{header.label(field)}: {message}{lost}")
    return " ".join(texts)
