# The container image of the registry. docs/operations/containers.md has the steps.
#
#     docker build --tag registry --build-arg REVISION="$(git rev-parse HEAD)" .
#
# BASE is an image with Python 3.11 or later and its module venv. Both stages use it.

ARG BASE=python:3.13-slim-bookworm

FROM ${BASE} AS build
WORKDIR /srv/registry
COPY requirements.txt requirements-tracing.txt ./
# TRACING=1 adds the packages for traces.
ARG TRACING=0
# Each package is a wheel with one of the pinned hashes, so the build runs no code of a package. The secret pip.conf is
# optional: it names a mirror of the packages, and stays out of the image. pip itself is not needed later.
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    set -eu; \
    python3 -m venv .venv; \
    pip() { .venv/bin/python3 -m pip --quiet --disable-pip-version-check "$@"; }; \
    install() { pip install --no-cache-dir --require-hashes --only-binary=:all: --requirement "$1"; }; \
    install requirements.txt; \
    if [ "$TRACING" = 1 ]; then install requirements-tracing.txt; fi; \
    pip uninstall --yes pip setuptools
# .dockerignore lists what is copied.
COPY . .
# collectstatic needs the settings, but no key that lasts. The files may be private in the checkout.
RUN set -eu; \
    SECRET_KEY="$(head -c 48 /dev/urandom | base64 | tr -d '\n')" .venv/bin/python3 manage.py collectstatic --no-input -v0; \
    .venv/bin/python3 -m compileall -q cexup devices; \
    chmod -R u=rwX,go=rX .; \
    chmod 755 manage.py

FROM ${BASE}
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Cexup Device Registry" \
    org.opencontainers.image.description="A self-hosted registry of medical IoT devices for many hospitals" \
    org.opencontainers.image.version="1.0.0" \
    org.opencontainers.image.revision="${REVISION}"
RUN set -eu; \
    groupadd --gid 10001 registry; \
    useradd --uid 10001 --gid registry --no-log-init --no-create-home --home-dir /nonexistent \
        --shell /usr/sbin/nologin registry; \
    install --directory --owner=registry --group=registry --mode=700 /var/lib/registry
COPY --from=build /srv/registry /srv/registry
WORKDIR /srv/registry
# Only /var/lib/registry, /tmp and /dev/shm must be writable. Workers report in /dev/shm that they run, so a slow disk
# does not end them.
ENV PATH=/srv/registry/.venv/bin:/srv/registry:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOST=0.0.0.0 \
    DATABASE_URL=sqlite:////var/lib/registry/db.sqlite3 \
    GUNICORN_CMD_ARGS=--worker-tmp-dir=/dev/shm
VOLUME /var/lib/registry
USER 10001:10001
EXPOSE 8000
# gunicorn completes the requests in progress, for up to 30 seconds.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s --retries=3 CMD ["python3", "-m", "cexup.healthcheck"]
CMD ["gunicorn", "--config", "gunicorn.conf.py"]
