"""The endpoints. Each works with and without a trailing slash, without a redirect."""

from django.urls import path, re_path
from drf_spectacular.views import SpectacularSwaggerSplitView

from devices.api.views import documents
from devices.api.views.changes import ChangeViewSet
from devices.api.views.devices import ApiNotFound, DeviceViewSet
from devices.api.views.hospitals import HospitalViewSet
from devices.api.views.key import KeyViewSet
from devices.api.views.lookup import LookupViewSet

routes = {
    "devices": DeviceViewSet.as_view({"get": "list", "post": "create"}),
    "devices/batch": DeviceViewSet.as_view({"post": "create_individually"}),
    "devices/changes": ChangeViewSet.as_view({"get": "follow"}),
    "devices/lookup": LookupViewSet.as_view({"post": "look_up"}),
    "device": DeviceViewSet.as_view({"post": "create_one", "put": "update_by_key"}),
    "device/<int:id_device>": DeviceViewSet.as_view(
        {"get": "retrieve", "put": "update", "patch": "partial_update", "delete": "destroy"}
    ),
    "device/<int:id_device>/changes": ChangeViewSet.as_view({"get": "of_device"}),
    "key": KeyViewSet.as_view({"get": "describe"}),
    "hospitals": HospitalViewSet.as_view({"get": "list"}),
    "hospital/<int:hospital_id>": HospitalViewSet.as_view({"get": "retrieve"}),
    "schema": documents.SchemaView.as_view(),
    "schema.json": documents.SchemaView.as_view(file_format="json"),
    "schema.yaml": documents.SchemaView.as_view(file_format="yaml"),
    "docs": SpectacularSwaggerSplitView.as_view(url="/api/schema", http_method_names=documents.METHODS),
    "guide": documents.GuideView.as_view(),
    **{f"guide/{page}": documents.GuideView.as_view(page=page) for page in documents.PAGES},
}

urlpatterns = [
    *(path(route, view) for route, view in routes.items()),
    *(path(f"{route}/", view) for route, view in routes.items()),
    path("", documents.IndexView.as_view()),
    re_path("", ApiNotFound.as_view()),
]
