"""Django's PostgreSQL, which sees whether a kept connection still stands without asking the server."""

import select
from typing import Any

from django.db.backends.postgresql import base


class DatabaseWrapper(base.DatabaseWrapper):
    def is_usable(self) -> bool:
        """Tell whether the server still holds the connection's other end.

        Each request asks before its first query (CONN_HEALTH_CHECKS). Django sends a query for it, which takes as long
        as one that answers something. But a server that goes away, or ends a connection, says so: between two
        queries there is nothing to read, unless it has done that.
        """
        connection: Any = self.connection
        if connection is None or connection.closed:
            return False
        ready = select.poll()
        ready.register(connection.fileno(), select.POLLIN)
        return not ready.poll(0)
