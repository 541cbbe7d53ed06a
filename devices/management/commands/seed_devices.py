import random
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import Max
from tqdm import tqdm

from devices import registry
from devices.drafts import DeviceType, Draft
from devices.models import Device
from devices.origin import COMMAND
from devices.problems import Refused

HOSPITALS = 400
DEVICES_AT_ONCE = 10_000
KINDS = ("Cuff", "Thermometer", "Oximeter", "Watch")
# An odd factor permutes the numbers below 2**40, so that neighbours get addresses far apart and none comes twice.
SCATTER = 0x9E3779B97F | 1


class Command(BaseCommand):
    help = (
        "Register N synthetic devices of 400 hospitals, to try and measure the registry with. They are unique, also if "
        "the command is run again. Their addresses are locally administered: no device has one."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("count", metavar="N", type=int, help="how many devices")
        parser.add_argument("--seed", type=int, default=0, help="another number gives other devices (default: 0)")

    def handle(self, *args: Any, count: int, seed: int, **options: Any) -> None:
        if count < 1:
            raise CommandError("N must be at least 1.")
        chance = random.Random(seed)  # noqa: S311  (synthetic devices, no secret)
        offset = chance.randrange(2**40)
        first = (Device.objects.aggregate(last=Max("pk"))["last"] or 0) + 1
        begun = time.monotonic()
        with tqdm(total=count, unit=" devices", unit_scale=True, disable=None) as bar:
            for start in range(first, first + count, DEVICES_AT_ONCE):
                numbers = range(start, min(start + DEVICES_AT_ONCE, first + count))
                try:
                    registry.register([_draft(number, offset, chance) for number in numbers], COMMAND)
                except Refused as refused:
                    done = start - first
                    raise CommandError(
                        f"{done} devices registered, then one was taken: use another --seed."
                    ) from refused
                bar.update(len(numbers))
        seconds = time.monotonic() - begun
        self.stdout.write(f"{count} devices registered in {seconds:.1f} s, {count / seconds:,.0f} a second.")


def _draft(number: int, offset: int, chance: random.Random) -> Draft:
    unique = (number * SCATTER + offset) % 2**40
    digits = f"02{unique:010X}"
    return Draft(
        device_name=f"{chance.choice(KINDS)} {unique:010X}",
        device_mac=":".join(digits[i : i + 2] for i in range(0, 12, 2)),
        device_type=chance.choice(DeviceType.values),
        device_holder=f"RS Contoh {chance.randrange(HOSPITALS) + 1:03d}",
    )
