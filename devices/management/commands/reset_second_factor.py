import logging
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser

from devices import second_factor

logger = logging.getLogger(__name__)


def find_user(username: str) -> User:
    user = User.objects.filter(username=username).first()
    if user is None:
        raise CommandError(f"Nobody signs in as {username}.")
    return user


class Command(BaseCommand):
    help = (
        "Let somebody who has lost phone and recovery codes sign in to the admin with the password alone, until they "
        "set up two-factor sign-in again. In the admin, operators can do this for hospital admins, not for operators."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username", metavar="USERNAME", help="what the person signs in with")

    def handle(self, *args: Any, username: str, **options: Any) -> None:
        user = find_user(username)
        second_factor.reset(user)
        logger.warning("The command reset_second_factor reset the two-factor sign-in of user %s.", user.pk)
        self.stderr.write(f"Two-factor sign-in of {username} was reset.")
