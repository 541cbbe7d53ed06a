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

from devices.access import actor, scopes
from devices.admin.base import RegistryModelAdmin
from devices.admin.exports import attachment
from devices.imports import plan, preview
from devices.imports.files import spreadsheet
from devices.imports.files.header import COLUMNS, ID, UnreadableFile
from devices.imports.plan import RowAction
from devices.models import Channel, Device, ImportPreview, ImportPreviewRow
from devices.values.device_types import DeviceType
from devices.values.errors import ValidationFailed
from devices.values.hospital_names import NO_HOSPITAL

LINES_A_PAGE = 100
RETRY_AFTER = 10  # seconds, in which most imports are done
PERMISSIONS = ("devices.add_device", "devices.change_device")
PREVIEW = "admin:devices_device_import_preview"
VARIANTS = {RowAction.NEW: "success", RowAction.CHANGED: "info", RowAction.INVALID: "danger"}  # of unfold's label
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
        return request.user.has_perms(PERMISSIONS) and scopes.scope_for_user(request.user).hospital_ids != []

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
        except UnreadableFile as error:
            return self._form(request, str(error))
        except preview.ImportBusy:
            return _busy(self._form(request, str(BUSY)))

    def template(self, request: HttpRequest, ending: str) -> HttpResponse:
        """Return a file that has the headings only."""
        if not self.has_import_permission(request):
            raise PermissionDenied
        if ending not in spreadsheet.ENDINGS:
            raise Http404
        return attachment(f"devices{ending}", ending, [], COLUMNS)

    def preview(self, request: HttpRequest, upload_id: UUID) -> HttpResponse:
        """Show what the lines would do. A POST imports or deletes them."""
        if not self.has_import_permission(request):
            raise PermissionDenied
        by = actor.actor_from_request(request, Channel.IMPORT)
        try:
            upload = preview.preview_of(by).get(pk=upload_id)
            if request.method == "POST":
                return self._answer(request, upload, by)
            if upload.language != get_language() and preview.refresh_preview(upload, by):
                messages.warning(request, str(CHANGED))
        except ImportPreview.DoesNotExist:
            title = _("There is nothing to import here")
            page = self.render_page(request, "admin/import_gone.html", title=title)
            page.status_code = HTTPStatus.NOT_FOUND
            return page
        except preview.ImportBusy:
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
            endings=reversed(spreadsheet.ENDINGS),
        )

    def _answer(self, request: HttpRequest, upload: ImportPreview, by: actor.Actor) -> HttpResponse:
        if "forget" in request.POST:
            upload.delete()
            return redirect("admin:devices_device_import_file")
        try:
            outcome = preview.confirm(upload.pk, by)
        except (preview.PreviewOutdated, ValidationFailed):
            preview.refresh_preview(upload, by)
            messages.warning(request, str(CHANGED))
            return redirect(PREVIEW, upload.pk)
        done = _("Imported: %(registered)d registered, %(changed)d changed, %(unchanged)d unchanged.")
        messages.success(request, done % plan.totals(outcome))
        return redirect("admin:devices_device_changelist")

    def _show(self, request: HttpRequest, upload: ImportPreview) -> HttpResponse:
        counts = {action: upload.counts.get(action, 0) for action in RowAction}
        wrong, total = counts[RowAction.INVALID], sum(counts.values())
        chosen = request.GET.get("action") or (RowAction.INVALID if wrong else "all")
        lines = upload.rows.order_by("number")
        if chosen in counts:
            lines = lines.filter(action=chosen)
        page = Paginator(lines, LINES_A_PAGE).get_page(request.GET.get("page"))
        tabs = [(action.value, action.label, count, chosen == action) for action, count in counts.items()]
        return self.render_page(
            request,
            "admin/import_preview.html",
            title=_("Import %(name)s") % {"name": upload.name},
            notes=upload.notes,
            total=total,
            wrong=wrong,
            effects=counts[RowAction.NEW] + counts[RowAction.CHANGED],
            tabs=[("all", _("All"), total, chosen not in counts), *tabs],
            chosen=chosen,
            page=page,
            lines=[_shown(line) for line in page],
            headings=_headings().values(),
        )


def _receive(request: HttpRequest) -> ImportPreview:
    if getattr(request, "upload_too_large", False):  # set by upload_limit.py
        raise UnreadableFile(_too_large())
    file = request.FILES.get("file")
    if file is None:
        raise UnreadableFile(_("Choose a file first."))
    return preview.create_preview(file, file.name or "", actor.actor_from_request(request, Channel.IMPORT))  # type: ignore[arg-type]


def _too_large() -> str:
    return TOO_LARGE % {"limit": settings.IMPORT_MAX_BYTES // 2**20}


def _busy(response: HttpResponse) -> HttpResponse:
    response.status_code, response["Retry-After"] = HTTPStatus.TOO_MANY_REQUESTS, str(RETRY_AFTER)
    return response


def _headings() -> dict[str, str]:
    return {column: str(Device._meta.get_field(column).verbose_name) for column in COLUMNS}  # type: ignore[union-attr]


def _shown(line: ImportPreviewRow) -> dict[str, Any]:
    """Return a line for the page: of each column the value, the value before if it differs, and what is wrong."""
    kept, action = preview.content(line), RowAction(line.action)
    old = kept["old"]
    new = {"device_holder": NO_HOSPITAL, **old, **kept["cells"], **kept["new"]}
    for values in (old, new):
        values["device_type"] = TYPES.get(values.get("device_type", ""), values.get("device_type"))
    wrong: dict[str, list[str]] = {}
    for field, _code, text in kept["problems"]:
        wrong.setdefault(field, []).append(text)
    fields = [
        {
            "label": label,
            "old": old[column] if action == RowAction.CHANGED and old[column] != new[column] else None,
            "new": new.get(column),
            "wrong": wrong.get(column),
        }
        for column, label in _headings().items()
    ]
    return {
        "number": line.number,
        "action": action.label,
        "variant": VARIANTS.get(action, "default"),
        "id": kept["cells"].get(ID),
        "wrong": wrong.get(ID),
        "fields": fields,
    }
