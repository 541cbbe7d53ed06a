"""gunicorn's settings. docs/operations/configure.md explains the variables."""

import multiprocessing
import os
from pathlib import Path

from environs import FileAwareEnv
from gunicorn.arbiter import Arbiter
from gunicorn.workers.base import Worker

from cexup import __version__

os.umask(0o077)  # only the owner can read the files that a worker makes

env = FileAwareEnv(strip_whitespace=True)
env.read_env(os.environ.get("ENV_FILE", Path(__file__).with_name(".env")), recurse=False)

bind = f"{env.str('HOST', '127.0.0.1')}:{env.int('PORT', 8000)}"  # systemd's socket wins (LISTEN_FDS)
wsgi_app = "cexup.wsgi"
worker_class = "cexup.worker.EnvelopeWorker"  # gthread
workers = env.int("WEB_CONCURRENCY", min(multiprocessing.cpu_count(), 8))
# A request that waits for changes holds a thread: two remain. Each thread has a connection to the database: twelve
# threads take 1.2 times as much CPU for a detail as four.
threads = max(env.int("WEB_THREADS", 4), env.int("FEED_WAITERS", 2) + 2)
timeout = 60
keepalive = 5
max_requests = env.int("WEB_MAX_REQUESTS", 100_000)
max_requests_jitter = max_requests // 10
backlog = env.int("WEB_BACKLOG", 512)
forwarder_headers = ""  # a client must not set SCRIPT_NAME
forwarded_allow_ips = ""  # TRUSTED_PROXIES decides
control_socket_disable = True
logger_class = "cexup.logs.GunicornLogger"
access_log_format = '%(h)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"'  # the record has the time already

# libpq reads PGOPTIONS: these limits hold for requests and not for commands. `options` in DATABASE_URL wins.
statement_timeout = env.int("DATABASE_STATEMENT_TIMEOUT", 30)  # seconds, 0: none
limits = {"statement_timeout": statement_timeout, "idle_in_transaction_session_timeout": statement_timeout}
limits["lock_timeout"] = env.int("DATABASE_LOCK_TIMEOUT", 5)
raw_env = ["PGOPTIONS=" + " ".join(f"-c {name}={seconds}s" for name, seconds in limits.items() if seconds)]


def on_starting(server: Arbiter) -> None:
    server.log.info("The version of the registry is %s.", __version__)


def post_worker_init(worker: Worker) -> None:
    """Let requests that wait for changes end when the worker stops."""
    from devices.api import long_polling  # needs Django, which the worker has loaded by now

    long_polling.is_shutting_down = lambda: not worker.alive
