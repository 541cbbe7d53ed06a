from typing import Any

from django.core.management.base import CommandParser

from devices import registry
from devices.access.actor import SYSTEM
from devices.accounts.sandbox import find_sandbox
from devices.management.base import RegistryCommand
from devices.models import Device

DEVICES_AT_ONCE = 10_000


class Command(RegistryCommand):
    help = (
        "Retire all devices of the sandbox, the hospital of the sandbox keys. Their history stays. Their names and MAC "
        "addresses can be registered again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only report the number of devices")

    def handle(self, *args: Any, dry_run: bool, **options: Any) -> None:
        sandbox = find_sandbox()
        if sandbox is None:
            self.stdout.write("There is no sandbox: no sandbox key was issued yet.")
            return
        devices = Device.objects.filter(device_holder=sandbox)
        if dry_run:
            self.stdout.write(f"{devices.count()} devices of {sandbox} would be retired.")
            return
        number = 0
        while ids := list(devices.order_by("pk").values_list("pk", flat=True)[:DEVICES_AT_ONCE]):
            number += registry.retire(devices.filter(pk__gte=ids[0], pk__lte=ids[-1]), SYSTEM)
        self.stdout.write(f"{number} devices of {sandbox} were retired.")
