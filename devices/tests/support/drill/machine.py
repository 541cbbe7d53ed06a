"""A machine on which the commands of the documentation run. Only their paths, port and passwords are replaced."""

import os
import re
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from devices.tests.support.drill import pages
from devices.tests.support.drill.report import Report
from devices.tests.support.services.faults import Registry
from devices.tests.support.services.server import ROOT

# `manage.py` is a function on a server, and `sudo` runs a program of PostgreSQL as its user. Here only pgBackRest needs
# that user, because it reads and writes the data directory. The others connect as the superuser.
PROGRAMS = {
    "manage.py": 'exec "{python}" "{root}/manage.py" "$@"',
    "sudo": 'shift 2; [ "$1" = pgbackrest ] && [ "$(id -u)" = 0 ] && exec runuser -u "{user}" -- "$@"; exec "$@"',
}


class Machine:
    """The folders, the programs and the services of a server.

    replaced: parts of the commands, and what is used for them here.
    services: for each service of `systemctl`, the functions that start and stop it.
    """

    def __init__(
        self, folder: Path, environment: Mapping[str, str], replaced: Mapping[str, str], user: str = ""
    ) -> None:
        self.folder, self.replaced, self.cwd = folder, dict(replaced), ROOT
        programs = folder / "bin"
        programs.mkdir(exist_ok=True)
        for name, text in PROGRAMS.items():
            script = text.format(python=sys.executable, root=ROOT, user=user)
            (programs / name).write_text(f"#!/bin/sh\n{script}\n")
            (programs / name).chmod(0o755)
        self.environment = {**os.environ, **environment, "PATH": f"{programs}:{os.environ['PATH']}"}
        self.services: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {}
        self.registry: Registry | None = None

    def do(self, page: str, heading: str, report: Report | None = None) -> list[str]:
        """Run the commands of a section of a page, and return their output."""
        return [self.run(command, report) for command in pages.sections(page)[heading]]

    def run(self, command: str, report: Report | None = None) -> str:
        """Run a command of a page. Add it to the report."""
        for part, here in self.replaced.items():
            command = command.replace(part, here)
        start = time.monotonic()
        if command.startswith("systemctl "):
            out = ""
            self._control(*command.split()[1:])
        else:
            out = self._shell(command)
        if report:
            report.rows.append((f"`{shorten(command)}`", time.monotonic() - start, ""))
        return out

    def _control(self, verb: str, *units: str) -> None:
        for unit in units:
            start, stop = self.services.get(unit, (lambda: None, lambda: None))
            if verb in ("stop", "restart"):
                stop()
            if verb in ("start", "restart"):
                start()

    def _shell(self, command: str) -> str:
        script = f"set -euo pipefail; umask 077; {command}"
        done = subprocess.run(
            ["bash", "-c", script], cwd=self.cwd, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        return done.stdout.strip()


def shorten(command: str) -> str:
    """Return a command for the report: program and options, without paths."""
    text = re.sub(r"(sudo -u \w+|DATABASE_URL='[^']*') ", "", command)
    text = re.sub(r"(/[\w.@%$()+-]+){2,}", "…", text)
    return textwrap.shorten(text, 90, placeholder=" …")
