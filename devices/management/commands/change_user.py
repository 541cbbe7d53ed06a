import logging
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import CommandError, CommandParser
from django.core.validators import validate_email
from django.db import transaction

from devices.accounts import users
from devices.management.base import RegistryCommand, argument, find_user

logger = logging.getLogger(__name__)


class Command(RegistryCommand):
    help = (
        "Change the email address of a user, or deactivate or activate the user. Operators can be changed only with "
        "this command: in the admin, an operator cannot change how another operator signs in."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "user", metavar="USERNAME", type=find_user, help="the name or email address that the user signs in with"
        )
        parser.add_argument("--email", type=argument(_email), help="new email address; hospital admins sign in with it")
        active = parser.add_mutually_exclusive_group()
        active.add_argument("--activate", dest="is_active", action="store_true", default=None, help="allow sign-in")
        active.add_argument("--deactivate", dest="is_active", action="store_false", default=None, help="block sign-in")

    @transaction.atomic
    def handle(self, *args: Any, user: User, email: str | None, is_active: bool | None, **options: Any) -> None:
        if email is None and is_active is None:
            raise CommandError("Specify --email, --activate or --deactivate.")
        if email is not None:
            users.change_email(user, email)
        if is_active is not None:
            user.is_active = is_active
            user.save(update_fields=["is_active"])
        logger.warning("The command change_user changed user %s.", user.pk)
        self.stderr.write(f"User {user} was changed.")


def _email(text: str) -> str:
    validate_email(text)
    return text
