"""Let each process work at one import at a time, and each user have one at a time over all processes.

An import needs much memory and time. With one at a time, what a process needs is what its largest import needs. Nobody
waits for a turn: the second import is refused at once.
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
    """This process, or this user in any process, is at another import."""


@contextmanager
def one_import(user_id: int | None) -> Iterator[None]:
    """Have the only import of this process and of this user.

    Raises:
        Busy: there is another one.
    """
    if not _process.acquire(blocking=False):
        raise Busy
    try:
        token = _take(user_id or 0)
        try:
            yield
        finally:
            ImportTurn.objects.filter(user=user_id, token=token).delete()
    finally:
        _process.release()


def _take(user_id: int) -> str:
    token, now = secrets.token_hex(8), int(time.time())
    with connection.cursor() as cursor:
        cursor.execute(TAKE, [user_id, token, now + LONGEST, now])
        if cursor.fetchone() is None:
            raise Busy
    return token
