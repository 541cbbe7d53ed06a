"""Records as the application writes them, in each format."""

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cexup.logs import JsonFormatter, LineFormatter

# by the value of LOG_FORMAT
FORMATTERS = {"line": LineFormatter, "json": JsonFormatter}


@contextmanager
def captured(log_format: str, *filters: logging.Filter) -> Iterator[io.StringIO]:
    """Yield the output of a handler that has the formatter of this format and these filters."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(FORMATTERS[log_format]())
    for each in filters:
        handler.addFilter(each)
    logging.getLogger().addHandler(handler)
    try:
        yield written
    finally:
        logging.getLogger().removeHandler(handler)


def records(stream: io.StringIO, logger: str = "") -> list[dict[str, Any]]:
    """Return the records of the JSON format, of this logger or of all."""
    found = [json.loads(line) for line in stream.getvalue().splitlines()]
    return [record for record in found if logger in ("", record["logger"])]
