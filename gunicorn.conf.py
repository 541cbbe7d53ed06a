"""How gunicorn serves the registry. docs/operations.md explains the variables."""

import ctypes
import gc
import multiprocessing
import os
from pathlib import Path

from environs import FileAwareEnv, validate
from gunicorn.arbiter import Arbiter
from gunicorn.workers.base import Worker

from cexup.listening import let_nobody_connect
from cexup.worker import EnvelopeWorker

os.umask(0o077)  # files are readable by their owner alone: an SQLite database, an upload

env = FileAwareEnv(strip_whitespace=True)
env.read_env(os.environ.get("ENV_FILE", Path(__file__).with_name(".env")), recurse=False)

bind = f"{env.str('HOST', '127.0.0.1')}:{env.int('PORT', 8000)}"
wsgi_app = "cexup.wsgi"
worker_class = "cexup.worker.EnvelopeWorker"
workers = env.int("WEB_CONCURRENCY", min(multiprocessing.cpu_count(), 8))
# A request that waits for changes holds a thread, so there is one for each that may: they take none from the others.
threads = env.int("WEB_THREADS", 4) + env.int("FEED_WAITERS", 8)
# Requests that each process works at; the others wait for one of these (decision 15).
at_once = env.int("WEB_AT_ONCE", 3, validate=validate.Range(min=1))
timeout = 60
graceful_timeout = 30
keepalive = 5
# A worker is replaced now and then, each at another time, so that nothing it might gather is gathered for good.
max_requests = env.int("WEB_MAX_REQUESTS", 100_000)
max_requests_jitter = max_requests // 10
# Who waits: connections that no worker has taken yet, and those that each has.
backlog = env.int("WEB_BACKLOG", 512)
worker_connections = 1000
# What is longer is answered 414 or 431, before anything else looks at it.
limit_request_line = 4094  # bytes of method, address and version
limit_request_fields = 100  # headers
limit_request_field_size = 8190  # bytes of each
forwarder_headers = ""  # no header of a request says below which prefix the registry is
control_socket_disable = True
logger_class = "cexup.logs.GunicornLogger"
access_log_format = '%(h)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"'  # the record has the time already
forwarded_allow_ips = ""  # TRUSTED_PROXIES decides whose X-Forwarded-… is believed; gunicorn would believe this machine

M_ARENA_MAX = -8  # malloc.h of glibc


def on_starting(server: Arbiter) -> None:
    """Have threads share one heap: glibc has up to eight a core, and each keeps what its largest answers took."""
    if set_option := getattr(ctypes.CDLL(None), "mallopt", None):  # musl and macOS have none, and no such heaps
        set_option(M_ARENA_MAX, 1)


def when_ready(server: Arbiter) -> None:
    """Let nobody connect from when the registry is told to stop, so that it can serve whoever has: gunicorn cuts some.

    Not where its sockets belong to others as well, who would hear nobody either: to what has opened them (systemd,
    `-b fd://3`), or to a second master beside this one (USR2).
    """
    stop = server.stop

    def stop_with_nobody_new(graceful: bool = True) -> None:
        server.maybe_promote_master()  # which gunicorn does once a second: the first master may have gone just now
        is_second, has_second = server.master_pid != 0, server.reexec_pid != 0
        is_given = server.systemd or any(isinstance(address, int) for address in server.cfg.address)
        if graceful and not (is_second or has_second or is_given):
            for listener in server.LISTENERS:
                try:
                    let_nobody_connect(listener)
                except OSError as error:
                    server.log.warning("Whoever connects while the registry stops may be cut: %s", error)
        stop(graceful)

    server.stop = stop_with_nobody_new


def post_fork(server: Arbiter, worker: EnvelopeWorker) -> None:
    worker.at_once = at_once


def post_worker_init(worker: Worker) -> None:
    """Keep the collector from looking at all of Django again and again: by default every 700 new objects start it."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
