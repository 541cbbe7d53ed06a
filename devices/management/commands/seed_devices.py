import random
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db.models import Max
from tqdm import tqdm

from devices import registry
from devices.access.actor import SYSTEM
from devices.management.base import RegistryCommand
from devices.models import Device
from devices.registry.device_fields import DeviceData
from devices.values.device_types import DeviceType

DEVICES_AT_ONCE = 10_000
KINDS = ("Cuff", "Thermometer", "Oximeter", "Watch")
SCATTER = 0x9E3779B97F  # odd, so it permutes the numbers below 2**40 and spreads consecutive numbers


class Command(RegistryCommand):
    help = (
        "Register N synthetic devices for demos and benchmarks. If you run the command again, it adds more. The MAC "
        "addresses are locally administered, so they never conflict with real devices."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("count", metavar="N", type=int, help="number of devices")
        parser.add_argument(
            "--hospitals", metavar="N", type=int, default=400, help="number of hospitals (default: 400)"
        )

    def handle(self, *args: Any, count: int, hospitals: int, **options: Any) -> None:
        if min(count, hospitals) < 1:
            raise CommandError("N must be at least 1.")
        first = (Device.objects.aggregate(last=Max("pk"))["last"] or 0) + 1
        chance = random.Random(first)  # noqa: S311  (synthetic devices, no secret)
        end = first + count
        for start in tqdm(range(first, end, DEVICES_AT_ONCE), unit="0,000 devices", disable=None):
            numbers = range(start, min(start + DEVICES_AT_ONCE, end))
            registry.register([_device(number, hospitals, chance) for number in numbers], SYSTEM)
        self.stdout.write(f"{count} devices were registered.")


def _device(number: int, hospitals: int, chance: random.Random) -> DeviceData:
    unique = f"{number * SCATTER % 2**40:010X}"
    digits = f"02{unique}"
    return DeviceData(
        device_name=f"{chance.choice(KINDS)} {unique}",
        device_mac=":".join(digits[i : i + 2] for i in range(0, 12, 2)),
        device_type=chance.choice(DeviceType.values),
        device_holder=f"RS Contoh {chance.randrange(hospitals) + 1:03d}",
    )
