"""The audit trail of one person, device, key or hospital: operators download it from its page."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from django.http import Http404, HttpRequest, StreamingHttpResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action

from devices import audit, trails
from devices.admin.access import Page, is_operator
from devices.audit import What
from devices.trails import Trail


class WithTrail(Page):
    actions_detail = ("download_trail",)

    def has_operator_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_operator(request)

    @action(  # type: ignore[untyped-decorator]
        description=_("Download audit trail"), url_path="audit-trail", permissions=["operator"], icon="download"
    )
    def download_trail(self, request: HttpRequest, object_id: str) -> StreamingHttpResponse:
        """Give what `export_audit` writes, in memory that does not grow with it. It ends with that it was exported."""
        about = self.get_object(request, object_id)
        if about is None:
            raise Http404
        audit.note(What.EXPORTED, about=about, format="jsonl")  # before any of it leaves
        name = f"audit-{self.opts.model_name}-{about.pk}-{timezone.localdate():%Y-%m-%d}.jsonl"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return StreamingHttpResponse(_chunks(trails.of(about)), content_type="application/x-ndjson", headers=headers)


def _chunks(trail: Trail) -> Iterator[bytes]:
    lines = (entry.as_json() for entry in trail.entries())
    while some := b"".join(islice(lines, trails.ROWS_AT_ONCE)):
        yield some
