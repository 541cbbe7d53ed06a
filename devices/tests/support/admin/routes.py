"""All routes, and the expected status of each page for each role."""

from collections.abc import Iterator

from django.urls import URLResolver, get_resolver

from devices.api.views.documents import PAGES as PAGES_OF_GUIDE

# The response is the same for all users, signed in or not: test_public_page_is_the_same_for_all_users.
PUBLIC = {
    **dict.fromkeys(("api/schema", "api/schema.json", "api/schema.yaml", "api/docs", "api/guide"), 200),
    **{f"api/guide/{page}": 200 for page in PAGES_OF_GUIDE},
    "^healthz/?$": 200,
    "^readyz/?$": 200,
    "language": 302,
}

# page: GET by each of the ROLES (test_access_matrix.py), POST by each
PAGES = """
(root)                                                    302 302 302 302 302 302 | 302 302 302 302 302 302
admin/set-password/<uidb64>/<token>/                   200 302 200 200 200 200 | 200 302 200 200 200 200
admin/two-factor/                                      302 200 200 200 200 200 | 302 200 200 200 200 200
admin/two-factor/set-up/                               302 302 200 200 200 200 | 302 302 200 200 200 200
admin/sessions/                                           302 302 200 200 200 200 | 302 302 302 302 302 302
admin/help/                                            302 302 200 200 200 200 | 302 302 200 200 200 200
admin/autocomplete/                                       302 302 403 200 200 200 | 302 302 405 405 405 405
admin/search/                                             302 302 200 200 200 200 | 302 302 200 200 200 200
admin/                                                    302 302 200 200 200 200 | 302 302 200 200 200 200
admin/login/                                              200 302 302 302 302 302 | 200 302 200 200 200 200
admin/logout/                                             302 405 405 405 405 405 | 302 200 200 200 200 200
admin/password_change/                                    302 302 200 200 200 200 | 302 302 200 200 200 200
admin/password_change/done/                               302 302 200 200 200 200 | 302 302 405 405 405 405
admin/jsi18n/                                             302 200 200 200 200 200 | 302 405 405 405 405 405
admin/r/<path:content_type_id>/<path:object_id>/          302 302 404 404 404 404 | 302 302 404 404 404 404
admin/devices/apikey/                                     302 302 403 403 403 200 | 302 302 403 403 403 302
admin/devices/apikey/add/                                 302 302 403 403 403 200 | 302 302 403 403 403 200
admin/devices/apikey/<path:object_id>/audit-trail/        302 302 403 403 403 200 | 302 302 403 403 403 200
admin/devices/apikey/<path:object_id>/rotate/             302 302 403 403 403 200 | 302 302 403 403 403 200
admin/devices/apikey/<path:object_id>/revoke/             302 302 403 403 403 200 | 302 302 403 403 403 200
admin/devices/apikey/<path:object_id>/history/            302 302 403 403 403 200 | 302 302 403 403 403 200
admin/devices/apikey/<path:object_id>/delete/             302 302 403 403 403 403 | 302 302 403 403 403 403
admin/devices/apikey/<path:object_id>/change/             302 302 403 403 403 200 | 302 302 403 403 403 403
admin/devices/apikey/<path:object_id>/                    302 302 302 302 302 302 | 302 302 302 302 302 302
admin/devices/device/export<str:file_format>                   302 302 403 405 405 405 | 302 302 403 200 200 200
admin/devices/device/retired/                             302 302 403 200 200 200 | 302 302 403 200 200 200
admin/devices/device/retired/restore/                     302 302 403 302 302 302 | 302 302 403 302 302 302
admin/devices/device/import/template<str:ending>          302 302 403 200 200 200 | 302 302 403 200 200 200
admin/devices/device/import/<uuid:upload_id>/             302 302 403 404 200 404 | 302 302 403 404 302 404
admin/devices/device/import/<uuid:upload_id>/errors.xlsx  302 302 403 404 200 404 | 302 302 403 404 200 404
admin/devices/device/import/                              302 302 403 200 200 200 | 302 302 403 200 200 200
admin/devices/device/                                     302 302 403 200 200 200 | 302 302 403 200 302 302
admin/devices/device/add/                                 302 302 403 200 200 200 | 302 302 403 200 302 302
admin/devices/device/<path:object_id>/audit-trail/        302 302 403 403 403 200 | 302 302 403 403 403 200
admin/devices/device/<path:object_id>/history/            302 302 404 404 200 200 | 302 302 404 404 200 200
admin/devices/device/<path:object_id>/delete/             302 302 403 404 200 200 | 302 302 403 404 302 302
admin/devices/device/<path:object_id>/change/             302 302 403 404 200 200 | 302 302 403 404 302 302
admin/devices/device/<path:object_id>/                    302 302 302 302 302 302 | 302 302 302 302 302 302
admin/devices/historicaldevice/                           302 302 403 200 200 200 | 302 302 403 302 302 302
admin/devices/historicaldevice/add/                       302 302 403 403 403 403 | 302 302 403 403 403 403
admin/devices/historicaldevice/<path:object_id>/audit-trail/ 302 302 403 403 403 200 | 302 302 403 403 403 200
admin/devices/historicaldevice/<path:object_id>/history/  302 302 404 404 404 404 | 302 302 404 404 404 404
admin/devices/historicaldevice/<path:object_id>/delete/   302 302 403 403 403 403 | 302 302 403 403 403 403
admin/devices/historicaldevice/<path:object_id>/change/   302 302 404 404 404 404 | 302 302 404 404 404 404
admin/devices/historicaldevice/<path:object_id>/          302 302 302 302 302 302 | 302 302 302 302 302 302
admin/devices/hospital/                                   302 302 403 200 200 200 | 302 302 403 200 200 200
admin/devices/hospital/add/                               302 302 403 403 403 200 | 302 302 403 403 403 302
admin/devices/hospital/<path:object_id>/audit-trail/      302 302 403 403 403 200 | 302 302 403 403 403 200
admin/devices/hospital/<path:object_id>/history/          302 302 404 404 200 200 | 302 302 404 404 200 200
admin/devices/hospital/<path:object_id>/delete/           302 302 403 403 403 403 | 302 302 403 403 403 403
admin/devices/hospital/<path:object_id>/change/           302 302 403 404 200 200 | 302 302 403 403 403 302
admin/devices/hospital/<path:object_id>/                  302 302 302 302 302 302 | 302 302 302 302 302 302
admin/devices/staffuser/                                     302 302 403 403 403 200 | 302 302 403 403 403 302
admin/devices/staffuser/add/                                 302 302 403 403 403 200 | 302 302 403 403 403 302
admin/devices/staffuser/<path:object_id>/link/               302 302 403 403 403 302 | 302 302 403 403 403 302
admin/devices/staffuser/<path:object_id>/new-link/           302 302 403 403 403 200 | 302 302 403 403 403 200
admin/devices/staffuser/<path:object_id>/reset-two-factor/   302 302 403 403 403 200 | 302 302 403 403 403 200
admin/devices/staffuser/<path:object_id>/audit-trail/        302 302 403 403 403 200 | 302 302 403 403 403 200
admin/devices/staffuser/<path:object_id>/history/            302 302 403 403 403 302 | 302 302 403 403 403 302
admin/devices/staffuser/<path:object_id>/delete/             302 302 403 403 403 403 | 302 302 403 403 403 403
admin/devices/staffuser/<path:object_id>/change/             302 302 403 403 403 200 | 302 302 403 403 403 302
admin/devices/staffuser/<path:object_id>/                    302 302 302 302 302 302 | 302 302 302 302 302 302
admin/devices/auditevent/                                 302 302 403 403 403 200 | 302 302 403 403 403 200
admin/devices/auditevent/add/                             302 302 403 403 403 403 | 302 302 403 403 403 403
admin/devices/auditevent/<path:object_id>/history/        302 302 403 403 403 200 | 302 302 403 403 403 200
admin/devices/auditevent/<path:object_id>/delete/         302 302 403 403 403 403 | 302 302 403 403 403 403
admin/devices/auditevent/<path:object_id>/change/         302 302 403 403 403 200 | 302 302 403 403 403 403
admin/devices/auditevent/<path:object_id>/                302 302 302 302 302 302 | 302 302 302 302 302 302
admin/^(?P<app_label>devices)/$                           302 302 404 200 200 200 | 302 302 404 200 200 200
admin/(?P<url>.*)$                                        302 302 404 404 404 404 | 302 302 404 404 404 404
"""

Ids = dict[str, str]

QUERIES = {
    "admin/autocomplete/": "?app_label=devices&model_name=device&field_name=device_holder&term=",
    "admin/search/": "?s=Harapan",
}


def walk(resolver: URLResolver | None = None, before: str = "") -> Iterator[str]:
    """Yield all routes as the URL configuration has them. Routes of the API have no trailing slash."""
    for pattern in (resolver or get_resolver()).url_patterns:
        route = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from walk(pattern, route)
        else:
            yield route.rstrip("/") if route.startswith("api") else route


def rows(table: str) -> list[list[str]]:
    return [line.replace("|", " ").split() for line in table.strip().splitlines()]


def url_for(route: str, ids: Ids) -> str:
    """Return a URL of the route with these ids."""
    model = route.split("/")[2] if route.count("/") > 2 else ""
    places = {
        "(root)": "",
        "<int:id_device>": ids["device"],
        "<int:hospital_id>": ids["hospital"],
        "r/<path:content_type_id>/<path:object_id>": f"r/{ids['content_type']}/{ids['device']}",
        "<path:object_id>": ids.get(model, ""),
        "<uuid:upload_id>": ids["upload"],
        "<str:ending>": ".csv",
        "<str:file_format>": ".csv",
        "<uidb64>/<token>": f"{ids['staffuser']}/x",
        "^(?P<app_label>devices)/$": "devices/",
        "(?P<url>.*)$": "missing/",
        "/?$": "",
        "^": "",
    }
    for place, value in places.items():
        route = route.replace(place, value)
    return f"/{route}{QUERIES.get(route, '')}"
