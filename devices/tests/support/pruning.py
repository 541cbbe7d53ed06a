"""Run `prune`."""

import io

from django.core.management import call_command


def prune(*arguments: str) -> list[str]:
    out = io.StringIO()
    call_command("prune", *arguments, stdout=out)
    return out.getvalue().splitlines()


CHANGES = ["--changes", "2200"]  # days: more than six years
PAST = 2201  # days ago: changes that these arguments remove
