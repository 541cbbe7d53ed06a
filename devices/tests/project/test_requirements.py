"""Every package is pinned to a version, and every file to its hash."""

import json
import re
from importlib.metadata import distribution

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from devices.tests.support.services.server import ROOT


def pinned(name: str) -> dict[str, str]:
    """Return the version of each requirement of a compiled file. Each must have a hash."""
    text = (ROOT / name).read_text().replace("\\\n", " ")
    found = {}
    for line in text.splitlines():
        if match := re.fullmatch(r"([a-z0-9.-]+)==(\S+) .*--hash=sha256:[0-9a-f]{64}.*", line.strip()):
            found[match[1]] = match[2]
        else:
            assert not line.strip() or line.lstrip().startswith("#"), line
    return found


@pytest.mark.parametrize(
    "name",
    ["requirements", "requirements-tracing", "requirements-dev", "clients/requirements", "deploy/cluster/requirements"],
)
def test_requirements_are_pinned_to_their_versions(name: str) -> None:
    required = re.findall(r"^([a-z0-9.-]+)(?:\[[^]]*\])?==(\S+)$", (ROOT / f"{name}.in").read_text(), re.MULTILINE)
    assert len(required) >= 2
    assert set(required) <= set(pinned(f"{name}.txt").items())


@pytest.mark.parametrize("python", ["3.11.0", "3.11.3", "3.12.0", "3.13.0", "3.14.0"])
def test_requirements_of_each_python_version_are_pinned(python: str) -> None:
    """The files are compiled by one Python version. Other versions may need other packages."""
    versions = pinned("requirements-dev.txt")
    required = (ROOT / "requirements.in").read_text() + (ROOT / "requirements-dev.in").read_text()
    extras = {
        name: found.split(",") for name, found in re.findall(r"^([a-z0-9.-]+)\[([^]]+)\]", required, re.MULTILINE)
    }
    environment = {"python_full_version": python, "python_version": python.rpartition(".")[0]}
    needed = {
        canonicalize_name(requirement.name)
        for name in versions
        for requirement in map(Requirement, distribution(name).requires or [])
        if any(
            requirement.marker is None or requirement.marker.evaluate({**environment, "extra": extra})
            for extra in ["", *extras.get(name, [])]
        )
    }
    assert "django" in needed
    assert needed <= versions.keys()


def test_development_requirements_include_those_of_production() -> None:
    assert set(pinned("requirements.txt").items()) < set(pinned("requirements-dev.txt").items())


def test_sbom_lists_each_pinned_package_and_file() -> None:
    """`make sbom` writes the file."""
    sbom = json.loads((ROOT / "sbom.json").read_text())
    assert (sbom["bomFormat"], sbom["specVersion"]) == ("CycloneDX", "1.6")
    listed = {part["name"]: part["version"] for part in sbom["components"]}
    assert listed == pinned("requirements.txt")
    assert all(part["purl"] == f"pkg:pypi/{part['name']}@{part['version']}" for part in sbom["components"])
    hashes = re.findall("sha256:([0-9a-f]{64})", (ROOT / "requirements.txt").read_text())
    files = [part["externalReferences"][0]["hashes"] for part in sbom["components"]]
    assert sorted(each["content"] for some in files for each in some) == sorted(hashes)
