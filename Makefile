# `make run` serves the registry, and `make test` tests it. Each target installs the packages that it needs.

PYTHON ?= python3
CHROMIUM ?= /usr/bin/chromium
export CHROMIUM

BIN := .venv/bin
# The settings of .env.example with a new key, because the key of the example is rejected.
PRODUCTION = ENV_FILE=.env.example SECRET_KEY=$$(head -c 48 /dev/urandom | base64 | tr -d '\n')
COMPILE = CUSTOM_COMPILE_COMMAND="make requirements" $(BIN)/pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links
PIP_AUDIT := 2.10.1
CYCLONEDX := 7.5.0
FONTTOOLS := 4.66.1
BROTLI := 1.2.0
RUN_STAMP := .venv/.run-$(shell cksum < requirements.txt | cut -d' ' -f1)
DEV_STAMP := .venv/.dev-$(shell cat requirements.txt requirements-dev.txt | cksum | cut -d' ' -f1)

CLIENTS_STAMP := .venv-clients/.installed-$(shell cat clients/requirements.txt clients/package-lock.json | cksum | cut -d' ' -f1)
CLUSTER_STAMP := .venv-cluster/.installed-$(shell cksum < deploy/cluster/requirements.txt | cut -d' ' -f1)

.PHONY: help run test test-browser test-model test-faults test-cluster test-image fuzz lint format bench bench-admin soak docs screenshots messages \
	requirements audit sbom icons clients test-clients lint-schema drill sizing

help:  ## List all targets.
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

run: $(RUN_STAMP)  ## Serve the registry on http://HOST:PORT (default: 127.0.0.1:8000).
	@umask 077; $(BIN)/python manage.py quickstart
	@umask 077; exec $(BIN)/gunicorn --config gunicorn.conf.py

test: $(DEV_STAMP) $(CLUSTER_STAMP)  ## Run all tests on SQLite, PostgreSQL, in a browser and on a cluster. ARGS=PATHS: only these.
	$(BIN)/python -m pytest -n auto -m "not browser and not cluster and not drill and not image" $(ARGS)
ifeq ($(ARGS),)
	$(BIN)/python -m pytest -n auto -rs devices/tests/browser
	$(BIN)/python -m pytest -rs -s -m cluster
endif
	$(BIN)/python -m devices.tests.support.services.postgres $(BIN)/python -m pytest -n auto -m "not browser and not any_database and not cluster and not drill and not image" $(ARGS)

test-browser: $(DEV_STAMP)  ## Run the browser tests with CHROMIUM. ARGS is passed to pytest.
	$(BIN)/python -m pytest -n auto devices/tests/browser $(ARGS)

test-model: $(DEV_STAMP)  ## Run the long model-based tests on both databases (nightly).
	MODEL_EXAMPLES=200 MODEL_STEPS=50 $(BIN)/python -m pytest -q devices/tests/registry/test_model.py
	MODEL_EXAMPLES=200 MODEL_STEPS=50 $(BIN)/python -m devices.tests.support.services.postgres $(BIN)/python -m pytest -q devices/tests/registry/test_model.py

fuzz: $(DEV_STAMP)  ## Fuzz each parser for 10 minutes. FUZZ_SECONDS=60 shortens it.
	FUZZ_SECONDS=$${FUZZ_SECONDS:-600} $(BIN)/python -m pytest -q -s devices/tests/fuzz/test_fuzzing.py $(ARGS)

lint: $(DEV_STAMP)  ## Check style, types, imports, migrations, production settings and plain English.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo --no-cache
	$(PRODUCTION) $(BIN)/mypy
	$(PRODUCTION) $(BIN)/python manage.py makemigrations --check --dry-run
	$(PRODUCTION) $(BIN)/python manage.py check --deploy --fail-level WARNING --database default
	$(BIN)/python -m devices.tests.support.plain_english

format: $(DEV_STAMP)  ## Format the code and apply the fixes of ruff.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clients: $(DEV_STAMP) $(CLIENTS_STAMP)  ## Check the schema, and generate and compile clients (needs Node.js 20 and the network once).
	$(BIN)/python -m clients.generate

test-clients: clients  ## Generate clients, and use them against a running registry (5 minutes).
	$(BIN)/python -m clients.check

lint-schema: $(DEV_STAMP) $(CLIENTS_STAMP)  ## Check /api/schema with Redocly and Spectral.
	$(BIN)/python -m clients.generate --lint

bench-admin: $(DEV_STAMP)  ## Measure the admin with 1,000,000 devices on PostgreSQL. ARGS="--devices 10000": fewer.
	$(BIN)/python -m bench.admin $(ARGS)

bench: $(DEV_STAMP)  ## Compare with other implementations (25 minutes, needs wrk). ARGS="--against PATH" adds a checkout.
	$(BIN)/python -m bench $(ARGS)

soak: $(DEV_STAMP)  ## Run at 70 % of the capacity on PostgreSQL for 10 minutes. ARGS="--seconds 60" shortens it.
	$(BIN)/python -m bench.soak $(ARGS)

sizing: $(DEV_STAMP)  ## Measure the numbers of docs/operations/sizing.md. ARGS="--devices N …": other numbers.
	$(BIN)/python -m bench.sizing $(ARGS)

test-faults: $(DEV_STAMP)  ## Inject all faults at full length, on both databases (see docs/reliability.md).
	FAULTS=full $(BIN)/python -m pytest -s -m faults $(ARGS)
	FAULTS=full $(BIN)/python -m devices.tests.support.services.postgres $(BIN)/python -m pytest -s -m faults $(ARGS)

drill: $(DEV_STAMP)  ## Back up, destroy and restore 1,000,000 devices on both databases. DRILL_DEVICES=2000 shortens it.
	$(BIN)/python -m devices.tests.support.drill.programs
	DRILL_DEVICES=$${DRILL_DEVICES:-1000000} $(BIN)/python -m pytest -q -s -m drill devices/tests/drill $(ARGS)

test-cluster: $(DEV_STAMP) $(CLUSTER_STAMP)  ## Inject all faults into a cluster with Patroni (needs root, see docs/reliability.md).
	CLUSTER=full $(BIN)/python -m pytest -s -m cluster $(ARGS)

test-image: $(DEV_STAMP)  ## Build the container image, and run it and compose.yaml (needs root and buildah, no Docker).
	IMAGE=full $(BIN)/python -m pytest -n 0 -s --durations=5 devices/tests/image $(ARGS)

docs: $(DEV_STAMP)  ## Update the examples of docs/api, docs/errors.md, the help page and /api/guide.
	WRITE_DOCS=1 $(BIN)/python -m pytest -q devices/tests/project/test_docs.py devices/tests/api/test_error_codes.py \
		devices/tests/project/test_help_page.py -k "api_examples or errors_page or help_page"
	WRITE_DOCS=1 $(BIN)/python -m pytest -q devices/tests/project/test_api_guide.py -k api_guide_has

screenshots: $(DEV_STAMP)  ## Update the screenshots of docs/hospital-admins.md and README.md.
	WRITE_IMAGES=1 $(BIN)/python -m pytest -q devices/tests/browser/test_guide.py -k words

messages: $(DEV_STAMP)  ## Collect the translatable strings and compile the translations.
	$(BIN)/python -m devices.locale.messages

icons: $(DEV_STAMP)  ## Write the font of the icons in devices/static/devices/icons.txt (needs the network).
	test -x .venv-icons/bin/pyftsubset || { $(PYTHON) -m venv .venv-icons && \
		.venv-icons/bin/pip install --quiet --disable-pip-version-check fonttools==$(FONTTOOLS) brotli==$(BROTLI); }
	.venv-icons/bin/pyftsubset $(BIN)/../lib/python3*/site-packages/unfold/static/unfold/fonts/material-symbols/*.woff2 \
		--glyphs="$$(cat devices/static/devices/icons.txt)" --unicodes=U+5F-7A,U+30-39 --no-layout-closure --flavor=woff2 \
		--output-file=devices/static/devices/icons.woff2

audit: requirements.txt  ## Check the packages for known vulnerabilities (needs the network). ARGS is passed to pip-audit.
	test -x .venv-audit/bin/pip-audit || { $(PYTHON) -m venv .venv-audit && \
		.venv-audit/bin/pip install --quiet --disable-pip-version-check pip-audit==$(PIP_AUDIT); }
	.venv-audit/bin/pip-audit --requirement requirements.txt --require-hashes --disable-pip --strict $(ARGS)
	.venv-audit/bin/pip-audit --requirement requirements-tracing.txt --require-hashes --disable-pip --strict $(ARGS)
	.venv-audit/bin/pip-audit --requirement requirements-dev.txt --require-hashes --disable-pip --strict $(ARGS)
	.venv-audit/bin/pip-audit --requirement clients/requirements.txt --require-hashes --disable-pip --strict $(ARGS)
	.venv-audit/bin/pip-audit --requirement deploy/cluster/requirements.txt --require-hashes --disable-pip --strict $(ARGS)

requirements: $(DEV_STAMP)  ## Compile the lists of packages from their .in files, with hashes.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check pip-tools==7.6.2
	$(COMPILE) --output-file requirements.txt requirements.in
	$(COMPILE) --output-file requirements-tracing.txt requirements-tracing.in
	$(COMPILE) --output-file requirements-dev.txt requirements-dev.in
	$(COMPILE) --output-file clients/requirements.txt clients/requirements.in
	$(COMPILE) --output-file deploy/cluster/requirements.txt deploy/cluster/requirements.in
	$(MAKE) sbom

sbom: requirements.txt  ## Update sbom.json, the list of packages in the CycloneDX format.
	test -x .venv-sbom/bin/cyclonedx-py || { $(PYTHON) -m venv .venv-sbom && \
		.venv-sbom/bin/pip install --quiet --disable-pip-version-check cyclonedx-bom==$(CYCLONEDX); }
	.venv-sbom/bin/cyclonedx-py requirements --output-reproducible --short-PURLs --spec-version 1.6 \
		--output-file sbom.json requirements.txt

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or later is needed, this is " + sys.version)'
	$(PYTHON) -m venv .venv

$(RUN_STAMP): | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(DEV_STAMP): $(RUN_STAMP) | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

$(CLIENTS_STAMP):
	rm -rf .venv-clients
	$(PYTHON) -m venv .venv-clients
	.venv-clients/bin/pip install --quiet --disable-pip-version-check --require-hashes -r clients/requirements.txt
	npm ci --prefix clients --ignore-scripts --no-audit --no-fund
	@touch $@

$(CLUSTER_STAMP):
	rm -rf .venv-cluster
	$(PYTHON) -m venv .venv-cluster
	.venv-cluster/bin/pip install --quiet --disable-pip-version-check --require-hashes -r deploy/cluster/requirements.txt
	@touch $@
