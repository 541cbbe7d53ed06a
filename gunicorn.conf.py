"""Settings of gunicorn. docs/operations/configure.md explains the variables."""

import multiprocessing
import os
from pathlib import Path

from environs import FileAwareEnv
from gunicorn.arbiter import Arbiter
from gunicorn.workers.base import Worker

from cexup import __version__

os.umask(0o077)  # only the owner can read files that a worker creates

env = FileAwareEnv(strip_whitespace=True)
env.read_env(os.environ.get("ENV_FILE", Path(__file__).with_name(".env")), recurse=False)

bind = f"{env.str('HOST', '127.0.0.1')}:{env.int('PORT', 8000)}"  # a socket of systemd takes precedence (LISTEN_FDS)
wsgi_app = "cexup.wsgi"
worker_class = "cexup.worker.EnvelopeWorker"  # gthread
workers = env.int("WEB_CONCURRENCY", min(multiprocessing.cpu_count(), 8))
# A long-polling request occupies a thread; at least two threads remain for others. Each thread has a database
# connection. With twelve threads a detail takes 1.2 times the CPU time that it takes with four.
threads = max(env.int("WEB_THREADS", 4), env.int("FEED_WAITERS", 2) + 2)
timeout = 60
keepalive = 5
max_requests = env.int("WEB_MAX_REQUESTS", 100_000)
max_requests_jitter = max_requests // 10
backlog = env.int("WEB_BACKLOG", 512)
forwarder_headers = ""  # clients must not set SCRIPT_NAME
forwarded_allow_ips = ""  # TRUSTED_PROXIES is used instead
control_socket_disable = True
logger_class = "cexup.logs.GunicornLogger"
access_log_format = '%(h)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"'  # the log record has the time

# libpq reads PGOPTIONS. These limits apply to requests, not to commands. `options` in DATABASE_URL takes precedence.
statement_timeout = env.int("DATABASE_STATEMENT_TIMEOUT", 30)  # seconds; 0 means no limit
limits = {"statement_timeout": statement_timeout, "idle_in_transaction_session_timeout": statement_timeout}
limits["lock_timeout"] = env.int("DATABASE_LOCK_TIMEOUT", 5)
raw_env = ["PGOPTIONS=" + " ".join(f"-c {name}={seconds}s" for name, seconds in limits.items() if seconds)]


def on_starting(server: Arbiter) -> None:
    server.log.info("The version of the registry is %s.", __version__)


def post_worker_init(worker: Worker) -> None:
    """End long-polling requests when the worker shuts down."""
    from devices.api import long_polling  # the import needs Django, which the worker has loaded

    long_polling.is_shutting_down = lambda: not worker.alive
