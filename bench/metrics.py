"""Compare the CPU time of requests with and without metrics: `python -m bench.metrics`.

For PostgreSQL and for SQLite, one process sends requests to the WSGI application, without gunicorn. It has two
handlers: with the middleware of the metrics, and without. They take turns, and a round is a batch of requests to each.
The output is the median CPU time per request of the process, and the median of the ratios of the rounds. The CPU time
of gunicorn is missing in both, so the real ratio is a little lower.
"""

import argparse
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.servers import ROOT, free_port
from devices.tests.support.services.postgres import throwaway_postgres

REQUESTS = {
    "list of 100": "/api/devices?page=1&size=100",
    "list of 20": "/api/devices?size=20",
    "detail": "/api/device/10",
}
BATCH = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=101)
    parser.add_argument("--key", help=argparse.SUPPRESS)  # of the process that measures
    options = parser.parse_args()
    if options.key:
        measure(options.key, options.rounds)
        return
    with tempfile.TemporaryDirectory() as folder, throwaway_postgres() as server:
        for url in (server, f"sqlite:///{Path(folder, 'registry.sqlite3')}"):
            print(url.partition(":")[0], flush=True)
            run(url, folder, options.devices, options.rounds)


def run(url: str, folder: str, devices: int, rounds: int) -> None:
    """Fill the database, and measure in another process."""
    environment = {
        **os.environ,
        "ENV_FILE": os.devnull,
        "SECRET_KEY": os.urandom(32).hex(),
        "DATABASE_URL": url,
        "HTTPS": "0",
        "METRICS_PORT": str(free_port()),
        "TMPDIR": folder,  # of the counts
        "DJANGO_SETTINGS_MODULE": "cexup.settings",
    }
    manage = [sys.executable, "manage.py"]
    for command in (["migrate", "-v0"], ["collectstatic", "--noinput", "-v0"], ["seed_devices", str(devices)]):
        subprocess.run([*manage, *command], cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
    create = [*manage, "create_api_key", "bench", "--rate", "100000000/min"]
    key = subprocess.run(create, cwd=ROOT, env=environment, check=True, capture_output=True, text=True).stdout.strip()
    measurement = [sys.executable, "-m", "bench.metrics", "--key", key, "--rounds", str(rounds)]
    subprocess.run(measurement, cwd=ROOT, env=environment, check=True)


def measure(key: str, rounds: int) -> None:
    """Print a line for each request."""
    from django.conf import settings
    from django.core.wsgi import get_wsgi_application

    with_metrics = get_wsgi_application()
    from cexup.metrics.recorder import recorder  # the import needs Django, which the application has loaded

    without_metrics = get_wsgi_application()
    settings.MIDDLEWARE.remove("cexup.metrics.middleware.MetricsMiddleware")
    without_metrics.load_middleware()
    own_recorder = recorder()
    assert own_recorder  # noqa: S101
    for name, path in REQUESTS.items():
        times: list[tuple[float, float]] = []
        for number in range(rounds):
            if number % 2:
                other = batch(without_metrics, path, key)
            own = batch(with_metrics, path, key, own_recorder.publish)
            if not number % 2:
                other = batch(without_metrics, path, key)
            times.append((own, other))
        own, other = (statistics.median(column) * 1e6 for column in zip(*times, strict=True))
        ratio = statistics.median(own / other for own, other in times)
        print(f"  {name}: {other:.0f} µs without metrics, {own:.0f} µs with metrics, ratio {ratio:.3f}", flush=True)


def batch(application: Any, path: str, key: str, publish: Callable[[], None] = lambda: None) -> float:
    """Send BATCH requests, and return the CPU seconds of one. `publish` is part of it."""
    path, _, query = path.partition("?")
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "localhost",
        "HTTP_X_API_KEY": key,
        "wsgi.url_scheme": "http",
    }
    begun = time.process_time()
    for _ in range(BATCH):
        response = application({**environ, "wsgi.input": io.BytesIO()}, lambda status, headers: None)
        assert response.status_code == 200, response.content  # noqa: S101
        response.close()
    publish()
    return (time.process_time() - begun) / BATCH


if __name__ == "__main__":
    main()
