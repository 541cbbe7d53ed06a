"""Emails that notify users of changes to how they sign in, and of API keys. Without EMAIL_URL none is sent.

An email is sent after the transaction is committed. If that fails, it is logged, and nothing else fails.
"""

from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.mail import send_mass_mail
from django.db import transaction
from django.utils import timezone, translation
from django.utils.text import format_lazy
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

PASSWORD_LINK_CREATED = _("A link to set a new password was created.")
PASSWORD_CHANGED = _("Your password was changed.")
TWO_FACTOR_ENABLED = _("Two-factor sign-in was set up.")
RECOVERY_CODES_CREATED = _("New recovery codes were created.")
TWO_FACTOR_RESET = _("Two-factor sign-in was turned off or reset.")
EMAIL_CHANGED = _("Your email address was changed.")
ACTIVATED = _("Your user was activated.")
DEACTIVATED = _("Your user was deactivated.")
HOSPITALS_CHANGED = _("Your hospitals were changed.")
SESSIONS_ENDED = _("An operator ended your sessions.")
KEY_ISSUED = _("You issued the API key “{name}”.")
KEY_IMPORTED = _("You imported the API key “{name}”.")
KEY_ROTATED = _("You rotated the API key “{name}”.")


def notify(user: User, event: Any, *, name: str = "", addresses: Iterable[str] = ()) -> None:
    """Send the event to the user's email address and to these addresses, one email each, after the commit.

    `name` is the API key's that the event is about.
    """
    values = {
        "event": format_lazy(event, name=name),
        "username": user.get_username(),
        "at": f"{timezone.localtime():%Y-%m-%d %H:%M %Z}",
    }
    subjects, texts = [], []
    for language, _name in settings.LANGUAGES:  # all of them, since the user's is not known
        with translation.override(language):
            subjects.append(gettext("Device registry: security notice"))
            text = gettext(
                "%(event)s\n\nUser: %(username)s\nTime: %(at)s\n\n"
                "If you did not expect this, contact the operator of the registry at once."
            )
            texts.append(text % values)
    subject, body = " / ".join(subjects), "\n\n---\n\n".join(texts) + "\n"
    mails = [(subject, body, None, [address]) for address in sorted({user.email, *addresses} - {""})]
    transaction.on_commit(lambda: send_mass_mail(mails), robust=True)
