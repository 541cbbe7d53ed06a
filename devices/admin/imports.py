"""Import a file of devices: choose it, check a preview of each row, then import all rows or none."""

from http import HTTPStatus
from io import BytesIO
from typing import BinaryIO
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
from devices.admin import import_rows
from devices.admin.base import RegistryModelAdmin
from devices.imports import plan, preview, template
from devices.imports.export import attachment
from devices.imports.files import header, spreadsheet
from devices.imports.files.header import COLUMNS, UnreadableFile
from devices.imports.plan import RowAction
from devices.models import Channel, Hospital, ImportPreview
from devices.values.device_types import DeviceType
from devices.values.errors import ValidationFailed

ROWS_PER_PAGE = 100
RETRY_AFTER = 10  # seconds; most imports take less
PERMISSIONS = ("devices.add_device", "devices.change_device")
PREVIEW = "admin:devices_device_import_preview"
PASTED_CHARACTERS = 1_000_000  # about 10,000 rows

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
            path("import/<uuid:upload_id>/errors.xlsx", view(self.errors), name="devices_device_import_errors"),
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
            return self._form(request, str(error), request.POST.get("text", ""))
        except preview.ImportBusy:
            return _busy(self._form(request, str(BUSY)))

    def template(self, request: HttpRequest, ending: str) -> HttpResponse:
        """Return a file with the column headers in the user's language. XLSX also has lists of types and hospitals."""
        if not self.has_import_permission(request):
            raise PermissionDenied
        if ending not in spreadsheet.ENDINGS:
            raise Http404
        if ending != ".xlsx":
            return attachment(f"devices{ending}", ending, [], [header.label(column) for column in COLUMNS])
        scope = scopes.scope_for_user(request.user)
        hospitals = Hospital.objects.in_scope(scope).order_by("name").values_list("name", flat=True)
        return template.workbook(hospitals, allows_others=scope.hospitals is None)

    def errors(self, request: HttpRequest, upload_id: UUID) -> HttpResponse:
        """Return the file of the preview, with the errors of each row."""
        if not self.has_import_permission(request):
            raise PermissionDenied
        by = actor.actor_from_request(request, Channel.IMPORT)
        upload = preview.preview_of(by).filter(pk=upload_id).first()
        if upload is None:
            raise Http404
        return import_rows.file_with_errors(upload, by.scope)

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

    def _form(self, request: HttpRequest, error: str = "", text: str = "") -> HttpResponse:
        return self.render_page(
            request,
            "admin/import.html",
            title=_("Import devices"),
            error=error,
            text=text,
            max_characters=PASTED_CHARACTERS,
            max_bytes=settings.IMPORT_MAX_BYTES,
            max_megabytes=settings.IMPORT_MAX_BYTES // 2**20,
            too_large=_too_large(),
            endings=reversed(spreadsheet.ENDINGS),
            headers={column: header.label(column) for column in COLUMNS},
            field_names=COLUMNS,
            types=[kind.label for kind in DeviceType],
        )

    def _confirm_or_cancel(self, request: HttpRequest, upload: ImportPreview, by: actor.Actor) -> HttpResponse:
        if "cancel" in request.POST:
            upload.delete()
            return redirect("admin:devices_device_import_file")
        if "omit_invalid" in request.POST:
            preview.omit_invalid(upload, by)
            return redirect(PREVIEW, upload.pk)
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
        scope = scopes.scope_for_user(request.user)
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
            upload=upload,
            notes=upload.notes,
            similar_hospitals=import_rows.suggestions(upload.notes.get("new_hospitals", []), scope),
            total=total,
            invalid=invalid,
            correct=total - invalid,
            effective=counts[RowAction.NEW] + counts[RowAction.CHANGED],
            tabs=[("all", _("All"), total, chosen not in counts), *tabs],
            chosen=chosen,
            page=page,
            rows=import_rows.row_contexts(page, upload, scope),
            headers=[header.label(column) for column in COLUMNS],
        )


def _receive(request: HttpRequest) -> ImportPreview:
    if getattr(request, "upload_too_large", False):  # set by upload_handlers.py
        raise UnreadableFile(_too_large())
    by = actor.actor_from_request(request, Channel.IMPORT)
    if file := request.FILES.get("file"):
        return preview.create_preview(file, file.name or "", by)  # type: ignore[arg-type]
    if "text" not in request.POST:
        raise UnreadableFile(_("Choose a file first."))
    text = request.POST["text"]
    if not text.strip():
        raise UnreadableFile(_("Paste the rows first."))
    pasted: BinaryIO = BytesIO(text.encode("utf-8", "replace"))
    return preview.create_preview(pasted, str(_("Pasted rows")), by)


def _too_large() -> str:
    return TOO_LARGE % {"limit": settings.IMPORT_MAX_BYTES // 2**20}


def _busy(response: HttpResponse) -> HttpResponse:
    response.status_code, response["Retry-After"] = HTTPStatus.TOO_MANY_REQUESTS, str(RETRY_AFTER)
    return response
