"""The tables: hospitals, devices, API keys, and the history of each.

The rules of a field stand twice on purpose: drafts.py tells a person what is wrong, the constraints here make sure
that nothing else gets in, whoever writes.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

from axes.models import AccessFailureLog, AccessLog
from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import connection, models
from django.db.models import F, OuterRef, Q
from django.db.models.functions import Length, Trim, Upper
from django.db.models.lookups import IsNull, LessThanOrEqual
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from devices import mac, rates, sql
from devices.drafts import MAX_LENGTH, UNKNOWN, DeviceType, fold

if TYPE_CHECKING:
    from devices.prepared import Parameter
    from devices.reach import Reach

MAX_ID = 2**63 - 1
IDEMPOTENCY_KEY_LENGTH = 255


def now() -> datetime:
    """Return the present to the millisecond: as precisely as the API tells it, so that no client can tell apart
    what it cannot see."""
    instant = timezone.now()
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)


class Through(models.TextChoices):
    API = "api", _("API")
    ADMIN = "admin", _("Admin")
    IMPORT = "import", _("Import")
    COMMAND = "command", _("Command")


class ChangeRecord(models.Model):
    """What a row of history tells besides the values: through what, by which key, from where, in which request."""

    history_through = models.CharField(_("through"), max_length=8, choices=Through, blank=True)
    history_api_key = models.ForeignKey(
        "devices.ApiKey",
        verbose_name=_("API key"),
        null=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        related_name="+",
    )
    history_address = models.GenericIPAddressField(_("address"), null=True)
    history_request_id = models.CharField(_("request"), max_length=128, blank=True)

    class Meta:
        abstract = True


class DeviceChangeRecord(ChangeRecord):
    """What a row of a device's history tells besides.

    `history_holder_before` is the hospital that held the device just before this change: null if none did, and for a
    device that was not registered then (`+`, also when it was restored). It is filled for every kind of change, so it
    is the same as `device_holder` unless the device changed hands. The changes of one hospital, in order, are those
    where it is the `device_holder`, and those by which a device LEFT it; both are found by an index.

    `history_name_before` and `history_mac_before` are what a change has replaced, null where it replaced nothing. So
    whatever a device was ever called stands where few rows are: in the device, in the row that took it out, or here.
    """

    history_holder_before = models.ForeignKey(
        "devices.Hospital",
        verbose_name=_("hospital before"),
        null=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    history_name_before = models.CharField(_("name before"), max_length=MAX_LENGTH, null=True)  # noqa: DJ001
    history_mac_before = models.CharField(_("MAC address before"), max_length=64, null=True)  # noqa: DJ001

    class Meta:
        abstract = True


# The changes by which a device left the hospital that held it: to another, or to none. The condition of an index.
BEFORE = F("history_holder_before")
LEFT = Q(history_holder_before__isnull=False) & (
    Q(device_holder__isnull=True) | Q(device_holder__lt=BEFORE) | Q(device_holder__gt=BEFORE)
)


class IndexedHistory(HistoricalRecords):
    """A history whose table has indexes of its own, which simple_history has no option for."""

    def __init__(self, *args: Any, indexes: Sequence[models.Index] = (), **options: Any) -> None:
        super().__init__(*args, **options)
        self.indexes = indexes

    def get_meta_options(self, model: type[models.Model]) -> dict[str, Any]:
        return {**super().get_meta_options(model), "indexes": list(self.indexes)}


def _history(bases: Sequence[type[models.Model]] = (ChangeRecord,), **options: Any) -> IndexedHistory:
    return IndexedHistory(
        bases=bases,
        history_id_field=models.BigAutoField(),
        history_change_reason_field=models.CharField(max_length=255, null=True),
        user_db_constraint=False,
        **options,
    )


class HospitalQuerySet(models.QuerySet["Hospital"]):
    def called(self, names: Iterable[str]) -> dict[str, "Hospital"]:
        """Return the hospitals that these folded names mean, by name: their present ones, or else their former ones."""
        wanted = set(names)
        found = {hospital.name_folded: hospital for hospital in self.filter(name_folded__in=sql.any_text(list(wanted)))}
        if missing := wanted - found.keys():
            former = FormerName.objects.filter(name_folded__in=sql.any_text(list(missing)), hospital__in=self)
            found |= {row.name_folded: row.hospital for row in former.select_related("hospital")}
        return found

    def successor(self, hospital_id: int | None) -> "Hospital | None":
        """Return the hospital of this id, or the one that it was merged into."""
        return self.filter(Q(pk=hospital_id) | Q(former_names__former_id=hospital_id)).first() if hospital_id else None

    def ids_ever(self) -> list[int]:
        """Return the ids of these hospitals and of those that were merged into them: history has both."""
        former = FormerName.objects.filter(hospital__in=self).values_list("former_id", flat=True)
        return [*self.values_list("pk", flat=True), *(former_id for former_id in former if former_id)]

    def within(self, reach: "Reach") -> Self:
        return self if reach.ids is None else self.filter(pk__in=reach.ids)


class Hospital(models.Model):
    """A hospital, which holds devices. Names that differ only in case or surrounding space are one hospital."""

    name = models.CharField(_("name"), max_length=MAX_LENGTH)
    # Folded here and not by the database: SQLite folds ASCII only. Folding makes at most three characters of one.
    name_folded = models.CharField(max_length=3 * MAX_LENGTH, unique=True, editable=False)
    admins = models.ManyToManyField(
        settings.AUTH_USER_MODEL, verbose_name=_("hospital admins"), related_name="hospitals", blank=True
    )
    created_at = models.DateTimeField(_("registered at"), default=now, editable=False)
    updated_at = models.DateTimeField(_("changed at"), default=now, editable=False)

    objects = HospitalQuerySet.as_manager()
    history = _history()

    class Meta:
        verbose_name = _("hospital")
        verbose_name_plural = _("hospitals")
        constraints = [
            models.CheckConstraint(name="hospital_name_trimmed", condition=Q(name=Trim("name")) & ~Q(name="")),
            models.CheckConstraint(name="hospital_name_known", condition=~Q(name_folded__in=["", UNKNOWN])),
            models.CheckConstraint(name="hospital_name_length", condition=LessThanOrEqual(Length("name"), MAX_LENGTH)),
        ]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: object, **kwargs: object) -> None:
        self.name_folded = fold(self.name)
        super().save(*args, **kwargs)  # type: ignore[arg-type]


def changes_of(hospitals: HospitalQuerySet) -> Q:
    """Return the condition for what happened to devices while these held them, their leaving included."""
    ids = hospitals.ids_ever()
    return Q(device_holder_id__in=ids) | (LEFT & Q(history_holder_before_id__in=ids))


class FormerName(models.Model):
    """What a hospital was called before it was renamed, or what another was called that was merged into it.

    Applications in the field go on sending it, and mean this hospital. `former_id` is the id that the other hospital
    had: history still has it.
    """

    hospital = models.ForeignKey(Hospital, on_delete=models.CASCADE, related_name="former_names")
    name = models.CharField(_("name"), max_length=MAX_LENGTH)
    name_folded = models.CharField(max_length=3 * MAX_LENGTH, unique=True)
    former_id = models.BigIntegerField(null=True, db_index=True)
    created_at = models.DateTimeField(default=now)

    class Meta:
        verbose_name = _("former name")
        verbose_name_plural = _("former names")

    def __str__(self) -> str:
        return self.name


class Person(User):
    """Whoever signs in to the admin: Django's user, under the name that people here use. See people.py."""

    class Meta:
        proxy = True
        verbose_name = _("person")
        verbose_name_plural = _("people")

    def __str__(self) -> str:
        return self.get_full_name() or self.username


class SignIn(AccessLog):
    """A sign-in to the admin, as django-axes keeps it."""

    class Meta:
        proxy = True
        default_permissions = ()
        verbose_name = _("sign-in")
        verbose_name_plural = _("sign-ins")


class FailedSignIn(AccessFailureLog):
    """A try to sign in that failed, or was locked, as django-axes keeps it. Never the password."""

    class Meta:
        proxy = True
        default_permissions = ()
        verbose_name = _("failed sign-in")
        verbose_name_plural = _("failed sign-ins")


class DeviceQuerySet(models.QuerySet["Device"]):
    def within(self, reach: "Reach") -> Self:
        """Return what whoever has this reach may see."""
        if reach.ids is None:
            return self
        return self.filter(device_holder=reach.own.pk) if reach.own else self.filter(device_holder__in=reach.ids)

    def within_that_of_the_key(self) -> Self:
        """Return what `within` does, for the key of a query that this one stands in: one bound to none sees all."""
        bound_to = OuterRef("hospital_id")
        return self.filter(Q(device_holder=bound_to) | Q(IsNull(bound_to, True)))

    def held_by(self, name: str, within: "Reach") -> Self:
        """Return the devices of the hospital with this name, or those that no hospital holds (`unknown`).

        A hospital beyond the reach is looked for like one that never was: what is asked otherwise takes longer.
        """
        if fold(name) == UNKNOWN:
            return self.filter(device_holder=None)
        hospital = Hospital.objects.within(within).called([fold(name)]).get(fold(name))
        return self.filter(device_holder=hospital) if hospital else self.none()

    def search(self, text: str, within: "Reach") -> Self:
        """Return the devices that have the text, in any case, in their name, MAC or holder, which is within the reach.

        Holders beyond it are not looked for, as in `held_by`.
        """
        found = has_part(text)
        # Asked for beforehand: a condition on another table would keep PostgreSQL from using the indexes of this one.
        named = Hospital.objects.within(within).filter(name_folded__contains=fold(text))
        if holders := list(named.values_list("pk", flat=True)):
            found |= Q(device_holder__in=holders)
        if fold(text) == UNKNOWN:
            found |= Q(device_holder=None)
        return self.filter(found)


def has_part(text: str) -> Q:
    """Return the condition for devices that have the text, in any case, in their name or MAC."""
    # SQLite's LIKE folds ASCII only; its regular expressions are Python's, and fold all letters.
    found = Q(device_name__icontains=text)
    if connection.vendor == "sqlite" and not text.isascii():
        found = Q(device_name__iregex=re.escape(text))
    for part in {text.upper(), mac.read_part(text)} - {None}:
        found |= Q(device_mac__contains=part)
    return found


class Device(models.Model):
    """A device that may send vital signs. Written through registry.py only, which writes its history too."""

    device_name = models.CharField(_("name"), max_length=MAX_LENGTH, unique=True)
    device_mac = models.CharField(_("MAC address"), max_length=64, unique=True)
    device_type = models.CharField(_("type"), max_length=16, choices=DeviceType)
    device_holder = models.ForeignKey(
        Hospital,
        verbose_name=_("hospital"),
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="devices",
        db_index=False,  # it begins two others
    )
    created_at = models.DateTimeField(_("registered at"), default=now, editable=False)
    updated_at = models.DateTimeField(_("changed at"), default=now, editable=False)

    objects = DeviceQuerySet.as_manager()
    history = _history(
        bases=[DeviceChangeRecord],
        verbose_name=_("change of a device"),
        verbose_name_plural=_("changes of devices"),
        no_db_index=["id", "device_holder", "device_name", "device_mac"],  # the first two begin these
        indexes=[
            models.Index(fields=["id", "history_id"], name="change_by_device"),
            models.Index(fields=["device_holder", "history_id"], name="change_by_holder"),
            models.Index(fields=["history_holder_before", "history_id"], name="change_by_departure", condition=LEFT),
            # What the admin filters by, but for what is most of the table: reading that backwards finds it at once.
            models.Index(fields=["history_type", "history_id"], name="change_by_type", condition=~Q(history_type="+")),
            models.Index(
                fields=["history_through", "history_id"], name="change_by_through", condition=~Q(history_through="api")
            ),
        ],
    )

    class Meta:
        verbose_name = _("device")
        verbose_name_plural = _("devices")
        indexes = [
            models.Index(fields=["device_holder", "id"], name="device_by_holder"),
            models.Index(fields=["device_holder", "created_at"], name="device_by_holder_since"),
            models.Index(fields=["updated_at", "id"], name="device_by_change"),
            models.Index(fields=["created_at", "id"], name="device_by_registration"),
        ]
        constraints = [
            models.CheckConstraint(
                name="device_name_trimmed", condition=Q(device_name=Trim("device_name")) & ~Q(device_name="")
            ),
            models.CheckConstraint(
                name="device_name_length", condition=LessThanOrEqual(Length("device_name"), MAX_LENGTH)
            ),
            models.CheckConstraint(
                name="device_mac_normal",
                condition=Q(device_mac=Upper("device_mac"))
                & LessThanOrEqual(4, Length("device_mac"))
                & LessThanOrEqual(Length("device_mac"), 64),
            ),
            models.CheckConstraint(name="device_type_known", condition=Q(device_type__in=DeviceType.values)),
        ]

    def __str__(self) -> str:
        return self.device_name


class DeviceCount(models.Model):
    """A number of devices: of a hospital (or of nobody) and a type, or, where `everywhere`, of a type in all of them.

    Kept by the database itself (triggers/counts.py), read by counts.py. On PostgreSQL a count is the sum of several
    rows. The columns have the names that they have in Device, so that a condition on devices is one on their counts.
    """

    everywhere = models.BooleanField(default=False)
    device_holder = models.ForeignKey(
        Hospital, null=True, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    device_type = models.CharField(max_length=16)
    number = models.BigIntegerField()

    class Meta:
        default_permissions = ()
        indexes = [models.Index(fields=["everywhere", "device_holder", "device_type"], name="count_by_holder")]

    def __str__(self) -> str:
        return f"{self.number:+d}"


class ChangeFeed(models.Model):
    """What the cursors of the change feed depend on: one row, made when the first is needed."""

    key = models.BinaryField()  # seals the cursors: not SECRET_KEY, which may be renewed at any time
    pruned_to = models.BigIntegerField(default=0)  # up to this change, all but the last of each device may be gone

    class Meta:
        default_permissions = ()
        constraints = [models.CheckConstraint(name="changefeed_is_one", condition=Q(pk=1))]

    def __str__(self) -> str:
        return f"pruned to {self.pruned_to}"


def validate_rate(text: str) -> None:
    try:
        rates.read(text)
    except rates.Malformed as error:
        message = _("This is no rate: write a number and /s, /min or /h, such as 600/min, or unlimited.")
        raise ValidationError(message, "rate") from error


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    def working(self, at: "datetime | Parameter | None" = None) -> Self:
        """Return the keys that open the registry now (or at another time): neither revoked nor expired."""
        unexpired = Q(expires_at=None) | Q(expires_at__gt=at or timezone.now())
        return self.filter(unexpired, revoked_at=None)

    def ended(self) -> Self:
        return self.filter(Q(expires_at__lte=timezone.now()) | ~Q(revoked_at=None))

    def never_used(self) -> Self:
        return self.working().filter(last_used_at=None)

    def idle(self, since: timedelta = timedelta(days=90)) -> Self:
        """Return the working keys that were issued before and not used since."""
        at = timezone.now() - since
        return self.working().filter(Q(last_used_at__lt=at) | Q(last_used_at=None), created_at__lt=at)

    def expiring(self, within: timedelta = timedelta(days=30)) -> Self:
        """Return the working keys that will soon be none any more."""
        return self.working().filter(expires_at__lt=timezone.now() + within)


class ApiKey(models.Model):
    """A client application's key. The key itself is not here: only its digest, and the part that names it."""

    class Naming(models.TextChoices):
        SNAKE_CASE = "snake_case", "snake_case"
        CAMEL_CASE = "camelCase", "camelCase"

    name = models.CharField(_("client application"), max_length=MAX_LENGTH)
    prefix = models.CharField(_("key begins with"), max_length=8, blank=True, editable=False)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    hospital = models.ForeignKey(
        Hospital, verbose_name=_("hospital"), null=True, blank=True, on_delete=models.PROTECT, related_name="api_keys"
    )
    read_only = models.BooleanField(_("read-only"), default=False)
    naming = models.CharField(_("naming"), max_length=10, choices=Naming, default=Naming.SNAKE_CASE)
    rate = models.CharField(  # noqa: DJ001  (null: as API_RATE says, whatever it will say)
        _("requests at most"),
        max_length=20,
        null=True,
        blank=True,
        validators=[validate_rate],
        help_text=_("Such as 600/min, also /s and /h, or unlimited. Left empty, the default of this registry applies."),
    )
    legacy = models.BooleanField(_("legacy"), default=False, editable=False)
    created_at = models.DateTimeField(_("issued at"), default=now, editable=False)
    expires_at = models.DateTimeField(_("expires at"), null=True, blank=True)
    revoked_at = models.DateTimeField(_("revoked at"), null=True, editable=False)
    last_used_at = models.DateTimeField(_("last used at"), null=True, editable=False)

    told: Sequence[Any] = ()  # what a request has asked for along with the key: api/authentication.py

    objects = ApiKeyQuerySet.as_manager()
    history = _history(excluded_fields=["digest", "last_used_at"])

    class Meta:
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")
        constraints = [
            models.CheckConstraint(name="apikey_naming_known", condition=Q(naming__in=["snake_case", "camelCase"])),
            models.CheckConstraint(name="apikey_named_or_legacy", condition=Q(legacy=True) ^ ~Q(prefix="")),
            models.UniqueConstraint(name="apikey_prefix_unique", fields=["prefix"], condition=~Q(prefix="")),
        ]

    def __str__(self) -> str:
        return self.name


class PermitCount(models.Model):
    """How many permits of a name have been used up in a window of time: see leases.py. Written by counters.py alone."""

    name = models.CharField(max_length=80)
    began_at = models.BigIntegerField()  # seconds since 1970 UTC
    ends_at = models.BigIntegerField(db_index=True)
    used = models.BigIntegerField()
    leased = models.BigIntegerField()  # of these by whoever asked last

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(name="permits_of_a_window", fields=["name", "began_at", "ends_at"])]

    def __str__(self) -> str:
        return f"{self.used} of {self.name}"


class Upload(models.Model):
    """A file of devices that somebody has chosen, as it was read, until they import it. Written by uploads.py alone."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)  # 122 random bits: nobody guesses one
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=MAX_LENGTH)  # of the file, to show it
    created_at = models.DateTimeField(default=now, db_index=True)
    language = models.CharField(max_length=8)  # of what is said of its lines
    notes = models.JSONField(default=dict)  # what is said of the file as a whole
    counts = models.JSONField(default=dict)  # of its lines, by kind
    digest = models.CharField(max_length=64)  # of all that was shown

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.name


class UploadedLine(models.Model):
    """A line of such a file: what its cells say, and what it would do."""

    upload = models.ForeignKey(Upload, on_delete=models.CASCADE, related_name="lines", db_index=False)
    number = models.PositiveIntegerField()
    kind = models.CharField(max_length=9)
    content = models.TextField()  # JSON

    class Meta:
        default_permissions = ()
        indexes = [
            models.Index(fields=["upload", "number"], name="uploaded_line_by_number"),
            models.Index(fields=["upload", "kind", "number"], name="uploaded_line_by_kind"),
        ]

    def __str__(self) -> str:
        return str(self.number)


class RememberedAnswer(models.Model):
    """The first answer to a request that came with an Idempotency-Key, written in the transaction of the request."""

    # No key is ever deleted, so no constraint has to look for it each time, and `prune` may walk through them all.
    api_key = models.ForeignKey(ApiKey, on_delete=models.CASCADE, related_name="+", db_index=False, db_constraint=False)
    key = models.CharField(max_length=IDEMPOTENCY_KEY_LENGTH)
    fingerprint = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField()
    etag = models.CharField(max_length=64, blank=True)
    body = models.BinaryField()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(name="answer_is_the_first", fields=["api_key", "key"])]

    def __str__(self) -> str:
        return f"{self.status} at {self.created_at}"


class AuditEvent(models.Model):
    """What is on record besides the changes that history has: who came in, or did not, and what else they did.

    Written by audit.py alone, and never again: the database refuses it (triggers/records.py). No row holds a secret.
    """

    class What(models.TextChoices):
        SIGNED_IN = "signed_in", _("signed in")
        SIGNED_OUT = "signed_out", _("signed out")
        SIGN_IN_FAILED = "sign_in_failed", _("failed to sign in")
        SIGN_IN_LOCKED = "sign_in_locked", _("was locked out of signing in")
        CODE_ACCEPTED = "code_accepted", _("gave the second factor's code")
        CODE_REFUSED = "code_refused", _("gave a wrong code")
        SECOND_FACTOR_SET_UP = "second_factor_set_up", _("two-factor sign-in set up")
        SECOND_FACTOR_RESET = "second_factor_reset", _("two-factor sign-in taken away")
        RECOVERY_CODES_MADE = "recovery_codes_made", _("recovery codes made")
        PASSWORD_CHOSEN = "password_chosen", _("password chosen")
        PASSWORD_LINK_MADE = "password_link_made", _("link to choose a password made")
        PERSON_ADDED = "person_added", _("person added")
        PERSON_CHANGED = "person_changed", _("person changed")
        HOSPITAL_GIVEN = "hospital_given", _("made an admin of a hospital")
        HOSPITAL_TAKEN = "hospital_taken", _("no longer an admin of a hospital")
        DENIED = "denied", _("denied")
        EXPORTED = "exported", _("exported")
        IMPORTED = "imported", _("imported")
        PRUNED = "pruned", _("records past their time removed")
        RETENTION_RAISED = "retention_raised", _("records are kept for longer")

    class About(models.TextChoices):
        DEVICE = "device", _("device")
        HOSPITAL = "hospital", _("hospital")
        API_KEY = "key", _("API key")
        PERSON = "person", _("person")

    at = models.DateTimeField(_("when"), default=timezone.now, db_index=True)
    what = models.CharField(_("what"), max_length=24, choices=What)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("person"),
        null=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        related_name="+",
    )
    username = models.CharField(_("user name"), max_length=150, blank=True)  # as it was then
    api_key = models.ForeignKey(
        ApiKey,
        verbose_name=_("API key"),
        null=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        related_name="+",
    )
    through = models.CharField(_("through"), max_length=8, choices=Through)
    address = models.GenericIPAddressField(_("address"), null=True)
    request_id = models.CharField(_("request"), max_length=128, blank=True)
    about = models.CharField(_("about"), max_length=8, choices=About, blank=True)
    about_id = models.BigIntegerField(null=True)
    hospital = models.ForeignKey(
        Hospital,
        verbose_name=_("hospital"),
        null=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        related_name="+",
    )
    details = models.JSONField(_("details"), default=dict)

    class Meta:
        default_permissions = ()
        verbose_name = _("event")
        verbose_name_plural = _("events")
        indexes = [models.Index(fields=["about", "about_id"], name="event_by_what_it_is_about")]

    def __str__(self) -> str:
        return f"{self.what} at {self.at}"


class AuditRetention(models.Model):
    """How long records are kept: one row, which the database lets grow only. See triggers/records.py."""

    years = models.PositiveSmallIntegerField()
    pruning_before = models.DateTimeField(null=True)  # set within the transaction that removes, and nowhere else

    class Meta:
        default_permissions = ()
        constraints = [
            models.CheckConstraint(name="auditretention_is_one", condition=Q(pk=1)),
            models.CheckConstraint(name="auditretention_is_some", condition=Q(years__gte=1)),
        ]

    def __str__(self) -> str:
        return f"{self.years} years"
