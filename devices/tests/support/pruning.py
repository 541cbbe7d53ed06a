"""Prune in tests."""

import io

from django.core.management import call_command


def prune(*arguments: str) -> list[str]:
    out = io.StringIO()
    call_command("prune", *arguments, stdout=out)
    return out.getvalue().splitlines()


TIME = ["--changes", "2200"]  # six years, and some days


PAST = 2201
