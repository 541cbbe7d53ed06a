"""Import a file of devices in the admin: choose it, see line by line what it would do, then do all of it or nothing."""

import io
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Page, Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import URLPattern, path, reverse
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as later
from unfold.admin import ModelAdmin
from unfold.decorators import action

from devices import origin, reach, spreadsheets, uploads
from devices.admin.exports import CONTENT_TYPES
from devices.admin.upload_limit import was_too_large
from devices.drafts import UNKNOWN, DeviceType
from devices.fleets import Kind
from devices.headings import COLUMNS, ID, Unreadable
from devices.models import Device, Through, Upload, UploadedLine
from devices.problems import Refused

LINES_A_PAGE = 100
RIGHTS = ("devices.add_device", "devices.change_device")

KINDS = {
    Kind.NEW: later("New"),
    Kind.CHANGED: later("Changed"),
    Kind.UNCHANGED: later("Unchanged"),
    Kind.WRONG: later("Wrong"),
}
COLOURS = {Kind.NEW: "success", Kind.CHANGED: "info", Kind.UNCHANGED: "default", Kind.WRONG: "danger"}


class Imports(ModelAdmin):
    """The pages, below those of the devices' list."""

    actions_list = ("import_file",)

    def has_import_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perms(RIGHTS) and reach.of_user(request.user).ids != []

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        urls = [
            path("import/template<str:ending>", view(self.template), name="devices_device_import_template"),
            path("import/<uuid:upload_id>/", view(self.preview), name="devices_device_import_preview"),
        ]
        return urls + super().get_urls()  # type: ignore[no-any-return]

    @action(description=later("Import"), url_path="import", permissions=["import"], icon="upload_file")  # type: ignore[untyped-decorator]
    def import_file(self, request: HttpRequest) -> HttpResponse:
        """Show the page on which a file is chosen, and answer to the choice."""
        wrong = ""
        if request.method == "POST":
            try:
                upload = _receive(request)
            except Unreadable as error:
                wrong = str(error)
            else:
                return redirect("admin:devices_device_import_preview", upload.pk)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Import devices"),
            "wrong": wrong,
            "limit": settings.IMPORT_MAX_BYTES,
            "limit_text": _too_large(),
            "templates": [
                (ending, reverse("admin:devices_device_import_template", args=[ending]))
                for ending in reversed(spreadsheets.ENDINGS)
            ],
            "texts": _texts_of_choice(),
        }
        return render(request, "admin/import.html", context, status=422 if wrong else 200)

    def template(self, request: HttpRequest, ending: str) -> HttpResponse:
        """Give a file that has the headings and nothing else."""
        if not self.has_import_permission(request):
            raise PermissionDenied
        if ending not in spreadsheets.ENDINGS:
            return _gone(self, request)
        file = io.BytesIO()
        spreadsheets.write(file, ending, [], COLUMNS)
        headers = {"Content-Disposition": f'attachment; filename="devices{ending}"'}
        return HttpResponse(file.getvalue(), content_type=CONTENT_TYPES[ending], headers=headers)

    def preview(self, request: HttpRequest, upload_id: UUID) -> HttpResponse:
        """Show what the lines would do; by the second click do it, or forget them."""
        if not self.has_import_permission(request):
            raise PermissionDenied
        by = origin.of_request(request, Through.IMPORT)
        try:
            upload = uploads.find(upload_id, by)
            if request.method == "POST":
                return self._answer(request, upload, by)
        except Upload.DoesNotExist:
            return _gone(self, request)
        if upload.language != get_language() and uploads.look_again(upload, by):
            messages.warning(request, _changed())
        return self._show(request, upload)

    def _answer(self, request: HttpRequest, upload: Upload, by: origin.Origin) -> HttpResponse:
        if "forget" in request.POST:
            upload.delete()
            return redirect("admin:devices_device_import_file")
        try:
            outcome = uploads.confirm(upload.pk, by)
        except (uploads.Changed, Refused):
            uploads.look_again(upload, by)
            messages.warning(request, _changed())
            return redirect("admin:devices_device_import_preview", upload.pk)
        messages.success(
            request,
            _("Imported: %(registered)d registered, %(changed)d changed, %(unchanged)d unchanged.") % vars(outcome),
        )
        return redirect("admin:devices_device_changelist")

    def _show(self, request: HttpRequest, upload: Upload) -> HttpResponse:
        wrong = upload.counts.get(Kind.WRONG, 0)
        chosen = request.GET.get("kind") or (Kind.WRONG if wrong else "")
        page = _page(upload, chosen, request.GET.get("page"))
        total = sum(upload.counts.values())
        effects = upload.counts.get(Kind.NEW, 0) + upload.counts.get(Kind.CHANGED, 0)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Import %(name)s") % {"name": upload.name},
            "upload": upload,
            "tabs": [("all", _("All"), total, chosen not in list(Kind))]
            + [(kind.value, label, upload.counts.get(kind, 0), chosen == kind) for kind, label in KINDS.items()],
            "chosen": chosen or "all",
            "notes": _notes(upload.notes),
            "verdict": _verdict(total, effects, wrong),
            "wrong": wrong,
            "effects": effects,
            "page": page,
            "lines": [_shown(line) for line in page],
            "page_text": _("Page %(number)d of %(last)d") % {"number": page.number, "last": page.paginator.num_pages},
            "headings": _headings(),
            "texts": _texts_of_preview(effects),
        }
        return render(request, "admin/import_preview.html", context)


def _receive(request: HttpRequest) -> Upload:
    if was_too_large(request):
        raise Unreadable(_too_large())
    file = request.FILES.get("file")
    if file is None:
        raise Unreadable(_("Choose a file first."))
    if not file.size:
        raise Unreadable(_("The file is empty: it has not a single byte."))
    return uploads.receive(file, file.name or "", origin.of_request(request, Through.IMPORT))  # type: ignore[arg-type]


def _too_large() -> str:
    return _("The file is larger than %(limit)d MB. Divide it, or delete columns and pictures that are not needed.") % {
        "limit": settings.IMPORT_MAX_BYTES // 2**20
    }


def _changed() -> str:
    return _(
        "The registry has changed since you saw this: something else would be imported by now. Nothing was "
        "imported. Please look again."
    )


def _gone(page: ModelAdmin, request: HttpRequest) -> HttpResponse:
    context = {
        **page.admin_site.each_context(request),
        "opts": page.opts,
        "title": _("There is nothing to import here"),
        "explanation": _(
            "It was imported already, given up, or replaced by another file, or it is older than an hour. Nothing "
            "more will happen to your devices."
        ),
        "again": _("Choose a file"),
        "again_url": reverse("admin:devices_device_import_file"),
    }
    return render(request, "admin/import_gone.html", context, status=404)


def _page(upload: Upload, chosen: str, number: Any) -> Page:  # type: ignore[type-arg]
    lines = upload.lines.order_by("number")
    if chosen in list(Kind):
        lines = lines.filter(kind=chosen)
    paginator = Paginator(lines, LINES_A_PAGE)
    counts = upload.counts
    paginator.count = counts.get(chosen, 0) if chosen in list(Kind) else sum(counts.values())
    return paginator.get_page(number)


def _headings() -> list[tuple[str, str]]:
    return [(column, str(Device._meta.get_field(column).verbose_name)) for column in COLUMNS]  # type: ignore[union-attr]


def _shown(line: UploadedLine) -> dict[str, Any]:
    """Return a line as the page shows it: of each column the value, the one before where it differs, what is wrong."""
    kept = uploads.content(line)
    problems: dict[str, list[str]] = {}
    for field, _code, text in kept["problems"]:
        problems.setdefault(field, []).append(text)
    fields = []
    for column, label in _headings():
        old = kept["old"].get(column)
        new = kept["new"].get(column, kept["cells"].get(column, old))
        if new is None and column == "device_holder":
            new = UNKNOWN
        before = old if line.kind == Kind.CHANGED and old != new else None
        fields.append(
            {"label": label, "new": _value(column, new), "old": _value(column, before), "wrong": problems.get(column)}
        )
    return {
        "number": line.number,
        "kind": KINDS[Kind(line.kind)],
        "colour": COLOURS[Kind(line.kind)],
        "id": kept["cells"].get(ID),
        "wrong": problems.get(ID),
        "fields": fields,
    }


def _value(column: str, value: str | None) -> str | None:
    return str(DeviceType(value).label) if column == "device_type" and value in DeviceType.values else value


def _notes(notes: dict[str, Any]) -> list[str]:
    """Return what is to be said of the file as a whole."""
    said = []
    if hospitals := notes["new_hospitals"]:
        said.append(
            ngettext(
                "A hospital that is not known yet will be registered: %(names)s. Is its name spelt right?",
                "%(count)d hospitals that are not known yet will be registered: %(names)s. Are they spelt right?",
                len(hospitals),
            )
            % {"count": len(hospitals), "names": _listed(hospitals)}
        )
    if notes["passed_over"]:
        said.append(_("Columns that are passed over: %(names)s.") % {"names": _listed(notes["passed_over"])})
    if notes["no_holders"]:
        said.append(_("The file has no column of hospitals: devices that are registered stay where they are."))
    if notes["windows"]:
        said.append(_("The file was read as Windows-1252. Look at names with accents: are they right?"))
    return said


def _listed(names: list[str], most: int = 10) -> str:
    more = _(" and %(count)d more") % {"count": len(names) - most} if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _verdict(total: int, effects: int, wrong: int) -> str:
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


def _texts_of_choice() -> dict[str, Any]:
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


def _texts_of_preview(effects: int) -> dict[str, Any]:
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
