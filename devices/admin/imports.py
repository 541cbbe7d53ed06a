"""Import a file of devices: choose it, see line by line what it would do, then do all of it or nothing."""

import io
from http import HTTPStatus
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action

from devices import import_turns, origin, reach, spreadsheets, uploads
from devices.admin.access import RegistryModelAdmin
from devices.admin.exports import CONTENT_TYPES
from devices.admin.upload_limit import was_too_large
from devices.drafts import UNKNOWN, DeviceType
from devices.fleets import Kind
from devices.headings import COLUMNS, ID, Unreadable
from devices.models import Device, Through, Upload, UploadedLine
from devices.problems import Refused

LINES_A_PAGE = 100
RETRY_AFTER = 10  # seconds, in which most imports are done
PERMISSIONS = ("devices.add_device", "devices.change_device")
PREVIEW = "admin:devices_device_import_preview"
KINDS = {  # the label of each, and the variant of unfold's label
    Kind.NEW: (_("New"), "success"),
    Kind.CHANGED: (_("Changed"), "info"),
    Kind.UNCHANGED: (_("Unchanged"), "default"),
    Kind.WRONG: (_("Wrong"), "danger"),
}

TOO_LARGE = _("The file is larger than %(limit)d MB. Divide it, or delete columns and pictures that are not needed.")
BUSY = _("Another import is being read. Try again in a moment.")
CHANGED = _(
    "The registry has changed since you saw this: something else would be imported by now. Nothing was imported. "
    "Please look again."
)


class ImportsMixin(RegistryModelAdmin):
    """The pages of an import, below the list of devices."""

    actions_list = ("import_file",)

    def has_import_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perms(PERMISSIONS) and reach.of_user(request.user).ids != []

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        urls = [
            path("import/template<str:ending>", view(self.template), name="devices_device_import_template"),
            path("import/<uuid:upload_id>/", view(self.preview), name="devices_device_import_preview"),
        ]
        return urls + super().get_urls()  # type: ignore[no-any-return]

    @action(description=_("Import"), url_path="import", permissions=["import"], icon="upload_file")  # type: ignore[untyped-decorator]
    def import_file(self, request: HttpRequest) -> HttpResponse:
        """Show the form, or read the file and redirect to its preview."""
        if request.method != "POST":
            return self._form(request)
        try:
            return redirect(PREVIEW, _receive(request).pk)
        except Unreadable as error:
            return self._form(request, str(error))
        except import_turns.Busy:
            return _busy(self._form(request, str(BUSY)))

    def template(self, request: HttpRequest, ending: str) -> HttpResponse:
        """Return a file that has the headings only."""
        if not self.has_import_permission(request):
            raise PermissionDenied
        if ending not in spreadsheets.ENDINGS:
            raise Http404
        file = io.BytesIO()
        spreadsheets.write(file, ending, [], COLUMNS)
        headers = {"Content-Disposition": f'attachment; filename="devices{ending}"'}
        return HttpResponse(file.getvalue(), content_type=CONTENT_TYPES[ending], headers=headers)

    def preview(self, request: HttpRequest, upload_id: UUID) -> HttpResponse:
        """Show what the lines would do. A POST imports or deletes them."""
        if not self.has_import_permission(request):
            raise PermissionDenied
        by = origin.of_request(request, Through.IMPORT)
        try:
            upload = uploads.find(upload_id, by)
            if request.method == "POST":
                return self._answer(request, upload, by)
            if upload.language != get_language() and uploads.look_again(upload, by):
                messages.warning(request, str(CHANGED))
        except Upload.DoesNotExist:
            title = _("There is nothing to import here")
            page = self.render_page(request, "admin/import_gone.html", title=title)
            page.status_code = HTTPStatus.NOT_FOUND
            return page
        except import_turns.Busy:
            messages.warning(request, str(BUSY))
            return _busy(self._show(request, upload))
        return self._show(request, upload)

    def _form(self, request: HttpRequest, error: str = "") -> HttpResponse:
        return self.render_page(
            request,
            "admin/import.html",
            title=_("Import devices"),
            error=error,
            max_bytes=settings.IMPORT_MAX_BYTES,
            max_megabytes=_megabytes(),
            too_large=TOO_LARGE % {"limit": _megabytes()},
            endings=reversed(spreadsheets.ENDINGS),
        )

    def _answer(self, request: HttpRequest, upload: Upload, by: origin.Origin) -> HttpResponse:
        if "forget" in request.POST:
            upload.delete()
            return redirect("admin:devices_device_import_file")
        try:
            outcome = uploads.confirm(upload.pk, by)
        except (uploads.Changed, Refused):
            uploads.look_again(upload, by)
            messages.warning(request, str(CHANGED))
            return redirect(PREVIEW, upload.pk)
        done = _("Imported: %(registered)d registered, %(changed)d changed, %(unchanged)d unchanged.")
        messages.success(request, done % vars(outcome))
        return redirect("admin:devices_device_changelist")

    def _show(self, request: HttpRequest, upload: Upload) -> HttpResponse:
        numbers = {kind: upload.counts.get(kind, 0) for kind in Kind}
        wrong, total = numbers[Kind.WRONG], sum(numbers.values())
        chosen = request.GET.get("kind") or (Kind.WRONG if wrong else "all")
        lines = upload.lines.order_by("number")
        if chosen in numbers:
            lines = lines.filter(kind=chosen)
        page = Paginator(lines, LINES_A_PAGE).get_page(request.GET.get("page"))
        tabs = [(kind.value, KINDS[kind][0], number, chosen == kind) for kind, number in numbers.items()]
        return self.render_page(
            request,
            "admin/import_preview.html",
            title=_("Import %(name)s") % {"name": upload.name},
            notes=upload.notes,
            total=total,
            wrong=wrong,
            effects=numbers[Kind.NEW] + numbers[Kind.CHANGED],
            tabs=[("all", _("All"), total, chosen not in numbers), *tabs],
            chosen=chosen,
            page=page,
            lines=[_shown(line) for line in page],
            headings=_headings().values(),
        )


def _receive(request: HttpRequest) -> Upload:
    if was_too_large(request):
        raise Unreadable(TOO_LARGE % {"limit": _megabytes()})
    file = request.FILES.get("file")
    if file is None:
        raise Unreadable(_("Choose a file first."))
    if not file.size:
        raise Unreadable(_("The file is empty: it has not a single byte."))
    return uploads.receive(file, file.name or "", origin.of_request(request, Through.IMPORT))  # type: ignore[arg-type]


def _megabytes() -> int:
    return int(settings.IMPORT_MAX_BYTES // 2**20)


def _busy(response: HttpResponse) -> HttpResponse:
    response.status_code, response["Retry-After"] = HTTPStatus.TOO_MANY_REQUESTS, str(RETRY_AFTER)
    return response


def _headings() -> dict[str, str]:
    return {column: str(Device._meta.get_field(column).verbose_name) for column in COLUMNS}  # type: ignore[union-attr]


def _shown(line: UploadedLine) -> dict[str, Any]:
    """Return a line for the page: of each column the value, the value before if it differs, and what is wrong."""
    kept = uploads.content(line)
    problems: dict[str, list[str]] = {}
    for field, _code, text in kept["problems"]:
        problems.setdefault(field, []).append(text)
    kind, variant = KINDS[Kind(line.kind)]
    return {
        "number": line.number,
        "kind": kind,
        "variant": variant,
        "id": kept["cells"].get(ID),
        "wrong": problems.get(ID),
        "fields": [
            {"label": label, **_values(kept, column, line.kind), "wrong": problems.get(column)}
            for column, label in _headings().items()
        ],
    }


def _values(kept: dict[str, Any], column: str, kind: str) -> dict[str, str | None]:
    old = kept["old"].get(column)
    new = kept["new"].get(column, kept["cells"].get(column, old))
    if new is None and column == "device_holder":
        new = UNKNOWN
    before = old if kind == Kind.CHANGED and old != new else None
    return {"old": _label(column, before), "new": _label(column, new)}


def _label(column: str, value: str | None) -> str | None:
    return str(DeviceType(value).label) if column == "device_type" and value in DeviceType.values else value
