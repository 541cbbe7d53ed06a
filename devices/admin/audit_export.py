"""Download the audit trail of one user, device, API key or hospital. Operators choose the days and the format."""

from itertools import islice
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponseBase, StreamingHttpResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action
from unfold.widgets import UnfoldAdminDateWidget, UnfoldAdminSelectWidget

from devices.admin.base import RegistryModelAdmin, is_operator
from devices.audit import audit_log, export
from devices.audit.audit_log import Action

CONTENT_TYPES = {"jsonl": "application/x-ndjson", "csv": "text/csv; charset=utf-8"}


class AuditExportForm(forms.Form):
    first = forms.DateField(label=_("First day"), required=False, widget=UnfoldAdminDateWidget)
    last = forms.DateField(
        label=_("Last day"),
        required=False,
        widget=UnfoldAdminDateWidget,
        help_text=_("Leave both days empty to download all records."),
    )
    format = forms.ChoiceField(
        label=_("File"),
        choices=[("csv", _("CSV, for a spreadsheet")), ("jsonl", _("JSON Lines, for a program"))],
        widget=UnfoldAdminSelectWidget,
    )

    def clean(self) -> None:
        first, last = self.cleaned_data.get("first"), self.cleaned_data.get("last")
        if first and last and last < first:
            raise ValidationError({"last": _("The last day must not be before the first day.")})


class AuditExportMixin(RegistryModelAdmin):
    actions_detail: tuple[str, ...] = ("download_trail",)

    def has_operator_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_operator(request)

    def trail_object(self, obj: Any) -> Any:
        """Return the user, device, key or hospital of this page."""
        return obj

    @action(  # type: ignore[untyped-decorator]
        description=_("Audit trail"), url_path="audit-trail", permissions=["operator"], icon="download"
    )
    def download_trail(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Show the form, or stream what `export_audit` writes. The export is recorded first, and is the last entry."""
        found = self.get_object(request, object_id)
        if found is None:
            raise Http404
        obj = self.trail_object(found)
        form = AuditExportForm(request.POST if request.method == "POST" else None)
        if not form.is_valid():
            context = {"title": _("Audit trail"), "object": obj, "form": form, "media": self.media + form.media}
            return self.render_page(request, "admin/audit_export.html", **context)
        chosen: dict[str, Any] = {name: str(value) for name, value in form.cleaned_data.items() if value}
        audit_log.record(Action.EXPORTED, obj=obj, **chosen)
        kind = chosen["format"]
        name = f"audit-{obj._meta.model_name}-{obj.pk}-{timezone.localdate():%Y-%m-%d}.{kind}"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        lines = export.export_of(obj).lines(**form.cleaned_data)
        chunks = iter(lambda: b"".join(islice(lines, export.BATCH_SIZE)), b"")
        return StreamingHttpResponse(chunks, content_type=CONTENT_TYPES[kind], headers=headers)
