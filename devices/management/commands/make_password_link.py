import logging
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandParser

from devices.accounts import users
from devices.management.base import find_user

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    help = (
        "Create a link with which a user can set a new password. It works once, within three days. Only its path is "
        "printed on stdout: put the URL of the registry before it, and send it to that user only."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "user", metavar="USERNAME", type=find_user, help="the name or email address that the user signs in with"
        )

    def handle(self, *args: Any, user: User, **options: Any) -> None:
        path = users.create_password_link(user)
        logger.warning("The command make_password_link made a link for user %s.", user.pk)
        self.stderr.write(f"Path of the password link for {user}:")
        self.stdout.write(path)
