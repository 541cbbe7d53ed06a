"""Emails that notify users of changes to how they sign in, and of API keys. Without EMAIL_URL none is sent.

An email is sent after the transaction is committed. If that fails, it is logged, and nothing else fails.
"""

from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.mail import send_mail
from django.db import transaction
from django.utils import timezone, translation
from django.utils.text import format_lazy
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

PASSWORD_LINK_MADE = _("A link to set a new password was created.")
PASSWORD_CHANGED = _("Your password was changed.")
SECOND_FACTOR_SET_UP = _("Two-factor sign-in was set up.")
RECOVERY_CODES_MADE = _("New recovery codes were created.")
SECOND_FACTOR_RESET = _("Two-factor sign-in was turned off or reset.")
EMAIL_CHANGED = _("Your email address was changed.")
ACTIVATED = _("Your user was activated.")
DEACTIVATED = _("Your user was deactivated.")
HOSPITALS_CHANGED = _("Your hospitals were changed.")
SESSIONS_ENDED = _("An operator ended your sessions.")
KEY_ISSUED = _("You issued the API key “{name}”.")
KEY_IMPORTED = _("You imported the API key “{name}”.")
KEY_ROTATED = _("You rotated the API key “{name}”.")


def notify_of_key(user: User, event: Any, name: str) -> None:
    """Send the event of the API key with this name to the user who caused it."""
    notify(user, format_lazy(event, name=name))


def notify(user: User, event: Any, *, addresses: Iterable[str] = ()) -> None:
    """Send the event to the user's email address, and to these addresses."""
    subject, text = _subject_and_text(user, event)

    def send() -> None:
        for address in sorted({user.email, *addresses} - {""}):  # one each: none is told the other address
            send_mail(subject, text, from_email=None, recipient_list=[address])

    transaction.on_commit(send, robust=True)


def _subject_and_text(user: User, event: Any) -> tuple[str, str]:
    """Write it in each language, for it is not known which one the user reads."""
    subjects, texts = [], []
    for language, _name in settings.LANGUAGES:
        with translation.override(language):
            subjects.append(gettext("Device registry: security notice"))
            at = f"{timezone.localtime():%Y-%m-%d %H:%M %Z}"
            values = {"event": event, "username": user.get_username(), "at": at}
            texts.append(
                gettext(
                    "%(event)s\n\nUser: %(username)s\nTime: %(at)s\n\n"
                    "If you did not expect this, contact the operator of the registry at once."
                )
                % values
            )
    return " / ".join(subjects), "\n\n---\n\n".join(texts) + "\n"
