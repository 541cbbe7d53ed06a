"""How gunicorn serves the registry. docs/operations.md explains the variables."""

import multiprocessing
import os
from pathlib import Path

from environs import Env

env = Env()
env.read_env(os.environ.get("ENV_FILE", Path(__file__).with_name(".env")), recurse=False)

bind = f"{env.str('HOST', '127.0.0.1')}:{env.int('PORT', 8000)}"
wsgi_app = "cexup.wsgi"
worker_class = "cexup.worker.EnvelopeWorker"
workers = env.int("WEB_CONCURRENCY", min(multiprocessing.cpu_count(), 8))
# A request that waits for changes holds a thread, so there is one for each that may: they take none from the others.
threads = env.int("WEB_THREADS", 4) + env.int("FEED_WAITERS", 8)
timeout = 60
graceful_timeout = 30
keepalive = 5
max_requests = 100_000
max_requests_jitter = 10_000
forwarder_headers = ""  # no header of a request says below which prefix the registry is
control_socket_disable = True
