"""The examples of docs/api.md are run, and README's first session pasted into a shell."""

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest

from devices.crypto import cursors
from devices.models import ChangeFeed
from devices.tests.conftest import Api, issue, set_clock

ROOT = Path(__file__).resolve().parents[2]
API = ROOT / "docs" / "api.md"
EXAMPLE = re.compile(r"```http\n(\w+) (\S+)\n(?:\n(.*?))?```\n\n```json\n(.*?)```", re.DOTALL)


@pytest.mark.django_db(transaction=True, reset_sequences=True)
def test_the_examples_of_the_api_manual_answer_as_they_say(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = count()
    begin = datetime(2021, 11, 2, 2, 48, 2, 937000, tzinfo=UTC)
    set_clock(monkeypatch, lambda: begin + timedelta(seconds=next(seconds)))
    monkeypatch.setattr(cursors, "token_bytes", bytes)
    ChangeFeed.objects.create(pk=1, key=b"manual".ljust(32))
    api = Api(issue("manual").text)

    def run(example: re.Match[str]) -> str:
        method, path, body, _answer = example.groups()
        response = api(method, path, json.loads(body) if body else None)
        answer = json.dumps(response.json(), indent=2, ensure_ascii=False)
        sent = f"{method} {path}\n" + (f"\n{body}" if body else "")
        return f"```http\n{sent}```\n\n```json\n{answer}\n```"

    text = API.read_text()
    told = EXAMPLE.sub(run, text)
    if os.environ.get("WRITE_DOCS"):
        API.write_text(told)
    assert len(EXAMPLE.findall(text)) == text.count("```http")
    assert told == API.read_text()


def test_the_first_session_of_the_readme_works_when_pasted(server: int, server_environment: dict[str, str]) -> None:
    [session] = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    session = session.replace(".venv/bin/python", sys.executable).replace(":8000", f":{server}")
    result = subprocess.run(
        ["bash", "-euc", session],
        cwd=ROOT,
        env=server_environment,
        capture_output=True,
        text=True,
        check=True,
    )
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert [answer["code"] for answer in answers] == [201, 200, 200, 200]
    assert [answer["data"][0]["device_name"] for answer in (answers[1], answers[3])] == ["E86 5894", "Ward 3, bed 2"]
