"""Exit with 0 if the registry in this container responds, otherwise with 1: `python3 -m cexup.healthcheck`.

It requests /healthz, which does not depend on the database: a restart of the container would not help an unreachable
database. HOST and PORT are read from the environment of the container.
"""

import http.client
import os
import sys

ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1", "[::]": "::1"}  # noqa: S104  (compared, not used to listen)
TIMEOUT = 5  # seconds, less than the timeout of HEALTHCHECK in the Dockerfile


def problem() -> str | None:
    """Return why the registry does not respond as it should, or None. `docker inspect` shows the reason."""
    host = os.environ.get("HOST", "127.0.0.1")
    connection = http.client.HTTPConnection(
        ANY_ADDRESS.get(host, host.strip("[]")), int(os.environ.get("PORT", "8000")), timeout=TIMEOUT
    )
    try:
        connection.request("GET", "/healthz")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"The registry does not respond: {error}."
    finally:
        connection.close()
    return None if status == http.client.OK else f"The registry responded with status {status}."


if __name__ == "__main__":
    sys.exit(problem())
