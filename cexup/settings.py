"""All settings, from the environment or from the file ENV_FILE (default: .env in the folder of manage.py).

An environment variable takes precedence over the file. A value can also be in a separate file: SECRET_KEY_FILE=/path. A
missing or malformed value prevents the start, and the error has the name of the variable. `.env.example` lists all
variables, and docs/operations/configure.md explains them.
"""

from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import global_settings
from django.templatetags.static import static
from django.urls import reverse_lazy
from django.utils.functional import lazy
from django.utils.translation import gettext_lazy as _
from environs import ValidationError, validate

from cexup import __version__, cors, environment, log_handlers
from devices.api.schema.description import DESCRIPTION, TAGS
from devices.values import rates

BASE_DIR = Path(__file__).resolve().parent.parent


def is_rate(text: str) -> None:
    try:
        rates.parse_rate(text)
    except ValueError as error:
        raise ValidationError("Use a rate such as 100/s, 6000/min, 5000/h or 100000/d, or unlimited.") from error


env = environment.open_environment(BASE_DIR / ".env")

# --- The process -----------------------------------------------------------------------------------------------

SECRET_KEY = env.str("SECRET_KEY", validate=environment.secret)  # not trimmed: it was always used as it is
# An empty item is an error, because a key may be missing.
SECRET_KEY_FALLBACKS: list[str] = env.items("SECRET_KEY_FALLBACKS", [], each=environment.former_secret, keep_empty=True)
DEBUG = env.bool("DEBUG", False)
LOG_LEVEL = env.text("LOG_LEVEL", "INFO", check=validate.OneOf(["DEBUG", "INFO", "WARNING", "ERROR"]))

ROOT_URLCONF = "cexup.urls"

INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "axes",
    "corsheaders",
    "django_filters",
    "django_otp",
    "django_otp.plugins.otp_static",
    "django_otp.plugins.otp_totp",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "rest_framework",
    "simple_history",
    "devices",
]

MIDDLEWARE = [
    "cexup.middleware.RequestIdMiddleware",
    "cexup.middleware.ApiHeadersMiddleware",
    "cexup.middleware.SQLiteStatementLimitMiddleware",
    "devices.audit.middleware.AuditMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",  # these two first, for error responses
    "cexup.middleware.ContentSecurityPolicyMiddleware",
    "cexup.middleware.HttpsMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "cexup.compression.CompressionMiddleware",
    "cexup.middleware.LanguageMiddleware",
    "cexup.middleware.CommonMiddleware",
    "cexup.middleware.NoNulMiddleware",
    "cexup.back_office.SessionMiddleware",  # API requests skip cexup.back_office
    "cexup.back_office.ClearSiteDataMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "cexup.back_office.AuthenticationMiddleware",
    "cexup.back_office.LoginRequiredMiddleware",
    "cexup.back_office.MessageMiddleware",
    "cexup.back_office.SessionEndMiddleware",
    "cexup.back_office.OTPMiddleware",
    "cexup.back_office.TwoFactorMiddleware",
    "axes.middleware.AxesMiddleware",
    "cexup.back_office.SignInLimitMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "libraries": {"scripts": "devices.admin.scripts"},
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "devices.templatetags.operator_contact.context",
            ],
        },
    },
]

# --- The database ----------------------------------------------------------------------------------------------

# Seconds; 0 means no limit. Commands have no statement limit, and on PostgreSQL no lock limit (gunicorn.conf.py,
# middleware.py).
DATABASE_STATEMENT_TIMEOUT = env.int("DATABASE_STATEMENT_TIMEOUT", 30, validate=validate.Range(min=0, max=3600))
DATABASE_LOCK_TIMEOUT = env.int("DATABASE_LOCK_TIMEOUT", 5, validate=validate.Range(min=0, max=3600))
DATABASE_CONNECT_TIMEOUT = env.int("DATABASE_CONNECT_TIMEOUT", 5, validate=validate.Range(min=2, max=300))

database: dict[str, Any] = env.database("DATABASE_URL", f"sqlite:///{BASE_DIR / 'db.sqlite3'}")
database["CONN_MAX_AGE"] = env.int("DATABASE_CONN_MAX_AGE", 600, validate=validate.Range(min=0))
database.setdefault("OPTIONS", {})
if database["ENGINE"] == "django.db.backends.sqlite3":
    database["OPTIONS"] |= {
        # Take the write lock at BEGIN. Otherwise two writers that read first deadlock, and the busy timeout does not
        # apply. https://www.sqlite.org/lang_transaction.html
        "transaction_mode": "IMMEDIATE",
        "timeout": DATABASE_LOCK_TIMEOUT,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA cache_size=-32768;",  # KiB, for the indexes of 100,000 devices
    }
elif database["ENGINE"] == "django.db.backends.postgresql":
    database |= {"ENGINE": "cexup.postgresql", "CONN_HEALTH_CHECKS": True}
    # https://www.postgresql.org/docs/15/libpq-connect.html#LIBPQ-PARAMKEYWORDS
    database["OPTIONS"] = {
        "server_side_binding": True,
        "prepare_threshold": 5,  # a connection prepares a statement at its fifth execution
        "connect_timeout": DATABASE_CONNECT_TIMEOUT,
        # The connection to an unreachable server ends after 10 seconds, during a query and between queries.
        "tcp_user_timeout": 10_000,  # milliseconds
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        **database["OPTIONS"],
    }
DATABASES = {"default": database}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Addresses, HTTPS and cookies ------------------------------------------------------------------------------

HOST = environment.host(env.text("HOST", "127.0.0.1", check=environment.host))
PORT = env.int("PORT", 8000, validate=validate.Range(min=1, max=65535))
LOCAL_HOSTS = ["localhost", "127.0.0.1", "[::1]", HOST]
ALLOWED_HOSTS: list[str] = env.items("ALLOWED_HOSTS", LOCAL_HOSTS, each=environment.allowed_host)
CSRF_TRUSTED_ORIGINS: list[str] = env.items("CSRF_TRUSTED_ORIGINS", [], each=environment.trusted_origin)
TRUSTED_PROXIES = env.int("TRUSTED_PROXIES", 0, validate=validate.Range(min=0, max=10))

METRICS_PORT = env.int("METRICS_PORT", 0, validate=[validate.Range(min=0, max=65535), validate.NoneOf([PORT])])
METRICS_HOST = environment.host(env.text("METRICS_HOST", "127.0.0.1", check=environment.host))
if METRICS_PORT:
    MIDDLEWARE.insert(0, "cexup.metrics.middleware.MetricsMiddleware")

HTTPS = env.bool("HTTPS", True)
SECURE_SSL_REDIRECT = HTTPS
SECURE_REDIRECT_EXEMPT = [r"^healthz/?$", r"^readyz/?$"]
HSTS_SECONDS = env.int("HSTS_SECONDS", 31_536_000, validate=validate.Range(min=0))
SECURE_HSTS_SECONDS = HSTS_SECONDS if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None
# Browsers accept a cookie __Host-… only over HTTPS and from this host, not from other hosts of the domain.
_PREFIX = "__Host-" if HTTPS else ""
SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = f"{_PREFIX}sessionid", f"{_PREFIX}csrftoken"
LANGUAGE_COOKIE_NAME, DEVICE_COOKIE_NAME = f"{_PREFIX}django_language", f"{_PREFIX}device"
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"  # a cookie would have no prefix
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
CSRF_COOKIE_HTTPONLY = True

CORS_ALLOWED_ORIGINS: list[str] = env.items("CORS_ALLOWED_ORIGINS", [], each=environment.origin)
CORS_URLS_REGEX = r"(?i)^/+api(/|$)"  # also misspelled paths: devices/api/responses.py
CORS_ALLOW_HEADERS, CORS_EXPOSE_HEADERS = cors.ALLOW_HEADERS, cors.EXPOSE_HEADERS

CSRF_FAILURE_VIEW = "cexup.error_views.csrf_failure"

LOGIN_URL, LOGIN_REDIRECT_URL = "admin:login", "admin:index"
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "devices.accounts.sign_in_limits.NewNetworkLimit",
    "django.contrib.auth.backends.ModelBackend",
    "devices.accounts.users.HospitalAdminBackend",
]
SESSION_ENGINE = "devices.accounts.sessions"
SESSION_COOKIE_AGE = 30 * 60  # seconds without a request until a session ends
SESSION_SAVE_EVERY_REQUEST = True
SESSION_MAX_AGE = 12 * 60 * 60  # seconds from the sign-in until a session ends at the latest

# Limits of sign-ins, password changes and codes: devices/accounts/sign_in_limits.py.
SIGN_IN_RATE = env.text("SIGN_IN_RATE", "30/min", check=is_rate)  # per network
SIGN_IN_RATE_ALL = env.text("SIGN_IN_RATE_ALL", "120/min", check=is_rate)  # failures of all new networks together

AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False  # else further attempts would lock the user forever
AXES_RESET_ON_SUCCESS = True
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_CLIENT_IP_CALLABLE = "devices.access.client_ip.client_network"
AXES_LOCKOUT_CALLABLE = "devices.accounts.sign_in_limits.locked_out"
AXES_DISABLE_ACCESS_LOG = True  # the audit log records all sign-ins
AXES_VERBOSE = False  # no log line at each start
AXES_ENABLE_ADMIN = False

# Emails to users whose sign-in data changed (devices/accounts/notifications.py). Without EMAIL_URL none are sent.
EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"
vars().update(env.email("EMAIL_URL", "dummy:"))
EMAIL_TIMEOUT = 5  # seconds
DEFAULT_FROM_EMAIL = env.text("DEFAULT_FROM_EMAIL", "registry@localhost", check=environment.is_sender)

# Two-factor authentication for the admin. By default it is required with HTTPS, as in production.
STAFF_OTP = env.text("STAFF_OTP", "required" if HTTPS else "optional", check=validate.OneOf(["required", "optional"]))
OTP_TOTP_ISSUER = "Cexup"
OTP_TOTP_THROTTLE_FACTOR = OTP_STATIC_THROTTLE_FACTOR = 0  # devices/accounts/two_factor.py limits wrong codes

PASSWORD_HASHERS = ["devices.accounts.password_hashing.BoundedPasswordHasher"]
AUTH_PASSWORD_VALIDATORS: list[dict[str, Any]] = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "devices.accounts.receivers.RecordingLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
    {"NAME": "devices.accounts.password_rules.PaddedCommonPasswordValidator"},
    {"NAME": "devices.accounts.password_rules.OwnCharactersValidator"},
]
if BREACHED_PASSWORDS := env.text("BREACHED_PASSWORDS", "", check=environment.is_file):
    breached = {"password_list_path": BREACHED_PASSWORDS}
    common = "django.contrib.auth.password_validation.CommonPasswordValidator"
    AUTH_PASSWORD_VALIDATORS.append({"NAME": common, "OPTIONS": breached})

# The contact that users see: devices/templatetags/operator_contact.py.
OPERATOR_NAME = env.text("OPERATOR_NAME", "")
OPERATOR_EMAIL = env.text("OPERATOR_EMAIL", "", check=environment.is_email)
OPERATOR_WHATSAPP = env.text("OPERATOR_WHATSAPP", "", check=environment.is_phone)

# --- The API: ../docs/api/README.md -----------------------------------------------------------------------------------

API_FIRST_PAGE = env.int("API_FIRST_PAGE", 1, validate=validate.OneOf([0, 1]))
API_MAX_BODY = 8 * 1024 * 1024  # bytes of one request
API_MAX_DEVICES = 10_000  # devices of one POST
FEED_WAITERS = env.int("FEED_WAITERS", 2, validate=validate.Range(min=0, max=1000))  # per worker process
FEED_WAITERS_PER_KEY = env.int("FEED_WAITERS_PER_KEY", max(1, FEED_WAITERS // 4), validate=validate.Range(1, 1000))
API_RATE = env.text("API_RATE", "6000/min", check=is_rate)  # per key without a rate limit
API_FAILED_RATE = env.text("API_FAILED_RATE", "30/min", check=is_rate)  # invalid keys per IP address
CONFLICT_RATE = env.text("CONFLICT_RATE", "100/d", check=is_rate)  # outside the scope, per key or admin
REDIS_URL = env.text("REDIS_URL", "", check=environment.is_redis_url)
DEVICES_ALLOW_NON_MAC = env.bool("DEVICES_ALLOW_NON_MAC", False)

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["devices.api.authentication.ApiKeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["devices.api.permissions.HasApiKey"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "devices.api.responses.JSONOnlyNegotiation",
    "DEFAULT_PARSER_CLASSES": ["devices.api.parsers.JSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_METADATA_CLASS": None,
    "EXCEPTION_HANDLER": "devices.api.exception_handler.exception_handler",
    "UNAUTHENTICATED_USER": None,
}

SPECTACULAR_SETTINGS = {
    "TITLE": "Cexup Device Registry API",
    "DESCRIPTION": DESCRIPTION,
    "VERSION": __version__,
    "OAS_VERSION": "3.1.0",
    "SERVERS": [{"url": "/", "description": "This registry"}],
    "CONTACT": {"name": OPERATOR_NAME or "The operator of this registry"}
    | ({"email": OPERATOR_EMAIL} if OPERATOR_EMAIL else {}),
    # The owner has not chosen a license: ../README.md. openapi-generator requires an SPDX identifier.
    "LICENSE": {"name": "All rights reserved", "identifier": "LicenseRef-All-Rights-Reserved"},
    "TAGS": TAGS,
    "SORT_OPERATIONS": "devices.api.schema.extensions.sort_key",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": lazy(static, str)("devices/favicon.svg"),
    "SWAGGER_UI_SETTINGS": {"persistAuthorization": False, "validatorUrl": None},
    "PREPROCESSING_HOOKS": ["devices.api.schema.extensions.without_trailing_slash"],
    "POSTPROCESSING_HOOKS": ["devices.api.schema.extensions.postprocess"],
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "COMPONENT_SPLIT_REQUEST": True,
    "SERVE_AUTHENTICATION": [],
    "EXTERNAL_DOCS": {"url": "/api/guide", "description": "Guide for client developers"},
}

# --- The audit log: ../docs/security.md ------------------------------------------------------------------------

AUDIT_YEARS = env.int("AUDIT_YEARS", 6, validate=validate.Range(min=1, max=100))  # the minimum retention of records

# --- The admin -------------------------------------------------------------------------------------------------

UNFOLD = {
    "SITE_TITLE": _("Device registry"),
    "SITE_HEADER": _("Device registry"),
    "SITE_SYMBOL": "ecg_heart",
    "SITE_URL": None,
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda _request: static("devices/favicon.svg")}],
    "STYLES": [lambda request: static("devices/pages.css")],
    "SCRIPTS": [lambda request: static("devices/labels.js"), lambda request: static("devices/session.js")],
    "SHOW_LANGUAGES": True,
    "ACCOUNT": {
        "navigation": [
            {"title": _("Change password"), "link": reverse_lazy("admin:password_change")},
            {"title": _("Two-factor authentication"), "link": reverse_lazy("two_factor_settings")},
            {"title": _("Your sessions"), "link": reverse_lazy("your_sessions")},
            {"title": _("Help"), "link": reverse_lazy("help")},
        ]
    },
    "DASHBOARD_CALLBACK": "devices.admin.dashboard.dashboard",
    "SIDEBAR": {"navigation": "devices.admin.dashboard.sidebar"},
}
IMPORT_MAX_BYTES = env.int("IMPORT_MAX_MB", 10, validate=validate.Range(min=1, max=100)) * 1024 * 1024  # of one file
FILE_UPLOAD_HANDLERS = ["devices.admin.upload_handlers.LimitedUpload", *global_settings.FILE_UPLOAD_HANDLERS]

# --- Languages, times, files -----------------------------------------------------------------------------------

LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English")), ("id", _("Indonesian"))]
LOCALE_PATHS = [BASE_DIR / "devices/locale"]  # these translations win over those of INSTALLED_APPS
LANGUAGE_COOKIE_SECURE, LANGUAGE_COOKIE_HTTPONLY, LANGUAGE_COOKIE_SAMESITE = HTTPS, True, "Lax"
TIME_ZONE = env.text(
    "TIME_ZONE", "Asia/Jakarta", check=environment.is_time_zone
)  # of the admin; the database stores UTC
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STATICFILES_DIRS = [("guide", BASE_DIR / "docs/images")]  # the pictures of the help page
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}

# --- Logs on stderr: cexup/logs.py -----------------------------------------------------------------------------

LOG_FORMAT = env.text("LOG_FORMAT", "line", check=validate.OneOf(["line", "json"]))
ACCESS_LOG = env.bool("ACCESS_LOG", False)
if LOG_FORMAT == "json" or ACCESS_LOG:
    MIDDLEWARE.insert(0, "cexup.access_log.AccessLogMiddleware")

DEFAULT_EXCEPTION_REPORTER = "cexup.logs.Report"
LOGGING = log_handlers.configuration(LOG_FORMAT, LOG_LEVEL)

# Traces: cexup/tracing.py
OTEL_EXPORTER_OTLP_ENDPOINT = env.text("OTEL_EXPORTER_OTLP_ENDPOINT", "", check=environment.is_otlp_endpoint)
if OTEL_EXPORTER_OTLP_ENDPOINT:
    MIDDLEWARE.insert(0, "cexup.tracing.TracingMiddleware")
