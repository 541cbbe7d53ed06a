"""Django's PostgreSQL backend, for servers that stop responding or fail over to another one (decision 42).

- A statement without a response ends after some time, and its connection is closed.
- A commit is an error if its wait for a standby was canceled.
- A new connection tries the server of the last one first. While attempts hang, only one thread makes them.
- The health check of a connection needs no query. This saves 5 % of the CPU time of a list.
"""

import select
import threading
from time import monotonic
from typing import Any

import psycopg
from django.db.backends.postgresql import base
from psycopg.errors import Diagnostic, ReadOnlySqlTransaction
from psycopg.pq import TransactionStatus

HANGS = 1.0  # seconds; an attempt to connect that fails after a longer time has got no response

# Seconds in which the server must respond to a statement or a commit. gunicorn.conf.py sets it. Commands have no limit.
response_timeout: float | None = None

last_server = ("", "")  # the host and port of the last connection of this process
_is_hanging = False  # the last attempt to connect got no response
_attempt = threading.Lock()  # of the thread that tries to connect while _is_hanging


class Connection(psycopg.Connection[Any]):
    """A connection that waits for at most `response_timeout`, and notices that a wait for a standby was canceled."""

    must_be_replaced = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._canceled: list[str] = []
        self.add_notice_handler(_collector(self._canceled))  # a method of this object would be a reference cycle

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Run a generator of psycopg until the server has responded. All methods of psycopg call this.

        Raises:
            psycopg.OperationalError: there was no response in time, or a commit is only on this server.
        """
        try:
            result = super().wait(gen, interval, response_timeout if timeout is None else timeout)
        except ReadOnlySqlTransaction:
            self.must_be_replaced = True  # the server may have become a standby
            raise
        except psycopg.OperationalError as error:
            if timeout is None and error.sqlstate is None and self.info.transaction_status == TransactionStatus.ACTIVE:
                self.close()  # the response may still come
                raise psycopg.OperationalError("The server did not respond in time.") from error
            raise
        if self._canceled:
            text = "; ".join(self._canceled)
            self._canceled.clear()
            raise psycopg.OperationalError(text)
        return result


def _collector(canceled: list[str]) -> Any:
    """Return a handler of notices that collects the text of a commit whose wait for a standby was canceled.

    PostgreSQL reports such a commit as successful, with a warning. The text can be translated, and the SQLSTATE is that
    of all warnings, so the handler compares the name of the function in src/backend/replication/syncrep.c.
    """

    def collect(notice: Diagnostic) -> None:
        if notice.source_function == "SyncRepWaitForLSN":
            canceled.append(f"{notice.message_primary}: {notice.message_detail}")

    return collect


class DatabaseWrapper(base.DatabaseWrapper):
    def get_new_connection(self, conn_params: dict[str, Any]) -> Connection:
        """Connect to the first server that responds.

        While attempts hang, one thread at a time makes them. The others fail at once, and can serve other requests.

        Raises:
            psycopg.OperationalError: no server accepts the connection, or another thread is trying.
        """
        global _is_hanging, last_server
        is_only_attempt = _is_hanging
        if is_only_attempt and not _attempt.acquire(blocking=False):
            raise psycopg.OperationalError("The database does not respond, and another thread tries to connect.")
        began_at = monotonic()
        try:
            connection = Connection.connect(**_last_server_first(conn_params))
        except psycopg.OperationalError:
            _is_hanging = monotonic() - began_at > HANGS
            raise
        finally:
            if is_only_attempt:
                _attempt.release()
        _is_hanging, last_server = False, (connection.info.host, str(connection.info.port))
        return connection

    def is_usable(self) -> bool:
        """Return whether the connection is open. Between queries the server sends data only if it closes it."""
        connection: Any = self.connection
        if connection is None or connection.closed or connection.must_be_replaced:
            return False
        poll = select.poll()
        poll.register(connection.fileno(), select.POLLIN)
        return not poll.poll(0)


def _last_server_first(conn_params: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters with the server of the last connection before the others, also with `load_balance_hosts`.

    Otherwise each new connection would wait for `connect_timeout` while a server before it does not respond.
    """
    hosts = str(conn_params.get("host", "")).split(",")
    ports = str(conn_params.get("port") or "5432").split(",")
    servers = list(zip(hosts, ports if len(ports) > 1 else ports * len(hosts), strict=False))
    if len(servers) == 1 or last_server not in servers or "hostaddr" in conn_params:
        return conn_params
    servers.sort(key=lambda server: server != last_server)
    in_order = {"host": ",".join(host for host, _ in servers), "port": ",".join(port for _, port in servers)}
    return {**conn_params, **in_order, "load_balance_hosts": "disable"}
