"""Is it up, and does it work: for load balancers and supervisors, without a key."""

import logging

from django.contrib.auth.decorators import login_not_required
from django.db import Error
from django.http import HttpRequest, JsonResponse
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from devices.api import envelope
from devices.models import ChangeFeed

logger = logging.getLogger(__name__)


@csrf_exempt
@login_not_required
@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """200: the process is up."""
    return _answer(200, _("The process is up."))


@csrf_exempt
@login_not_required
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """200: the database answers. 503: it does not, so send nothing here.

    It is asked for something that lies in it: `SELECT 1` would say nothing of SQLite's file, or of a migration that is
    still to be done. Somebody who can read only is served too, so a database that takes no writes is ready.
    """
    try:
        ChangeFeed.objects.exists()
    except Error:
        logger.exception("The database does not answer.")
        return _answer(503, _("The database does not answer."))
    return _answer(200, _("The database answers."))


def _answer(code: int, message: str) -> JsonResponse:
    return JsonResponse(envelope.body(code, message, []), status=code)
