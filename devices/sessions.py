"""The sessions of signed-in users: list them and end them."""

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from devices import audit
from devices.audit import What
from devices.models import Session
from devices.session_store import hashed


def of_user(user: User) -> QuerySet[Session]:
    """Return the sessions of the user that have not expired, the last used one first."""
    return Session.objects.filter(user_id=user.pk, expire_date__gt=timezone.now()).order_by("-last_seen_at")


def current_id() -> str:
    """Return the id of the session of the current request, or an empty string."""
    session = getattr(audit.current_request.get(), "session", None)
    return hashed(session.session_key) if session and session.session_key else ""


def end(user: User, session_id: str) -> int:
    """End this session if it is another one of the user; return how many were ended, 0 or 1."""
    known = session_id in of_user(user).values_list("pk", flat=True)  # no database reads what a form sends
    return _end(of_user(user).filter(pk=session_id), user) if known else 0


def end_others(user: User) -> int:
    """End all sessions of the user, except the session of the current request; return how many were ended.

    If the current request is another user's, or there is none, all sessions of the user end.
    """
    return _end(of_user(user), user)


@transaction.atomic
def _end(sessions: QuerySet[Session], user: User) -> int:
    count, _by_model = sessions.exclude(pk=current_id()).delete()
    if count:
        audit.note(What.SESSION_ENDED, about=user, count=count)
    return count
