"""The page with the changes of one device, registered or retired, or of all devices of one hospital."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from devices.admin.base import LargePaginator, ScopedMixin, is_id
from devices.history import recording
from devices.models import Device, Hospital, changes_in_scope

CHANGES = "admin:devices_historicaldevice_changelist"
CHANGES_PER_PAGE = 50


def render_history(changes_page: Any, owner: ScopedMixin, request: HttpRequest, object_id: str) -> HttpResponse:
    """Return the page. It has the changes that the user can also see on the page Changes.

    changes_page: the ModelAdmin of the page Changes.
    owner: the ModelAdmin of the devices or of the hospitals.

    Raises:
        Http404: the object is outside the scope, and was never in it.
    """
    obj = owner.get_object(request, object_id) if is_id(object_id) else None
    changes = changes_page.get_queryset(request).order_by("-history_id")
    if owner.model is Hospital:
        changes = changes.filter(changes_in_scope(Hospital.objects.filter(pk=obj.pk))) if obj else changes.none()
    else:
        changes = changes.filter(id=object_id) if is_id(object_id) else changes.none()
    last = changes.first()
    if obj is None and last is None:
        raise Http404
    if not owner.has_view_permission(request):
        raise PermissionDenied
    paginator: Any = LargePaginator(changes, CHANGES_PER_PAGE)
    page = paginator.get_page(request.GET.get("page"))
    is_device = owner.model is Device
    return owner.render_page(
        request,
        "admin/object_changes.html",
        title=_("History of %(name)s") % {"name": obj or changes_page.name_of(last)},
        original=obj,
        mac=(obj.device_mac if obj else changes_page.mac_address(last)) if is_device else "",
        is_device=is_device,
        rows=[changes_page.row_context(change) for change in page],
        page=page,
        search_url=reverse(CHANGES),
        filtered_url=reverse(CHANGES, query={owner.changes_filter: object_id}),
        is_retired=obj is None and last.history_type == recording.DELETED and last.seen_after,
        can_restore=changes_page.has_restore_permission(request),
        last=last,
    )
