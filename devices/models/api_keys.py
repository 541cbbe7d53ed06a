"""API keys of client applications."""

from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Self

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from devices.models.fields import now_ms
from devices.models.history import ApiKeyHistoryContext, DeviceHistoricalRecords
from devices.models.hospitals import Hospital
from devices.values import networks, rates
from devices.values.normalization import MAX_LENGTH

if TYPE_CHECKING:
    from devices.db.compiled import Parameter

DEFAULT_PAGE_SIZE = 20
MAX_PAGE_SIZE = 10_000  # of a key; a request with `size` gets at most 1,000 devices


def clean_rate(text: str) -> str:
    """Return the rate as it is stored, or raise ValidationError."""
    try:
        return rates.format_rate(rates.parse_rate(text))
    except ValueError as error:
        message = _("This is not a valid rate. Enter a number and /s, /min, /h or /d, such as 600/min, or unlimited.")
        raise ValidationError(message, "rate") from error


def validate_rate(text: str) -> None:
    clean_rate(text)


def clean_networks(text: str) -> str:
    """Return the networks as they are stored, or raise ValidationError with a message that names the invalid one."""
    try:
        return networks.format_networks(networks.parse_networks(text))
    except ValueError as error:
        raise ValidationError(str(error), "networks") from error


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    def active(self, at: "datetime | Parameter | None" = None) -> Self:
        """Return the keys that are neither revoked nor expired, now or at the given time."""
        unexpired = Q(expires_at=None) | Q(expires_at__gt=at or timezone.now())
        return self.filter(unexpired, revoked_at=None)

    def inactive(self) -> Self:
        return self.filter(Q(expires_at__lte=timezone.now()) | ~Q(revoked_at=None))

    def never_used(self) -> Self:
        return self.active().filter(last_used_at=None)

    def idle(self, period: timedelta = timedelta(days=90)) -> Self:
        """Return the active keys that were issued before this period and not used in it."""
        start = timezone.now() - period
        return self.active().filter(Q(last_used_at__lt=start) | Q(last_used_at=None), created_at__lt=start)

    def expiring(self, within: timedelta = timedelta(days=30)) -> Self:
        return self.active().filter(expires_at__lt=timezone.now() + within)


class ApiKey(models.Model):
    """The API key of a client application. Only the digest and the prefix of its text are stored."""

    class Naming(models.TextChoices):
        SNAKE_CASE = "snake_case", "snake_case"
        CAMEL_CASE = "camelCase", "camelCase"
        BOTH = "both", _("both")

    class UnknownHolder(models.TextChoices):
        """The effect of a request with the name of an unknown hospital."""

        REGISTER = "register", _("register the hospital")
        REFUSE = "refuse", _("refuse the request")

    name = models.CharField(_("client application"), max_length=MAX_LENGTH)
    prefix = models.CharField(_("key prefix"), max_length=8, blank=True, editable=False)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    # Without this flag and without hospitals, a key has access to nothing. `db_default` is for servers of the former
    # release, whose rows do not have the column.
    all_hospitals = models.BooleanField(_("all hospitals"), default=False, db_default=False)
    hospitals = models.ManyToManyField(Hospital, verbose_name=_("hospitals"), blank=True, related_name="api_keys")
    sandbox = models.BooleanField(_("sandbox"), default=False, db_default=False)
    read_only = models.BooleanField(_("read-only"), default=False)
    naming = models.CharField(_("field naming"), max_length=10, choices=Naming, default=Naming.SNAKE_CASE)
    rate = models.CharField(  # noqa: DJ001  (null: API_RATE applies)
        _("rate limit"),
        max_length=20,
        null=True,
        blank=True,
        validators=[validate_rate],
        help_text=_(
            "For example 600/min, 10/s, 5000/h, or unlimited. Leave empty to use the default of this registry."
        ),
    )
    page_size = models.PositiveIntegerField(
        _("default page size"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(MAX_PAGE_SIZE)],
    )
    unknown_holder = models.CharField(
        _("unknown hospitals"),
        max_length=8,
        choices=UnknownHolder,
        default=UnknownHolder.REGISTER,
        db_default=UnknownHolder.REGISTER,
    )
    # CIDR networks, separated by spaces. Empty: every network.
    allowed_networks = models.TextField(_("allowed networks"), blank=True, default="", db_default="")
    legacy = models.BooleanField(_("legacy"), default=False, editable=False)
    created_at = models.DateTimeField(_("issued at"), default=now_ms, editable=False)
    expires_at = models.DateTimeField(_("expires at"), null=True, blank=True)
    revoked_at = models.DateTimeField(_("revoked at"), null=True, editable=False)
    last_used_at = models.DateTimeField(_("last used at"), null=True, editable=False)
    last_used_ip_address = models.GenericIPAddressField(_("last used from"), null=True, editable=False)

    objects = ApiKeyQuerySet.as_manager()
    history = DeviceHistoricalRecords(
        bases=(ApiKeyHistoryContext,), excluded_fields=["digest", "last_used_at", "last_used_ip_address"]
    )

    class Meta:
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")
        constraints = [
            models.CheckConstraint(
                name="apikey_naming_known", condition=Q(naming__in=["snake_case", "camelCase", "both"])
            ),
            models.CheckConstraint(
                name="apikey_unknown_holder_known", condition=Q(unknown_holder__in=["register", "refuse"])
            ),
            models.CheckConstraint(
                name="apikey_page_size_in_range",
                condition=Q(page_size=None) | Q(page_size__gte=1, page_size__lte=MAX_PAGE_SIZE),
            ),
            models.CheckConstraint(name="apikey_named_or_legacy", condition=Q(legacy=True) ^ ~Q(prefix="")),
            models.UniqueConstraint(name="apikey_prefix_unique", fields=["prefix"], condition=~Q(prefix="")),
        ]

    def __str__(self) -> str:
        return self.name

    @cached_property
    def scope_hospitals(self) -> tuple[Hospital, ...]:
        """The hospitals of the key, in the order of their ids. Authentication sets them, without another query."""
        return tuple(sorted(self.hospitals.all(), key=lambda hospital: hospital.pk))
