"""Show times in the language and time zone of the admin."""

from datetime import datetime, timedelta

from django.contrib.humanize.templatetags.humanize import naturaltime
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString

RECENT = timedelta(days=1)


def show_time(at: datetime) -> SafeString:
    """Return a recent time as “4 minutes ago”, and another one as its day. The title is the exact time."""
    is_recent = timedelta(0) <= timezone.now() - at < RECENT
    text = naturaltime(at) if is_recent else date_format(timezone.localtime(at), "DATE_FORMAT")
    return format_html('<time datetime="{}" title="{}">{}</time>', at.isoformat(), exact_time(at), text)


def exact_time(at: datetime) -> str:
    """Return the day, hour and minute."""
    return date_format(timezone.localtime(at), "DATETIME_FORMAT")
