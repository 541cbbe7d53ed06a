from functools import partial

from django.contrib import admin
from django.contrib.auth.decorators import login_not_required
from django.urls import include, path, re_path
from django.views.generic import RedirectView
from django.views.i18n import set_language

from cexup import errors, health
from devices.admin import account, second_factor
from devices.admin.access import autocomplete_view
from devices.api.views import NoSuchRoute

urlpatterns = [
    path("api/", include("devices.api.urls")),  # first: most requests are of the API
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("language", login_not_required(set_language), name="set_language"),
    path("api", NoSuchRoute.as_view()),
    path("admin/choose-password/<uidb64>/<token>/", account.ChoosePassword.as_view(), name="choose_password"),
    path("admin/second-factor/", second_factor.check, name="second_factor"),
    path("admin/second-factor/set-up/", second_factor.set_up_or_keep, name="second_factor_set_up"),
    path("admin/password_change/", admin.site.admin_view(account.ChangePassword.as_view()), name="change_password"),
    path("admin/sessions/", account.your_sessions, name="your_sessions"),
    path("admin/autocomplete/", admin.site.admin_view(autocomplete_view)),
    path("admin/", admin.site.urls),
    re_path("^healthz/?$", health.healthz),
    re_path("^readyz/?$", health.readyz),
]

handler400 = partial(errors.error, code=400)
handler403 = partial(errors.error, code=403)
handler404 = partial(errors.error, code=404)
handler500 = errors.server_error
