"""Health checks for load balancers and supervisors. They need no key."""

import logging

from django.contrib.auth.decorators import login_not_required
from django.db import Error
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from cexup import __version__
from devices.api import responses
from devices.api.exceptions import Unavailable
from devices.db.transactions import outage_cause
from devices.models import ChangeFeed
from devices.values.error_codes import ErrorCode
from devices.values.errors import FieldError
from devices.values.outages import with_cause

logger = logging.getLogger(__name__)


@csrf_exempt
@login_not_required
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """Return 200: the process is running. `data` has the version of the registry."""
    return responses.success({"version": __version__}, _("The process is running."))


@csrf_exempt
@login_not_required
@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """Return 200 if the database responds. Otherwise return 503: a load balancer should send no requests here.

    It reads a table, because `SELECT 1` would not notice a missing SQLite file or a missing migration. A read-only
    database is ready: clients can read.
    """
    try:
        ChangeFeed.objects.exists()
    except Error as error:
        logger.exception("The database does not respond.")
        problem = FieldError(None, ErrorCode.UNAVAILABLE, _("The database does not respond."))
        return with_cause(responses.error_response([problem], 503, wait=Unavailable.wait), outage_cause(error))
    return responses.success([], _("The database responds."))
