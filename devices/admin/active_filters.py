"""The active filters of a list, each with its value in words and a link that removes it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.contrib.admin.views.main import ChangeList
from django.utils.translation import gettext as _


@dataclass(frozen=True, slots=True)
class ActiveFilter:
    title: str
    value: str
    url: str  # of the list without this filter
    errors: tuple[str, ...] = ()  # reasons why the value is not valid, so that the list is empty


def active_filters(changes: Any) -> Iterator[ActiveFilter]:
    """Yield the filters in the URL of a list of this project, also those that the page cannot set, such as an id."""
    chosen = {name for name, value in changes.params.items() if value}
    for spec in changes.filter_specs:
        if names := chosen.intersection(map(str, spec.expected_parameters())):
            chosen -= names
            errors = tuple(getattr(spec, "errors", ()))
            yield ActiveFilter(str(spec.title), _describe(spec, changes), _url_without(changes, names), errors)
    for name in sorted(chosen.intersection(changes.model_admin.lookups)):
        title = _("Device ID") if name == "id" else name
        yield ActiveFilter(title, changes.params[name], _url_without(changes, {name}))


def _url_without(changes: ChangeList, names: set[str]) -> str:
    return changes.get_query_string(remove=sorted(names))


def _describe(spec: Any, changes: ChangeList) -> str:
    """Return the value as the filter shows it: its own words, the chosen option of its form, or its chosen link."""
    if hasattr(spec, "describe"):
        return str(spec.describe())
    choices = list(spec.choices(changes))
    if "form" not in choices[0]:
        return ", ".join(str(choice["display"]) for choice in choices if choice["selected"])
    [field] = choices[0]["form"]
    options = {str(value): str(label) for value, label in field.field.choices}
    return options.get(str(field.value()), str(field.value()))
