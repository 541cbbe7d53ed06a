"""Describe the request in each log record, and write a record for each response (ACCESS_LOG).

The settings add this middleware only with LOG_FORMAT=json or ACCESS_LOG.
"""

import logging
import weakref
from collections.abc import Callable
from time import perf_counter
from typing import Any

from django.conf import settings
from django.http import HttpRequest

from cexup import logs, request_context
from cexup.middleware import HEALTH_CHECKS

logger = logging.getLogger(__name__)


class AccessLogMiddleware:
    """Let records have the fields of the request, and log the response with its status and duration.

    Health checks have no record of their response: they would be the most frequent ones.

    The duration is that of the application until the response begins. A download continues after it. No record has the
    path or the query string, because they may contain a secret.
    """

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.writes_responses = settings.ACCESS_LOG

    def __call__(self, request: HttpRequest) -> Any:
        began = perf_counter()
        logs.current_request_fields.set(_fields_of(request))
        response = self.get_response(request)
        if self.writes_responses and request.path_info not in HEALTH_CHECKS:
            duration = round((perf_counter() - began) * 1000, 2)
            fields = {"status": response.status_code, "duration_ms": duration}
            logger.info("A request ended.", extra={"fields": fields})
        return response


def _fields_of(request: HttpRequest) -> Callable[[], dict[str, Any]]:
    """Return a function that describes the request as long as it exists.

    The thread keeps the function until its next request, because Django logs errors after all middleware. It must not
    keep the request, which may have a large body.
    """
    reference = weakref.ref(request)

    def fields() -> dict[str, Any]:
        found = reference()
        return request_context.describe(found) if found is not None else {}

    return fields
