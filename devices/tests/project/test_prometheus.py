"""The rules and the dashboard of deploy/prometheus: they are valid, use existing metrics, and are documented."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from cexup.metrics import files
from cexup.metrics.recorder import Recorder
from devices.tests.support.metrics import collected, parse
from devices.tests.support.services.server import ROOT
from devices.values.outages import OutageCause

FOLDER = ROOT / "deploy" / "prometheus"
MANUAL = (ROOT / "docs/operations/monitor.md").read_text()
PROMTOOL = shutil.which("promtool")
RULES: list[dict[str, Any]] = yaml.safe_load((FOLDER / "rules.yml").read_text())["groups"][0]["rules"]
RULES_OF_PATRONI: list[dict[str, Any]] = yaml.safe_load((FOLDER / "patroni.yml").read_text())["groups"][0]["rules"]
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "dashboard.json").read_text())
EXPRESSIONS = [rule["expr"] for rule in RULES]
EXPRESSIONS += [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
METRIC = re.compile(r"\bregistry_\w+")

needs_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="promtool is not installed: apt-get install --no-install-recommends prometheus"
)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A scrape that has every metric, also those of requests that have not been sent."""
    place = tmp_path_factory.mktemp("folder") / "metrics"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("prometheus_client.values.ValueClass", None)
        patch.setattr("cexup.worker.report_rejected", None)
        patch.setenv("PROMETHEUS_MULTIPROC_DIR", "")
        patch.setattr(files, "folder", lambda port: place)
        own = Recorder(place)
        own.finished.append(("api/devices", "GET", 200, 0.01, 0.001))
        own.publish()
        return collected(place)


def promtool(*arguments: str, sent: str | None = None) -> subprocess.CompletedProcess[str]:
    run = [str(PROMTOOL), *arguments]
    return subprocess.run(run, cwd=FOLDER, input=sent, capture_output=True, text=True, check=False)


@needs_promtool
def test_a_scrape_is_valid(text: str) -> None:
    result = promtool("check", "metrics", sent=text)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert promtool("check", "metrics", sent=text.replace("_total", "")).returncode


@needs_promtool
def test_rules_and_the_scrape_configuration_are_valid() -> None:
    for arguments in (["rules", "rules.yml", "patroni.yml"], ["config", "--syntax-only", "prometheus.yml"]):
        result = promtool("check", *arguments)
        assert result.returncode == 0, result.stderr


@needs_promtool
def test_each_alert_fires_when_it_should() -> None:
    result = promtool("test", "rules", "rules_test.yml", "patroni_test.yml")
    assert result.returncode == 0, result.stdout + result.stderr


@needs_promtool
@pytest.mark.parametrize("file", ["rules", "patroni"])
def test_no_alert_fires_before_its_time(file: str, tmp_path: Path) -> None:
    """The tests of each alert fail if it does not wait."""
    rules = yaml.safe_load((FOLDER / f"{file}.yml").read_text())
    tests = yaml.safe_load((FOLDER / f"{file}_test.yml").read_text())
    waiting = [rule for rule in rules["groups"][0]["rules"] if "for" in rule]
    assert len(waiting) > 4
    for rule in waiting:
        cases = [test | {"alert_rule_test": cases_of(test, rule["alert"])} for test in tests["tests"]]
        (tmp_path / "test.yml").write_text(json.dumps(tests | {"tests": [case for case in cases if fires(case)]}))
        for wait, expected in ((rule["for"], 0), ("0s", 1)):
            changed = {"groups": [{"name": "x", "rules": [rule | {"for": wait}]}]}
            (tmp_path / f"{file}.yml").write_text(json.dumps(changed))
            assert promtool("test", "rules", str(tmp_path / "test.yml")).returncode == expected, (rule["alert"], wait)


def cases_of(test: dict[str, Any], alert: str) -> list[dict[str, Any]]:
    return [case for case in test["alert_rule_test"] if case["alertname"] == alert]


def fires(test: dict[str, Any]) -> bool:
    return any("exp_alerts" in case for case in test["alert_rule_test"])


@needs_promtool
@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_expressions_are_valid(expression: str, tmp_path: Path) -> None:
    """Grafana replaces its variables before Prometheus parses an expression."""
    plain = expression.replace("$__rate_interval", "5m").replace("$job", "registry").replace("$instance", ".*")
    rules = tmp_path / "rules.yml"
    rules.write_text(json.dumps({"groups": [{"name": "x", "rules": [{"record": "x", "expr": plain}]}]}))
    result = promtool("check", "rules", str(rules))
    assert result.returncode == 0, result.stderr


def test_metrics_of_rules_and_dashboard_exist(text: str) -> None:
    existing = {name for name, _labels in parse(text)}
    used = {name for expression in EXPRESSIONS for name in METRIC.findall(expression)}
    assert len(used) > 15
    assert used - existing == set()


@pytest.mark.parametrize(("file", "rules"), [("rules_test.yml", RULES), ("patroni_test.yml", RULES_OF_PATRONI)])
def test_each_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not(
    file: str, rules: list[dict[str, Any]]
) -> None:
    names = [rule["alert"] for rule in rules]
    tests = yaml.safe_load((FOLDER / file).read_text())["tests"]
    cases = [(case["alertname"], "exp_alerts" in case) for test in tests for case in test["alert_rule_test"]]
    assert len(set(names)) == len(names) > 4
    assert {name for name, fires in cases if fires} == set(names)
    assert {name for name, fires in cases if not fires} == set(names)


def test_each_alert_has_a_section_that_says_what_to_do() -> None:
    sections = dict(re.findall(r"^### (Registry\w+)\n\n(.*?)(?=^##)", MANUAL, re.MULTILINE | re.DOTALL))
    assert list(sections) == [rule["alert"] for rule in RULES]
    for rule in RULES:
        name = rule["alert"]
        assert rule["annotations"]["docs"] == f"docs/operations/monitor.md#{name.lower()}"
        assert rule["annotations"]["summary"]
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert len(sections[name].split()) > 20, name
    for cause in OutageCause:
        assert f"| `{cause}` |" in sections["RegistryUnavailable"]


def test_each_alert_of_patroni_is_in_the_page_of_the_cluster() -> None:
    page = (ROOT / "docs/operations/high-availability.md").read_text()
    alerts = re.findall(r"^\| (Patroni\w+) \| .+ \| .+ \|$", page, re.MULTILINE)
    assert alerts == [rule["alert"] for rule in RULES_OF_PATRONI]


def test_each_metric_is_in_the_manual(text: str) -> None:
    families = set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))
    table = set(re.findall(r"`(registry_\w+)`", MANUAL.partition("## Alerts")[0]))
    assert families == table


def test_dashboard_shows_every_metric(text: str) -> None:
    families = set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))
    shown = {
        name for panel in DASHBOARD["panels"] for target in panel["targets"] for name in METRIC.findall(target["expr"])
    }
    assert {name for name in families if not any(each.startswith(name) for each in shown)} == set()
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in DASHBOARD["panels"]]
    assert len(set(places)) == len(places)
    assert len({panel["title"] for panel in DASHBOARD["panels"]}) == len(places)
