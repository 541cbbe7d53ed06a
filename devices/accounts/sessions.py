"""Store, list and end the sessions of signed-in users, and record in a session that its user confirmed the identity.

The session engine (SESSION_ENGINE) is Django's database engine. It stores only a hash of the session key, and encrypts
the session's data, because Django keeps the token of an opened password link there.
https://docs.djangoproject.com/en/5.2/topics/http/sessions/#extending-database-backed-session-engines

Users must confirm their identity before they change how a user signs in, so that a stolen or open session does not
suffice (admin/step_up.py). A sign-in counts as a confirmation.
"""

import hashlib
import logging
import time
from datetime import UTC, datetime
from typing import Any

from django.contrib.auth import SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.backends import db
from django.contrib.sessions.backends.base import SessionBase
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from devices.access import current
from devices.access.client_ip import client_ip
from devices.audit import audit_log
from devices.audit.audit_log import Action
from devices.crypto import encryption
from devices.models import Session
from devices.models.users import USER_AGENT_LENGTH

logger = logging.getLogger(__name__)

CONTEXT = b"devices.session_store: session data, v1"  # of the encryption: a different value would end all sessions
BEGAN_AT, CONFIRMED_AT = "began_at", "confirmed_at"  # in the session's data: seconds since 1970 UTC
FRESH_FOR = 5 * 60  # seconds


class SessionStore(db.SessionStore):
    @classmethod
    def get_model_class(cls) -> type[Session]:
        return Session

    def load(self) -> dict[str, Any]:
        row = Session.objects.filter(pk=hash_key(self.session_key), expire_date__gt=timezone.now()).first()
        if row is None:
            self._session_key = None  # as in Django's stores: an unknown key is never adopted
            return {}
        return self.decode(row.session_data)

    def encode(self, session_dict: dict[str, Any]) -> str:
        return encryption.encrypt(self.serializer().dumps(session_dict), context=CONTEXT)

    def decode(self, session_data: str) -> dict[str, Any]:  # type: ignore[override]  # the column is text
        """Return the data, or an empty session if no key decrypts it. Django does so for an invalid signature."""
        plain = encryption.decrypt(session_data, context=CONTEXT)
        if plain is None:
            logger.warning("The data of a session cannot be decrypted")
            return {}
        return dict(self.serializer().loads(plain))

    def exists(self, session_key: str | None) -> bool:
        return Session.objects.filter(pk=hash_key(session_key)).exists()

    def delete(self, session_key: str | None = None) -> None:
        if key := session_key or self.session_key:
            Session.objects.filter(pk=hash_key(key)).delete()

    def create_model_instance(self, data: dict[str, Any]) -> Session:
        row: Session = super().create_model_instance(data)  # type: ignore[assignment]
        row.session_key = hash_key(row.session_key)
        row.user_id = data.get(SESSION_KEY)
        if began_at := data.get(BEGAN_AT):
            row.created_at = datetime.fromtimestamp(began_at, UTC)
        if request := current.current_request.get():
            row.ip_address = client_ip(request)
            row.user_agent = request.headers.get("User-Agent", "")[:USER_AGENT_LENGTH]
        return row

    # The asynchronous methods of Django's database store would store the key itself.
    aload, aexists, adelete = SessionBase.aload, SessionBase.aexists, SessionBase.adelete
    acreate, asave = SessionBase.acreate, SessionBase.asave


def hash_key(session_key: str | None) -> str:
    """Return the stored hash of a key. A key has 165 random bits, so an unsalted hash cannot be guessed."""
    return hashlib.sha256((session_key or "").encode()).hexdigest()


def current_id() -> str:
    """Return the id of the current request's session. Without a session, return an id that no session has."""
    return hash_key(getattr(getattr(current.current_request.get(), "session", None), "session_key", None))


def sessions_of(user: User) -> QuerySet[Session]:
    """Return the unexpired sessions of the user, the most recently used first."""
    return Session.objects.filter(user_id=user.pk, expire_date__gt=timezone.now()).order_by("-last_seen_at")


@transaction.atomic
def end_others(user: User, session_id: str | None = None) -> int:
    """End all sessions of the user except the current one, or only the session with this id. Return their number.

    If another user sent the current request, or there is no request, all sessions of the user end.
    """
    others = sessions_of(user).exclude(pk=current_id())
    if session_id is not None:  # the value comes from a form and must not reach the database
        others = others.filter(pk__in={session_id} & set(others.values_list("pk", flat=True)))
    count, _by_model = others.delete()
    if count:
        audit_log.record(Action.SESSION_ENDED, obj=user, count=count)
    return count


def end_all() -> int:
    """End the sessions of all users, and return their number."""
    count, _by_model = Session.objects.all().delete()
    return int(count)


def begin(request: HttpRequest) -> None:
    """Store in the session that the user has just signed in."""
    request.session[BEGAN_AT] = request.session[CONFIRMED_AT] = time.time()


def is_fresh(request: HttpRequest) -> bool:
    """Return whether the user entered a password or code in this session within FRESH_FOR seconds."""
    age = time.time() - request.session.get(CONFIRMED_AT, 0)
    return bool(0 <= age < FRESH_FOR)


def confirm(request: HttpRequest) -> None:
    """Store in the session that the user has just entered a password or code."""
    request.session[CONFIRMED_AT] = time.time()
