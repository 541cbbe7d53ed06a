"""Settings of gunicorn. docs/operations/configure.md explains the variables."""

import multiprocessing
import os
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

from environs import validate
from gunicorn.arbiter import Arbiter
from gunicorn.workers.base import Worker

from cexup import __version__

os.umask(0o077)  # only the owner can read files that a worker creates

ROOT = Path(__file__).parent
# Not imported: the workers that a reload starts would inherit the module as it was at the start.
environment = SimpleNamespace(**runpy.run_path(str(ROOT / "cexup" / "environment.py")))

with environment.errors_explained():
    env = environment.open_environment(ROOT / ".env")
    host = environment.host(env.text("HOST", "127.0.0.1", check=environment.host))
    port = env.int("PORT", 8000, validate=validate.Range(1, 65535))
    workers = env.int("WEB_CONCURRENCY", min(multiprocessing.cpu_count(), 8), validate=validate.Range(1, 1000))
    threads = env.int("WEB_THREADS", 4, validate=validate.Range(1, 1000))
    waiters = env.int("FEED_WAITERS", 2, validate=validate.Range(0, 1000))
    max_requests = env.int("WEB_MAX_REQUESTS", 100_000, validate=validate.Range(0))
    backlog = env.int("WEB_BACKLOG", 512, validate=validate.Range(1, 65535))
    statement_timeout = env.int(
        "DATABASE_STATEMENT_TIMEOUT", 30, validate=validate.Range(0, 3600)
    )  # seconds; 0 means no limit
    log_format = env.text("LOG_FORMAT", "line", check=validate.OneOf(["line", "json"]))
    lock_timeout = env.int("DATABASE_LOCK_TIMEOUT", 5, validate=validate.Range(0, 3600))

bind = f"{host}:{port}"  # a socket of systemd takes precedence (LISTEN_FDS)
wsgi_app = "cexup.wsgi"
chdir = str(ROOT.resolve())  # not a link, which an upgrade changes while this server runs
worker_class = "cexup.worker.EnvelopeWorker"  # gthread
# A long-polling request occupies a thread; at least two threads remain for others. Each thread has a database
# connection. With twelve threads a detail takes 1.2 times the CPU time that it takes with four.
threads = max(threads, waiters + 2)
timeout = 60
keepalive = 5
max_requests_jitter = max_requests // 10
forwarder_headers = ""  # clients must not set SCRIPT_NAME
forwarded_allow_ips = ""  # TRUSTED_PROXIES is used instead
control_socket_disable = True
logger_class = "cexup.logs.JsonGunicornLogger" if log_format == "json" else "cexup.logs.GunicornLogger"
access_log_format = '%(h)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"'  # the log record has the time

# libpq reads PGOPTIONS. These limits apply to requests, not to commands. `options` in DATABASE_URL takes precedence.
limits = {"statement_timeout": statement_timeout, "idle_in_transaction_session_timeout": statement_timeout}
limits["lock_timeout"] = lock_timeout
raw_env = ["PGOPTIONS=" + " ".join(f"-c {name}={seconds}s" for name, seconds in limits.items() if seconds)]


def on_starting(server: Arbiter) -> None:
    """Check all settings, before each worker fails with a traceback, and remove the metrics of an earlier start.

    Only workers import the settings: see above.
    """
    check = f"""
from cexup import environment
with environment.errors_explained():
    from cexup import settings
    from cexup.metrics import files
    files.begin(settings.METRICS_HOST, settings.METRICS_PORT, is_upgrade={server.master_pid != 0})
"""
    if subprocess.run([sys.executable, "-c", check], cwd=ROOT, check=False).returncode:  # noqa: S603
        sys.exit(1)
    server.log.info("The version of the registry is %s.", __version__)


def on_reload(server: Arbiter) -> None:
    """Forget the modules that this process has loaded. New workers would inherit them if their files have changed.

    Packages are not forgotten, so an upgrade needs a restart.
    """
    for name in [name for name in sys.modules if name.partition(".")[0] in ("cexup", "devices")]:
        del sys.modules[name]
    server.worker_class = server.cfg.worker_class
    server.log = server.cfg.logger_class(server.cfg)


def post_worker_init(worker: Worker) -> None:
    """Limit the wait for PostgreSQL, end long-polling requests when the worker shuts down, and serve the metrics."""
    from django.conf import settings  # these imports need Django, which the worker has loaded

    from cexup.postgresql import base
    from devices.api import long_polling

    # Two seconds later than PostgreSQL itself ends a statement.
    base.response_timeout = statement_timeout + 2 if statement_timeout else None
    long_polling.is_shutting_down = lambda: not worker.alive
    if settings.METRICS_PORT:
        from cexup.metrics import server

        server.start(worker.cfg.threads)


def worker_exit(_server: Arbiter, _worker: Worker) -> None:
    """Count the last requests of the worker, which has finished them, and send their spans."""
    recorder = sys.modules.get("cexup.metrics.recorder")  # not loaded without METRICS_PORT
    if recorder and (own := recorder.recorder()):
        own.publish()
    if tracing := sys.modules.get("cexup.tracing"):  # not loaded without OTEL_EXPORTER_OTLP_ENDPOINT
        tracing.finish()
