from django.contrib import admin
from django.urls import include, path, re_path

from cexup import health
from devices.admin.people import ChoosePassword
from devices.api.views import NoSuchRoute

urlpatterns = [
    path("api/", include("devices.api.urls")),
    path("api", NoSuchRoute.as_view()),
    path("admin/choose-password/<uidb64>/<token>/", ChoosePassword.as_view(), name="choose_password"),
    path("admin/", admin.site.urls),
    re_path("^healthz/?$", health.healthz),
    re_path("^readyz/?$", health.readyz),
]

handler400 = "devices.api.envelope.bad_request"
handler403 = "devices.api.envelope.permission_denied"
handler404 = "devices.api.envelope.page_not_found"
handler500 = "devices.api.envelope.server_error"
