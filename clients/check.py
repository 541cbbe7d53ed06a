"""Use the generated clients against a running registry: `make test-clients` runs this program.

Each client sends the requests of walk/steps.json to a new registry, and newman sends each request of the Postman
collection. `make clients` must have generated the clients.
"""

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from clients.generate import FOLDER, GENERATED, LOGS, NODE, ROOT, TOOLS
from devices.tests.support import environment as _environment  # noqa: F401  (it sets the environment of the server)
from devices.tests.support.services.server import served_from, serving

WALKS: dict[str, list[str | Path]] = {
    "openapi-generator python": [TOOLS / "python", FOLDER / "walk" / "openapi_generator_python.py"],
    "openapi-python-client": [TOOLS / "python", FOLDER / "walk" / "openapi_python_client.py"],
    "openapi-generator typescript-fetch": ["node", GENERATED / "compiled" / "walk" / "typescript-fetch.js"],
    "openapi-fetch": ["node", GENERATED / "compiled" / "walk" / "openapi-fetch.js"],
    "hey-api": ["node", GENERATED / "compiled" / "walk" / "hey-api.js"],
}
EXAMPLES: dict[str, list[str | Path]] = {
    "example-openapi-fetch.ts": ["node", GENERATED / "compiled" / "generated" / "example-openapi-fetch.js"],
    "example-hey-api.ts": ["node", GENERATED / "compiled" / "generated" / "example-hey-api.js"],
    "example-typescript-fetch.ts": ["node", GENERATED / "compiled" / "generated" / "example-typescript-fetch.js"],
    "example_openapi_python_client.py": [TOOLS / "python", GENERATED / "example_openapi_python_client.py"],
    "example_openapi_generator_python.py": [TOOLS / "python", GENERATED / "example_openapi_generator_python.py"],
}
OUTPUT_OF_EXAMPLES = ["1 E86 5894", "device_name unique", "device_mac unique", "1 E86 5894"]  # of two runs
COLLECTION = GENERATED / "postman" / "collection.json"
LOG = LOGS / "server.log"
# More devices and hospitals than the ids in the examples of the schema.
SEEDED = [
    {
        "device_name": f"Seed {number}",
        "device_mac": f"02:00:00:00:20:{number:02X}",
        "device_type": "CONSUMER",
        "device_holder": f"RS Seed {number}",
    }
    for number in range(1, 51)
]


def main() -> None:
    """Print one line for each client. End with an error if a client, or a request of the collection, fails."""
    with tempfile.TemporaryDirectory() as folder:
        database, empty, seeded = (Path(folder) / f"{name}.sqlite3" for name in ("registry", "empty", "seeded"))
        environment = served_from(f"sqlite:///{database}") | {"PYTHONWARNINGS": "ignore"}

        def manage(*arguments: str) -> str:
            command = [sys.executable, "manage.py", *arguments]
            result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
            if result.returncode:
                raise SystemExit(result.stderr)
            return result.stdout.strip()

        manage("migrate", "-v0")
        key = manage("create_api_key", "walk")
        copy(database, empty)
        with LOG.open("w") as log, serving(environment, log=log) as port:
            url = f"http://127.0.0.1:{port}"
            failed = [
                name for name, command in WALKS.items() if not passes(name, [*command, url, key], empty, database)
            ]
            for name, command in EXAMPLES.items():
                copy(empty, database)
                failed += [] if example_passes(name, command, url, key) else [name]
            copy(empty, database)
            post(f"{url}/api/devices", key, SEEDED)
            copy(database, seeded)
            failed += run_collection(url, key, lambda: copy(seeded, database))
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


def copy(source: Path, target: Path) -> None:
    """Replace the content of a database, also while the server uses it."""
    with closing(sqlite3.connect(source)) as original, closing(sqlite3.connect(target)) as replaced:
        original.backup(replaced)


def passes(name: str, command: list[str | Path], empty: Path, database: Path) -> bool:
    """Run the walk of one client with an empty registry, and print its result."""
    copy(empty, database)
    result = run(command)
    print(f"{name}: {result.stdout.strip()}{result.stderr[-4000:]}", flush=True)
    return result.returncode == 0


def example_passes(name: str, command: list[str | Path], url: str, key: str) -> bool:
    """Run an example twice with an empty registry: the second time, its device is already registered."""
    folders = [GENERATED / "openapi-generator-python", GENERATED / "openapi-python-client"]
    variables = {"REGISTRY": url, "KEY": key, "PYTHONPATH": os.pathsep.join(map(str, folders))}
    results = [run(command, variables) for _ in range(2)]
    output = "".join(result.stdout for result in results)
    passed = output.splitlines() == OUTPUT_OF_EXAMPLES
    print(f"{name}: {'ok' if passed else output + results[0].stderr + results[1].stderr}", flush=True)
    return passed


def run_collection(url: str, key: str, restore: Callable[[], None]) -> list[str]:
    """Send each request of the collection to a registry with the same devices, and return those that failed."""
    names = [item["name"] for folder in json.loads(COLLECTION.read_text())["item"] for item in folder["item"]]
    failed = []
    for name in names:
        restore()
        variables = [f"--env-var=baseUrl={url}", f"--env-var=apiKey={key}"]
        result = run([NODE / "newman", "run", COLLECTION, "--folder", name, "--color", "off", *variables])
        if result.returncode:
            print(result.stdout)
            failed.append(f"newman, {name}")
    print(f"newman: {len(names) - len(failed)} of {len(names)} requests succeeded")
    return failed


def run(command: list[str | Path], variables: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    text = [str(part) for part in command]
    environment = {**os.environ, "NO_PROXY": "127.0.0.1", **(variables or {})}
    return subprocess.run(text, env=environment, capture_output=True, text=True)


def post(url: str, key: str, body: Any) -> None:
    headers = {"x-api-key": key, "content-type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), headers)) as response:
        response.read()


if __name__ == "__main__":
    main()
