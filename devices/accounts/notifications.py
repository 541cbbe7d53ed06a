"""Notify users by email of changes to their sign-in, and of API keys. Without EMAIL_URL no email is sent.

Emails are sent after the transaction is committed. A failure to send them is logged and has no other effect.
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
PASSWORD_CHANGED = _("The password of your account was changed.")
TWO_FACTOR_ENABLED = _("Two-factor authentication was set up.")
RECOVERY_CODES_CREATED = _("New recovery codes were created.")
TWO_FACTOR_RESET = _("Two-factor authentication was turned off or reset.")
EMAIL_CHANGED = _("Your email address was changed.")
ACTIVATED = _("Your account was activated.")
DEACTIVATED = _("Your account was deactivated.")
HOSPITALS_CHANGED = _("Your hospitals were changed.")
SESSIONS_ENDED = _("An operator ended your sessions.")
KEY_ISSUED = _("You issued the API key “{name}”.")
KEY_IMPORTED = _("You imported the API key “{name}”.")
KEY_ROTATED = _("You rotated the API key “{name}”.")


def notify(user: User, event: Any, *, name: str = "", addresses: Iterable[str] = ()) -> None:
    """Send one email to the user's address, and one to each of `addresses`, after the commit.

    `event` is a message of this module. `name` is the name of the API key in it, if it has one.
    """
    values = {
        "event": format_lazy(event, name=name),
        "username": user.get_username(),
        "at": f"{timezone.localtime():%Y-%m-%d %H:%M %Z}",
    }
    subjects, texts = [], []
    for language, _name in settings.LANGUAGES:  # all, because the language of the user is not stored
        with translation.override(language):
            subjects.append(gettext("Device registry: security notice"))
            text = gettext(
                "%(event)s\n\nUser: %(username)s\nTime: %(at)s\n\n"
                "If you did not expect this, contact the operator of the registry immediately."
            )
            texts.append(text % values)
    subject, body = " / ".join(subjects), "\n\n---\n\n".join(texts) + "\n"
    mails = [(subject, body, None, [address]) for address in sorted({user.email, *addresses} - {""})]
    transaction.on_commit(lambda: send_mass_mail(mails), robust=True)
