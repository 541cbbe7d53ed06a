from functools import partial

from django.contrib import admin
from django.contrib.auth.decorators import login_not_required
from django.urls import include, path, re_path
from django.views.generic import RedirectView
from django.views.i18n import set_language

from cexup import error_views, health
from devices.admin import account, two_factor
from devices.admin.base import autocomplete_view
from devices.api.views.documents import IndexView

urlpatterns = [
    path("api/", include("devices.api.urls")),  # first: most requests are of the API
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("language", login_not_required(set_language), name="set_language"),
    path("api", IndexView.as_view()),
    path("admin/set-password/<uidb64>/<token>/", account.SetPassword.as_view(), name="set_password"),
    path("admin/two-factor/", two_factor.verify_view, name="two_factor"),
    path("admin/two-factor/set-up/", two_factor.settings_view, name="two_factor_settings"),
    path("admin/password_change/", admin.site.admin_view(account.ChangePassword.as_view()), name="change_password"),
    path("admin/sessions/", account.your_sessions, name="your_sessions"),
    path("admin/help/", account.help_page, name="help"),
    path("admin/autocomplete/", admin.site.admin_view(autocomplete_view)),
    path("admin/", admin.site.urls),
    re_path("^healthz/?$", health.healthz),
    re_path("^readyz/?$", health.readyz),
]

handler400 = partial(error_views.error, code=400)
handler403 = partial(error_views.error, code=403)
handler404 = partial(error_views.error, code=404)
handler500 = error_views.server_error
