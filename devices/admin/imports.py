"""Import a file of devices: choose it, see line by line what it would do, then do all of it or nothing."""

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

from devices import fleets, origin, reach, spreadsheets, uploads
from devices.admin.access import RegistryModelAdmin
from devices.admin.exports import attachment
from devices.drafts import UNKNOWN, DeviceType
from devices.fleets import Kind
from devices.headings import COLUMNS, ID, Unreadable
from devices.models import Device, Through, Upload, UploadedLine
from devices.problems import Refused

LINES_A_PAGE = 100
RETRY_AFTER = 10  # seconds, in which most imports are done
PERMISSIONS = ("devices.add_device", "devices.change_device")
PREVIEW = "admin:devices_device_import_preview"
VARIANTS = {Kind.NEW: "success", Kind.CHANGED: "info", Kind.WRONG: "danger"}  # of unfold's label
TYPES: dict[str, object] = dict(DeviceType.choices)

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
        except uploads.Busy:
            return _busy(self._form(request, str(BUSY)))

    def template(self, request: HttpRequest, ending: str) -> HttpResponse:
        """Return a file that has the headings only."""
        if not self.has_import_permission(request):
            raise PermissionDenied
        if ending not in spreadsheets.ENDINGS:
            raise Http404
        return attachment(f"devices{ending}", ending, [], COLUMNS)

    def preview(self, request: HttpRequest, upload_id: UUID) -> HttpResponse:
        """Show what the lines would do. A POST imports or deletes them."""
        if not self.has_import_permission(request):
            raise PermissionDenied
        by = origin.of_request(request, Through.IMPORT)
        try:
            upload = uploads.of_user(by).get(pk=upload_id)
            if request.method == "POST":
                return self._answer(request, upload, by)
            if upload.language != get_language() and uploads.look_again(upload, by):
                messages.warning(request, str(CHANGED))
        except Upload.DoesNotExist:
            title = _("There is nothing to import here")
            page = self.render_page(request, "admin/import_gone.html", title=title)
            page.status_code = HTTPStatus.NOT_FOUND
            return page
        except uploads.Busy:
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
            max_megabytes=settings.IMPORT_MAX_BYTES // 2**20,
            too_large=_too_large(),
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
        messages.success(request, done % fleets.totals(outcome))
        return redirect("admin:devices_device_changelist")

    def _show(self, request: HttpRequest, upload: Upload) -> HttpResponse:
        counts = {kind: upload.counts.get(kind, 0) for kind in Kind}
        wrong, total = counts[Kind.WRONG], sum(counts.values())
        chosen = request.GET.get("kind") or (Kind.WRONG if wrong else "all")
        lines = upload.lines.order_by("number")
        if chosen in counts:
            lines = lines.filter(kind=chosen)
        page = Paginator(lines, LINES_A_PAGE).get_page(request.GET.get("page"))
        tabs = [(kind.value, kind.label, count, chosen == kind) for kind, count in counts.items()]
        return self.render_page(
            request,
            "admin/import_preview.html",
            title=_("Import %(name)s") % {"name": upload.name},
            notes=upload.notes,
            total=total,
            wrong=wrong,
            effects=counts[Kind.NEW] + counts[Kind.CHANGED],
            tabs=[("all", _("All"), total, chosen not in counts), *tabs],
            chosen=chosen,
            page=page,
            lines=[_shown(line) for line in page],
            headings=_headings().values(),
        )


def _receive(request: HttpRequest) -> Upload:
    if getattr(request, "upload_too_large", False):  # set by upload_limit.py
        raise Unreadable(_too_large())
    file = request.FILES.get("file")
    if file is None:
        raise Unreadable(_("Choose a file first."))
    return uploads.receive(file, file.name or "", origin.of_request(request, Through.IMPORT))  # type: ignore[arg-type]


def _too_large() -> str:
    return TOO_LARGE % {"limit": settings.IMPORT_MAX_BYTES // 2**20}


def _busy(response: HttpResponse) -> HttpResponse:
    response.status_code, response["Retry-After"] = HTTPStatus.TOO_MANY_REQUESTS, str(RETRY_AFTER)
    return response


def _headings() -> dict[str, str]:
    return {column: str(Device._meta.get_field(column).verbose_name) for column in COLUMNS}  # type: ignore[union-attr]


def _shown(line: UploadedLine) -> dict[str, Any]:
    """Return a line for the page: of each column the value, the value before if it differs, and what is wrong."""
    kept, kind = uploads.content(line), Kind(line.kind)
    old = kept["old"]
    new = {"device_holder": UNKNOWN, **old, **kept["cells"], **kept["new"]}
    for values in (old, new):
        values["device_type"] = TYPES.get(values.get("device_type", ""), values.get("device_type"))
    wrong: dict[str, list[str]] = {}
    for field, _code, text in kept["problems"]:
        wrong.setdefault(field, []).append(text)
    fields = [
        {
            "label": label,
            "old": old[column] if kind == Kind.CHANGED and old[column] != new[column] else None,
            "new": new.get(column),
            "wrong": wrong.get(column),
        }
        for column, label in _headings().items()
    ]
    return {
        "number": line.number,
        "kind": kind.label,
        "variant": VARIANTS.get(kind, "default"),
        "id": kept["cells"].get(ID),
        "wrong": wrong.get(ID),
        "fields": fields,
    }
