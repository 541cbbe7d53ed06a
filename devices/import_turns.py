"""Let each process, and each user in all processes, have one import at a time: it needs much memory and time.

A second import is refused at once.
"""

import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

from devices.models import ImportTurn

LONGEST = 180  # seconds, after which the turn of a process that has died is over

_process = threading.Lock()

TAKE = """
    INSERT INTO devices_importturn (user_id, token, ends_at) VALUES (%s, %s, %s)
    ON CONFLICT (user_id) DO UPDATE SET token = excluded.token, ends_at = excluded.ends_at
    WHERE devices_importturn.ends_at <= %s
    RETURNING user_id
"""


class Busy(Exception):
    """This process, or this user in any process, has another import in progress."""


@contextmanager
def one_import(user_id: int | None) -> Iterator[None]:
    """Hold the turn of this process and of this user.

    Raises:
        Busy: another import holds one of them.
    """
    if not _process.acquire(blocking=False):
        raise Busy
    token, now = secrets.token_hex(8), int(time.time())
    try:
        with connection.cursor() as cursor:
            cursor.execute(TAKE, [user_id or 0, token, now + LONGEST, now])
            if cursor.fetchone() is None:
                raise Busy
        try:
            yield
        finally:
            ImportTurn.objects.filter(user=user_id, token=token).delete()
    finally:
        _process.release()
