"""The LOGGING setting. It is in a module without imports, because the settings import it."""

from typing import Any


def configuration(log_format: str, level: str) -> dict[str, Any]:
    """Return the LOGGING setting: all records go to stderr, in the format `line` or `json` (cexup/logs.py)."""
    formatters = {"line": "cexup.logs.LineFormatter", "json": "cexup.logs.JsonFormatter"}
    stderr = {"class": "logging.StreamHandler", "formatter": log_format, "filters": ["outages"]}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {name: {"()": formatter} for name, formatter in formatters.items()},
        "filters": {"outages": {"()": "cexup.logs.RepeatedOutages"}},
        "handlers": {"stderr": stderr},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            "cexup.access_log": {"level": "INFO"},  # ACCESS_LOG turns it on, at each LOG_LEVEL
            # The audit log has the sign-ins without the typed user name, which may be a password. axes would log it.
            "axes": {"level": "ERROR"},
            "django": {"handlers": []},  # no handlers of Django, whose lines have another format
            "django.server": {"handlers": [], "propagate": True},
        },
    }
