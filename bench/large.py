"""Fill a registry on PostgreSQL with many devices: 10,000,000 in about 15 minutes, instead of an hour.

`fill` writes the tables directly (large.sql), with the triggers off. Then it computes the counters from the devices. So
only benchmarks may use it, in a separate database.
"""

from pathlib import Path

from bench import servers

HOSPITALS = 3_000
MOST = 13_000_000  # the product of a number and its multiplier must fit into 64 bits
SCRIPT = Path(__file__).with_suffix(".sql")
REGISTER_HOSPITALS = f"""
from devices.access.actor import SYSTEM
from devices.registry import hospitals
hospitals.get_or_create([f"RS Contoh {{number:03d}}" for number in range(1, {HOSPITALS} + 1)], SYSTEM)
"""
COUNT = "from devices.db.triggers import counts; counts.repair()"


def fill(checkout: Path, environment: dict[str, str], devices: int) -> None:
    """Fill the migrated, empty database of this environment with devices of 3,000 hospitals.

    devices: a multiple of 50, at most MOST.
    """
    if devices % 50 or not 0 < devices <= MOST:
        raise ValueError(f"The number of devices must be a multiple of 50, and at most {MOST:,}.")

    servers.manage(checkout, environment, "shell", "-v0", "-c", REGISTER_HOSPITALS)
    servers.psql(environment["DATABASE_URL"], "-o", "/dev/null", "-v", f"n={devices}", "-f", SCRIPT)
    servers.manage(checkout, environment, "shell", "-v0", "-c", COUNT)  # `--repair` would print 6,000 differences
    servers.manage(checkout, environment, "check_counts")
