"""The list of retired devices, which can be restored, and the link that takes back a retirement."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from devices import registry
from devices.access import scopes
from devices.access.actor import actor_from_request
from devices.admin import actors, confirmation
from devices.admin.base import LargeChangeList, ReadOnlyMixin, RegistryModelAdmin, is_id
from devices.admin.times import show_time
from devices.history.retired import retired_now
from devices.models import Channel, Device, search_condition
from devices.values.device_types import DeviceType
from devices.values.errors import ValidationFailed
from devices.values.hospital_names import NO_HOSPITAL
from devices.values.normalization import normalize

DEVICES = "admin:devices_device_changelist"
LIST, RESTORE = "admin:devices_device_retired", "admin:devices_device_restore"
NOTHING_TO_RESTORE = _("None of these devices can be restored. They are registered, or they left your hospitals.")


class TabbedChangeList(LargeChangeList):
    """A list below the tabs of devices. A tab keeps the search and the other filters."""

    is_retired = False

    @property
    def tabs(self) -> list[dict[str, Any]]:
        """The title and link of each tab, and whether it is the chosen one."""
        kept = {name: value for name, value in self.filter_params.items() if name != "device_type__exact"}
        chosen = None if self.is_retired else str(self.params.get("device_type__exact", ""))
        types = [("", _("All")), *((kind.value, kind.label) for kind in (DeviceType.CORPORATE, DeviceType.CONSUMER))]
        tabs = [
            {
                "title": title,
                "url": reverse(DEVICES, query=kept | ({"device_type__exact": value} if value else {})),
                "is_chosen": value == chosen,
            }
            for value, title in types
        ]
        search = {"q": self.query} if self.query else None
        return [*tabs, {"title": _("Retired"), "url": reverse(LIST, query=search), "is_chosen": self.is_retired}]


class RetiredChangeList(TabbedChangeList):
    """The rows are changes, but the words of the page are those of devices."""

    is_retired = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.opts = Device._meta


class RetiredMixin(RegistryModelAdmin):
    """The pages of retired devices, below the list of devices."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        urls = [
            path("retired/", view(self.retired_list), name="devices_device_retired"),
            path("retired/restore/", view(self.restore), name="devices_device_restore"),
        ]
        return urls + super().get_urls()  # type: ignore[no-any-return]

    def has_restore_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("devices.add_device"))

    def retired_list(self, request: HttpRequest) -> HttpResponse:
        """Show the devices that are retired now, the last one first."""
        return RetiredList(Device.history.model, self.admin_site).changelist_view(request)

    def restore(self, request: HttpRequest) -> HttpResponse:
        """Restore one device (`?id=`), or all devices that a request of this user retired (`?request=`).

        A GET shows them on a confirmation page, and a POST restores them.
        """
        if not self.has_restore_permission(request):
            raise PermissionDenied
        rows = retired_now(scopes.scope_for_user(request.user))
        if is_id(request.GET.get("id", "")):
            chosen = rows.filter(id=int(request.GET["id"]))
        else:
            name = request.GET.get("request", "")
            chosen = rows.filter(history_user=request.user.pk, history_request_id=name) if name else rows.none()
        count = chosen.count()
        if not count:
            messages.warning(request, NOTHING_TO_RESTORE)
            return redirect(LIST)
        if request.method == "POST":
            return _restore(request, chosen.values_list("id", flat=True)) or redirect(LIST)
        return self.render_page(
            request,
            "admin/confirm_restore.html",
            title=_("Restore"),
            heading=restore_heading(count),
            count=count,
            shown=chosen[: confirmation.NAMES_SHOWN],
            rest=max(count - confirmation.NAMES_SHOWN, 0),
            cancel_url=reverse(LIST),
        )


class RetiredList(ReadOnlyMixin):
    """The list of retired devices. It belongs to the pages of devices, so the admin site does not register it."""

    list_display = ("device_name", "device_mac", "hospital", "retired_at", actors.user, "restore_button")
    change_list_template = "admin/devices/device/change_list.html"
    list_display_links = None
    search_fields = ("device_name",)  # shows the search box; get_search_results does the search
    search_help_text = _("Name, MAC address, hospital")
    ordering = ("-history_id",)
    sortable_by = ()
    actions = ("restore",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        scope = scopes.scope_for_user(request.user)
        return actors.for_viewer(retired_now(scope), scope)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        text = normalize(search_term)
        if not text:
            return queryset, False
        # The indexes of the history are in capital letters.
        return queryset.filter(search_condition(text, scopes.scope_for_user(request.user), "icontains")), False

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return RetiredChangeList

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        context = {"title": _("Retired devices"), "opts": Device._meta}
        return super().changelist_view(request, context | (extra_context or {}))

    def has_restore_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("devices.add_device"))

    @admin.display(description=_("hospital"))
    def hospital(self, change: Any) -> str:
        return change.hospital_name or NO_HOSPITAL

    @admin.display(description=_("retired"))
    def retired_at(self, change: Any) -> str:
        return show_time(change.history_date)

    @admin.display(description="")
    def restore_button(self, change: Any) -> str:
        """Return a button of the form around the list: it sends the form's CSRF token."""
        url = reverse(RESTORE, query={"id": change.id})
        button = '<button type="submit" formaction="{}" class="row-button" aria-label="{} {}">{}</button>'
        return format_html(button, url, _("Restore"), change.device_name, _("Restore"))

    @admin.action(description=_("Restore devices"), permissions=["restore"])
    def restore(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        if not queryset.exists():
            messages.warning(request, NOTHING_TO_RESTORE)
            return None
        if page := confirmation.render_confirmation(self, request, "restore", queryset, heading=restore_heading):
            return page
        return _restore(request, queryset.values_list("id", flat=True))


def retired_message(request: HttpRequest, count: int) -> str:
    """Return the message after a retirement, with a link to take it back."""
    done = ngettext("%(count)d device was retired.", "%(count)d devices were retired.", count) % {"count": count}
    url = reverse(RESTORE, query={"request": request.request_id})  # type: ignore[attr-defined]
    return format_html('{} <a href="{}" class="font-semibold underline">{}</a>', done, url, _("Undo"))


def restore_heading(count: int) -> str:
    return ngettext("Restore %(count)d device", "Restore %(count)d devices", count) % {"count": count}


def _restore(request: HttpRequest, ids: Iterable[int]) -> HttpResponse | None:
    """Restore the devices. Return None, with a message, if that is not possible."""
    try:
        devices = registry.restore(list(ids), actor_from_request(request, Channel.ADMIN))
    except ValidationFailed as failure:
        for problem in failure.problems:
            messages.error(request, str(problem.message))
        return None
    count = len(devices)
    done = ngettext("%(count)d device was restored.", "%(count)d devices were restored.", count) % {"count": count}
    if count == 1:
        url = reverse("admin:devices_device_change", args=[devices[0].pk])
        done = format_html('{} <a href="{}" class="font-semibold underline">{}</a>', done, url, devices[0])
    messages.success(request, done)
    return redirect(DEVICES)
