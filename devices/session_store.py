"""The session engine (SESSION_ENGINE): Django's, in the database, with a hash of the key and encrypted data.

Data of a session can be a secret: of an opened password link, Django keeps the token in it.

https://docs.djangoproject.com/en/5.2/topics/http/sessions/#extending-database-backed-session-engines
"""

import hashlib
import logging
from datetime import UTC, datetime
from typing import Any

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends import db
from django.contrib.sessions.backends.base import SessionBase
from django.utils import timezone

from devices import audit, seal
from devices.models import Session
from devices.models.sessions import BEGAN_AT, USER_AGENT_LENGTH
from devices.origin import client_address

logger = logging.getLogger(__name__)

CONTEXT = b"devices.session_store: session data, v1"


def hashed(session_key: str) -> str:
    """Return what is stored of a key. The key has 165 random bits, so an unsalted hash cannot be guessed."""
    return hashlib.sha256(session_key.encode()).hexdigest()


class SessionStore(db.SessionStore):
    @classmethod
    def get_model_class(cls) -> type[Session]:
        return Session

    def load(self) -> dict[str, Any]:
        key = self.session_key or ""
        row = Session.objects.filter(pk=hashed(key), expire_date__gt=timezone.now()).first()
        if row is None:
            self._session_key = None  # as Django's stores do: a key that is not ours is never adopted
            return {}
        return self.decode(row.session_data)

    def encode(self, session_dict: dict[str, Any]) -> str:
        return seal.encrypt(self.serializer().dumps(session_dict), context=CONTEXT)

    def decode(self, session_data: str) -> dict[str, Any]:  # type: ignore[override]  # the column is text
        """Return the data, or an empty session if no key decrypts it, as Django does if the signature is wrong."""
        plain = seal.decrypt(session_data, context=CONTEXT)
        if plain is None:
            logger.warning("The data of a session cannot be decrypted")
            return {}
        return dict(self.serializer().loads(plain))

    def exists(self, session_key: str | None) -> bool:
        return Session.objects.filter(pk=hashed(session_key or "")).exists()

    def delete(self, session_key: str | None = None) -> None:
        if key := session_key or self.session_key:
            Session.objects.filter(pk=hashed(key)).delete()

    def create_model_instance(self, data: dict[str, Any]) -> Session:
        row: Session = super().create_model_instance(data)  # type: ignore[assignment]
        row.session_key = hashed(row.session_key)
        row.user_id = data.get(SESSION_KEY)
        if began_at := data.get(BEGAN_AT):
            row.created_at = datetime.fromtimestamp(began_at, UTC)
        if request := audit.current_request.get():
            row.address = client_address(request)
            row.user_agent = request.headers.get("User-Agent", "")[:USER_AGENT_LENGTH]
        return row

    # Django's database store has asynchronous versions of its own, which would store the key itself.
    aload, aexists, adelete = SessionBase.aload, SessionBase.aexists, SessionBase.adelete
    acreate, asave = SessionBase.acreate, SessionBase.asave
