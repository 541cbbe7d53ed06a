"""Import a file of devices: choose it, check a preview of each row, then import all rows or none."""

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
from devices.imports import plan, preview
from devices.imports.export import attachment
from devices.imports.files import header, spreadsheet
from devices.imports.files.header import COLUMNS, ID, UnreadableFile
from devices.imports.plan import RowAction
from devices.models import Channel, ImportPreview, ImportPreviewRow
from devices.values.device_types import DeviceType
from devices.values.errors import ValidationFailed
from devices.values.hospital_names import NO_HOSPITAL

ROWS_PER_PAGE = 100
RETRY_AFTER = 10  # seconds; most imports take less
PERMISSIONS = ("devices.add_device", "devices.change_device")
PREVIEW = "admin:devices_device_import_preview"
VARIANTS = {RowAction.NEW: "success", RowAction.CHANGED: "info", RowAction.INVALID: "danger"}  # of unfold's label
TYPES: dict[str, object] = dict(DeviceType.choices)

TOO_LARGE = _("The file is larger than %(limit)d MB. Divide it, or delete unneeded columns and pictures.")
BUSY = _("Another import is in progress. Try again in a moment.")
OUTDATED = _(
    "The registry has changed since this preview, so the result would be different. Nothing was imported. Please check "
    "the rows again."
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
        """Return a file that has only the column headers, in the user's language."""
        if not self.has_import_permission(request):
            raise PermissionDenied
        if ending not in spreadsheet.ENDINGS:
            raise Http404
        return attachment(f"devices{ending}", ending, [], [header.label(column) for column in COLUMNS])

    def preview(self, request: HttpRequest, upload_id: UUID) -> HttpResponse:
        """Show the effect of each row. A POST imports the rows or cancels the import."""
        if not self.has_import_permission(request):
            raise PermissionDenied
        by = actor.actor_from_request(request, Channel.IMPORT)
        try:
            upload = preview.preview_of(by).get(pk=upload_id)
            if request.method == "POST":
                return self._confirm_or_cancel(request, upload, by)
            if upload.language != get_language() and preview.refresh_preview(upload, by):
                messages.warning(request, str(OUTDATED))
        except ImportPreview.DoesNotExist:
            title = _("This preview no longer exists")
            page = self.render_page(request, "admin/import_not_found.html", title=title)
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
            headers={column: header.label(column) for column in COLUMNS},
        )

    def _confirm_or_cancel(self, request: HttpRequest, upload: ImportPreview, by: actor.Actor) -> HttpResponse:
        if "cancel" in request.POST:
            upload.delete()
            return redirect("admin:devices_device_import_file")
        try:
            outcome = preview.confirm(upload.pk, by)
        except (preview.PreviewOutdated, ValidationFailed):
            preview.refresh_preview(upload, by)
            messages.warning(request, str(OUTDATED))
            return redirect(PREVIEW, upload.pk)
        done = _("Imported: %(registered)d registered, %(changed)d changed, %(unchanged)d unchanged.")
        messages.success(request, done % plan.totals(outcome))
        return redirect("admin:devices_device_changelist")

    def _show(self, request: HttpRequest, upload: ImportPreview) -> HttpResponse:
        counts = {action: upload.counts.get(action, 0) for action in RowAction}
        invalid, total = counts[RowAction.INVALID], sum(counts.values())
        chosen = request.GET.get("action") or (RowAction.INVALID if invalid else "all")
        rows = upload.rows.order_by("number")
        if chosen in counts:
            rows = rows.filter(action=chosen)
        page = Paginator(rows, ROWS_PER_PAGE).get_page(request.GET.get("page"))
        tabs = [(action.value, action.label, count, chosen == action) for action, count in counts.items()]
        return self.render_page(
            request,
            "admin/import_preview.html",
            title=_("Import %(name)s") % {"name": upload.name},
            notes=upload.notes,
            total=total,
            invalid=invalid,
            effective=counts[RowAction.NEW] + counts[RowAction.CHANGED],
            tabs=[("all", _("All"), total, chosen not in counts), *tabs],
            chosen=chosen,
            page=page,
            rows=[_row_context(row, upload) for row in page],
            headers=[header.label(column) for column in COLUMNS],
        )


def _receive(request: HttpRequest) -> ImportPreview:
    if getattr(request, "upload_too_large", False):  # set by upload_handlers.py
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


def _row_context(row: ImportPreviewRow, upload: ImportPreview) -> dict[str, Any]:
    """Return the row for the template: of each column the value, the old value if it differs, and the errors."""
    stored, action = preview.content(row), RowAction(row.action)
    old = stored["old"]
    new = {"device_holder": NO_HOSPITAL, **old, **stored["cells"], **stored["new"]}
    for values in (old, new):
        values["device_type"] = TYPES.get(values.get("device_type", ""), values.get("device_type"))
    errors: dict[str, list[str]] = {}
    for field, _code, text in stored["problems"]:
        errors.setdefault(field, []).append(text)
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
    }
