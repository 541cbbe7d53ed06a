"""The values that a scrape reads from the database, at most once in CACHE_SECONDS in each worker.

A separate thread reads them, because a database that does not respond can block it for a long time. A scrape waits for
it for WAIT_SECONDS, and then continues without these values. There is at most one such thread in a worker.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from django.db import Error, connection, connections, transaction
from django.db.models import Sum
from django.utils import timezone
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from devices.history import feed
from devices.models import ApiKey, AuditRetention, DeviceCount
from devices.values.device_types import DEVICE_TYPES

CACHE_SECONDS = 10.0
WAIT_SECONDS = 3.0  # Prometheus waits 10 seconds for a scrape by default
STATEMENT_MS = 2_000  # of each statement on PostgreSQL

logger = logging.getLogger(__name__)


class Values(NamedTuple):
    devices: dict[str, int]  # by type
    expiring_keys: int
    last_prune: float  # seconds since 1970 UTC, 0 if `prune` has not run
    feed_lag: float  # seconds


def read() -> Values:
    """Read the values of the whole registry, each with one statement. No statement counts devices.

    Raises:
        Error: the database did not respond.
    """
    with _short_statement_timeout():
        totals = DeviceCount.objects.filter(is_total=True).order_by().values_list("device_type")
        devices = dict.fromkeys(DEVICE_TYPES, 0) | dict(totals.annotate(sum=Sum("number")))
        pruned_at = AuditRetention.objects.values_list("last_prune_at", flat=True).first()
        return Values(
            devices,
            ApiKey.objects.expiring().count(),
            pruned_at.timestamp() if pruned_at else 0,
            feed.lag(timezone.now()),
        )


@contextmanager
def _short_statement_timeout() -> Iterator[None]:
    """Limit each statement on PostgreSQL. On SQLite a transaction would take the write lock."""
    if connection.vendor != "postgresql":
        yield
        return
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL statement_timeout = {STATEMENT_MS:d}")
        yield


class DatabaseValues:
    """Keeps the values of the last read."""

    def __init__(self, read: Callable[[], Values] = read, wait: float = WAIT_SECONDS) -> None:
        self.read, self.wait = read, wait
        self.lock = threading.Lock()
        self.thread: threading.Thread | None = None
        self.values: Values | None = None
        self.valid_until = 0.0

    def get(self) -> Values | None:
        """Return the values. Return None if the database did not return them in time."""
        with self.lock:
            if time.monotonic() < self.valid_until:
                return self.values
            if self.thread is None or not self.thread.is_alive():
                self.thread = threading.Thread(target=self._refresh, daemon=True)
                self.thread.start()
            thread = self.thread
        thread.join(self.wait)
        return self.values if time.monotonic() < self.valid_until else None

    def _refresh(self) -> None:
        try:
            self.values = self.read()
            self.valid_until = time.monotonic() + CACHE_SECONDS
        except Error:
            logger.warning("The metrics of the database cannot be read.", exc_info=True)
        finally:
            connections.close_all()  # of this thread

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics. Without values there is only `registry_database_up`."""
        found = self.get()
        yield GaugeMetricFamily(
            "registry_database_up",
            "Whether the database returned its values for this scrape. If it is 0, they are missing.",
            value=found is not None,
        )
        if found is None:
            return
        devices = GaugeMetricFamily("registry_devices", "Devices by type.", labels=["type"])
        for name, number in found.devices.items():
            devices.add_metric([name], number)
        yield devices
        for name, text, value in (
            ("api_keys_expiring", "API keys that expire within 30 days.", found.expiring_keys),
            ("last_prune_timestamp_seconds", "Time of the last run of prune that succeeded.", found.last_prune),
            ("feed_lag_seconds", "Age of the oldest change that the feed cannot return yet.", found.feed_lag),
        ):
            yield GaugeMetricFamily(f"registry_{name}", text, value=value)
