"""A pytest plugin that sets the environment before the settings load, so that tests ignore .env and the shell."""

import os

os.environ.update(
    ENV_FILE=os.devnull,
    SECRET_KEY="tests-only-" + "x" * 40,
    DEBUG="0",
    HTTPS="0",
    ALLOWED_HOSTS="testserver,localhost,127.0.0.1",
    CORS_ALLOWED_ORIGINS="https://app.example.org",
    LOG_LEVEL="WARNING",
    API_RATE="unlimited",  # tests of limits set their own
    API_FAILED_RATE="unlimited",
    SIGN_IN_RATE="unlimited",
    SIGN_IN_RATE_ALL="unlimited",
    CONFLICT_RATE="unlimited",
)
os.environ["DATABASE_URL"] = os.environ.get("TEST_DATABASE_URL", "sqlite:///tests.sqlite3")
UNSET = "API_FIRST_PAGE DEVICES_ALLOW_NON_MAC TRUSTED_PROXIES TIME_ZONE REDIS_URL SECRET_KEY_FALLBACKS EMAIL_URL"
UNSET += " LOG_FORMAT ACCESS_LOG OTEL_EXPORTER_OTLP_ENDPOINT METRICS_PORT METRICS_HOST"
for variable in UNSET.split():
    os.environ.pop(variable, None)
