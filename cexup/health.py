"""Tell load balancers and supervisors whether the process is up and whether it works, without a key."""

import logging

from django.contrib.auth.decorators import login_not_required
from django.db import Error
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from cexup import __version__
from devices.api import responses
from devices.models import ChangeFeed
from devices.values.errors import FieldError

logger = logging.getLogger(__name__)


@csrf_exempt
@login_not_required
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """200: the process is up. `data` has the version of the registry."""
    return responses.success({"version": __version__}, _("The process is up."))


@csrf_exempt
@login_not_required
@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """200: the database answers. 503: it does not, so send nothing here.

    It reads a table: `SELECT 1` would not notice a missing SQLite file or migration. A database that is read-only is
    ready, since clients can read.
    """
    try:
        ChangeFeed.objects.exists()
    except Error:
        logger.exception("The database does not answer.")
        return responses.error_with_data(503, FieldError(None, "unavailable", _("The database does not answer.")), [])
    return responses.success([], _("The database answers."))
