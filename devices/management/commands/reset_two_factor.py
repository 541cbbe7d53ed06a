import logging
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandParser

from devices.accounts import two_factor
from devices.management.base import find_user

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    help = (
        "Reset two-factor authentication for a user who has lost both phone and recovery codes. The user signs in with "
        "the password alone until two-factor authentication is set up again. In the admin, operators can do this for "
        "hospital admins, but not for operators."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "user", metavar="USERNAME", type=find_user, help="the name or email address that the user signs in with"
        )

    def handle(self, *args: Any, user: User, **options: Any) -> None:
        two_factor.reset(user)
        logger.warning("The command reset_two_factor reset two-factor authentication of user %s.", user.pk)
        self.stderr.write(f"Two-factor authentication of {user} was reset.")
