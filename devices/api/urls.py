"""The endpoints. Each works with and without a trailing slash, without a redirect."""

from django.urls import path, re_path
from drf_spectacular.views import SpectacularJSONAPIView, SpectacularSwaggerSplitView

from devices.api.views.changes import ChangeViewSet
from devices.api.views.devices import ApiNotFound, DeviceViewSet
from devices.api.views.lookup import LookupViewSet

routes = {
    "devices": DeviceViewSet.as_view({"get": "list", "post": "create"}),
    "devices/changes": ChangeViewSet.as_view({"get": "follow"}),
    "device": DeviceViewSet.as_view({"post": "create", "put": "update_by_key"}),
    "device/<int:id_device>": DeviceViewSet.as_view(
        {"get": "retrieve", "put": "update", "patch": "partial_update", "delete": "destroy"}
    ),
    "devices/lookup": LookupViewSet.as_view({"post": "look_up"}),
    "device/<int:id_device>/changes": ChangeViewSet.as_view({"get": "of_device"}),
    "schema": SpectacularJSONAPIView.as_view(),
    "docs": SpectacularSwaggerSplitView.as_view(url="/api/schema"),
}

urlpatterns = [
    *(path(route, view) for route, view in routes.items()),
    *(path(f"{route}/", view) for route, view in routes.items()),
    re_path("", ApiNotFound.as_view()),
]
