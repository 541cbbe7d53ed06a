import logging
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandParser

from devices.accounts import two_factor
from devices.management.base import find_user

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    help = (
        "Let a user who has lost phone and recovery codes sign in to the admin with the password alone, until they "
        "set up two-factor sign-in again. In the admin, operators can do this for hospital admins, not for operators."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", metavar="USERNAME", type=find_user, help="what the person signs in with")

    def handle(self, *args: Any, user: User, **options: Any) -> None:
        two_factor.reset(user)
        logger.warning("The command reset_two_factor reset the two-factor sign-in of user %s.", user.pk)
        self.stderr.write(f"Two-factor sign-in of {user} was reset.")
