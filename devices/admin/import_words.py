"""What the pages of an import say."""

from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from devices.fleets import Kind, Outcome


def kinds() -> dict[Kind, str]:
    return {
        Kind.NEW: _("New"),
        Kind.CHANGED: _("Changed"),
        Kind.UNCHANGED: _("Unchanged"),
        Kind.WRONG: _("Wrong"),
    }


def too_large() -> str:
    return _("The file is larger than %(limit)d MB. Divide it, or delete columns and pictures that are not needed.") % {
        "limit": settings.IMPORT_MAX_BYTES // 2**20
    }


def busy() -> str:
    return _("Another import is being read. Try again in a moment.")


def changed() -> str:
    return _(
        "The registry has changed since you saw this: something else would be imported by now. Nothing was "
        "imported. Please look again."
    )


def done(outcome: Outcome) -> str:
    return _("Imported: %(registered)d registered, %(changed)d changed, %(unchanged)d unchanged.") % vars(outcome)


def place(page: int, last: int) -> str:
    return _("Page %(number)d of %(last)d") % {"number": page, "last": last}


def notes(of_file: dict[str, Any]) -> list[str]:
    """Return what is to be said of the file as a whole."""
    said = []
    if hospitals := of_file["new_hospitals"]:
        said.append(
            ngettext(
                "A hospital that is not known yet will be registered: %(names)s. Is its name spelt right?",
                "%(count)d hospitals that are not known yet will be registered: %(names)s. Are they spelt right?",
                len(hospitals),
            )
            % {"count": len(hospitals), "names": _listed(hospitals)}
        )
    if of_file["passed_over"]:
        said.append(_("Columns that are passed over: %(names)s.") % {"names": _listed(of_file["passed_over"])})
    if of_file["no_holders"]:
        said.append(_("The file has no column of hospitals: devices that are registered stay where they are."))
    if of_file["windows"]:
        said.append(_("The file was read as Windows-1252. Look at names with accents: are they right?"))
    return said


def _listed(names: list[str], most: int = 10) -> str:
    more = _(" and %(count)d more") % {"count": len(names) - most} if len(names) > most else ""
    return ", ".join(names[:most]) + more


def verdict(total: int, effects: int, wrong: int) -> str:
    if wrong:
        return ngettext(
            "%(wrong)d line of %(total)d is wrong. Correct it in the file and choose that again: either all lines are "
            "imported or none.",
            "%(wrong)d lines of %(total)d are wrong. Correct them in the file and choose that again: either all lines "
            "are imported or none.",
            wrong,
        ) % {"wrong": wrong, "total": total}
    if not effects:
        return _("The registry has all of this already: there is nothing to import.")
    return _("Nothing has been imported yet. Look at what will happen, then import it.")


def of_choice() -> dict[str, Any]:
    return {
        "choose": _("Choose a file, or drop it here"),
        "kinds": _("XLSX or CSV, up to %(limit)d MB") % {"limit": settings.IMPORT_MAX_BYTES // 2**20},
        "next": _("Look at what it would do"),
        "nothing_yet": _("Nothing is imported yet: you will see first, line by line, what would happen."),
        "working": _("The file is on its way and being read. A long one takes up to a minute."),
        "how": _("How the file must look"),
        "rules": [
            _("A line for each device, below the headings device_name, device_mac, device_type, device_holder."),
            _("device_type is CONSUMER or CORPORATE; device_holder is the hospital, and may be left empty."),
            _("A device that is registered is found by its MAC address, and gets the values of its line."),
            _("To edit devices that are registered, export them first: by their id you can change everything else."),
            _("Format the columns as text, or Excel turns MAC addresses into numbers. The XLSX template does so."),
        ],
        "template": _("Template"),
    }


def of_preview(effects: int) -> dict[str, Any]:
    return {
        "confirm": ngettext("Import %(count)d line", "Import %(count)d lines", effects) % {"count": effects},
        "other": _("Choose another file"),
        "forget": _("Do not import"),
        "working": _("Importing. Please leave this page open."),
        "line": _("Line"),
        "what": _("What"),
        "before": _("before"),
        "id": _("id"),
        "empty": _("(empty)"),
        "none": _("There are no such lines."),
        "filter": _("Show lines"),
        "pages": _("Pages"),
        "previous": _("Previous page"),
        "following": _("Next page"),
    }


def of_what_is_gone() -> dict[str, str]:
    return {
        "title": _("There is nothing to import here"),
        "explanation": _(
            "It was imported already, given up, or replaced by another file, or it is older than an hour. Nothing "
            "more will happen to your devices."
        ),
        "again": _("Choose a file"),
    }
