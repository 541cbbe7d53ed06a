"""Whether this process is about to stop: for requests that wait, which then do so no longer."""

import threading

stopping = threading.Event()
