"""Read metrics in the text format of Prometheus."""

import urllib.request
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from cexup.metrics.database import DatabaseValues, Values
from cexup.metrics.server import Metrics

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]  # the value by name and labels
READ = Values({"CONSUMER": 3, "CORPORATE": 4}, expiring_keys=2, last_prune=1000.0, feed_lag=1.5)


def scrape(port: int, path: str = "/metrics") -> str:
    """Return the response of a registry on this port of 127.0.0.1."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as response:
        text: str = response.read().decode()
        return text


def collected(place: Path, database: DatabaseValues | None = None) -> str:
    """Return what a scrape of this folder returns."""
    registry = CollectorRegistry()
    registry.register(Metrics(place, database or DatabaseValues(lambda: READ)))
    return generate_latest(registry).decode()


def parse(text: str) -> Series:
    """Return the value of each series.

    Raises:
        ValueError: the text is not in the format of Prometheus.
    """
    return {(sample.name, frozenset(sample.labels.items())): sample.value for sample in _samples(text)}


def total(text: str, name: str, **labels: str) -> float:
    """Return the sum of all series with this name and these labels."""
    return sum(
        sample.value for sample in _samples(text) if sample.name == name and labels.items() <= sample.labels.items()
    )


def counters(text: str) -> Series:
    """Return the series that can never decrease."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if family.type in ("counter", "histogram")
    }


def _samples(text: str) -> Iterator:  # type: ignore[type-arg]
    for family in text_string_to_metric_families(text):
        yield from family.samples
