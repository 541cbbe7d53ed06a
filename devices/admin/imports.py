"""Import a file of devices in the admin: choose it, see line by line what it would do, then do all of it or nothing."""

import io
from http import HTTPStatus
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Page, Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import URLPattern, path, reverse
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.decorators import action

from devices import import_turns, origin, reach, spreadsheets, uploads
from devices.admin import import_words
from devices.admin.exports import CONTENT_TYPES
from devices.admin.upload_limit import was_too_large
from devices.drafts import UNKNOWN, DeviceType
from devices.fleets import Kind
from devices.headings import COLUMNS, ID, Unreadable
from devices.models import Device, Through, Upload, UploadedLine
from devices.problems import Refused

LINES_A_PAGE = 100
RETRY_AFTER = 10  # seconds, in which most imports are done
RIGHTS = ("devices.add_device", "devices.change_device")

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

    @action(description=_("Import"), url_path="import", permissions=["import"], icon="upload_file")  # type: ignore[untyped-decorator]
    def import_file(self, request: HttpRequest) -> HttpResponse:
        """Show the page on which a file is chosen, and answer to the choice."""
        wrong, status = "", HTTPStatus.OK
        if request.method == "POST":
            try:
                upload = _receive(request)
            except Unreadable as error:
                wrong = str(error)
            except import_turns.Busy:
                wrong, status = import_words.busy(), HTTPStatus.TOO_MANY_REQUESTS
            else:
                return redirect("admin:devices_device_import_preview", upload.pk)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Import devices"),
            "wrong": wrong,
            "limit": settings.IMPORT_MAX_BYTES,
            "limit_text": import_words.too_large(),
            "templates": [
                (ending, reverse("admin:devices_device_import_template", args=[ending]))
                for ending in reversed(spreadsheets.ENDINGS)
            ],
            "texts": import_words.of_choice(),
        }
        return _with_retry(render(request, "admin/import.html", context, status=status))

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
            if upload.language != get_language() and uploads.look_again(upload, by):
                messages.warning(request, import_words.changed())
        except Upload.DoesNotExist:
            return _gone(self, request)
        except import_turns.Busy:
            messages.warning(request, import_words.busy())
            return _with_retry(self._show(request, upload, HTTPStatus.TOO_MANY_REQUESTS))
        return self._show(request, upload)

    def _answer(self, request: HttpRequest, upload: Upload, by: origin.Origin) -> HttpResponse:
        if "forget" in request.POST:
            upload.delete()
            return redirect("admin:devices_device_import_file")
        try:
            outcome = uploads.confirm(upload.pk, by)
        except (uploads.Changed, Refused):
            uploads.look_again(upload, by)
            messages.warning(request, import_words.changed())
            return redirect("admin:devices_device_import_preview", upload.pk)
        messages.success(
            request,
            import_words.done(outcome),
        )
        return redirect("admin:devices_device_changelist")

    def _show(self, request: HttpRequest, upload: Upload, status: int = HTTPStatus.OK) -> HttpResponse:
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
            + [
                (kind.value, label, upload.counts.get(kind, 0), chosen == kind)
                for kind, label in import_words.kinds().items()
            ],
            "chosen": chosen or "all",
            "notes": import_words.notes(upload.notes),
            "verdict": import_words.verdict(total, effects, wrong),
            "wrong": wrong,
            "effects": effects,
            "page": page,
            "lines": [_shown(line) for line in page],
            "page_text": import_words.place(page.number, page.paginator.num_pages),
            "headings": _headings(),
            "texts": import_words.of_preview(effects),
        }
        return render(request, "admin/import_preview.html", context, status=status)


def _receive(request: HttpRequest) -> Upload:
    if was_too_large(request):
        raise Unreadable(import_words.too_large())
    file = request.FILES.get("file")
    if file is None:
        raise Unreadable(_("Choose a file first."))
    if not file.size:
        raise Unreadable(_("The file is empty: it has not a single byte."))
    return uploads.receive(file, file.name or "", origin.of_request(request, Through.IMPORT))  # type: ignore[arg-type]


def _with_retry(response: HttpResponse) -> HttpResponse:
    if response.status_code == HTTPStatus.TOO_MANY_REQUESTS:
        response["Retry-After"] = str(RETRY_AFTER)
    return response


def _gone(page: ModelAdmin, request: HttpRequest) -> HttpResponse:
    context = {
        **page.admin_site.each_context(request),
        "opts": page.opts,
        **import_words.of_what_is_gone(),
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
        "kind": import_words.kinds()[Kind(line.kind)],
        "colour": COLOURS[Kind(line.kind)],
        "id": kept["cells"].get(ID),
        "wrong": problems.get(ID),
        "fields": fields,
    }


def _value(column: str, value: str | None) -> str | None:
    return str(DeviceType(value).label) if column == "device_type" and value in DeviceType.values else value
