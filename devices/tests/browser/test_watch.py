"""The watch detects what pages must not do. Without it, the other tests would prove less."""

import pytest
from django.contrib.auth.models import User

from devices.tests.support.admin.browser import NARROW, Visit, Watch


@pytest.mark.parametrize(
    ("script", "seen"),
    [
        ("console.error('oh no')", "console: oh no"),
        ("setTimeout(() => { throw new Error('thrown') })", "uncaught: thrown"),
        ("document.head.append(Object.assign(document.createElement('script'), {text: '1'}))", "the policy blocked"),
        ("fetch('//localhost:9/').catch(() => 0)", "the policy blocked"),
        ("fetch('/static/none.js')", "404: GET"),
        ("document.body.append(Object.assign(document.createElement('hr'), {style: 'width: 400px'}))", "px sideways"),
    ],
)
def test_forbidden_behavior_of_pages_is_detected(
    visit: Visit, operator: User, watch: Watch, script: str, seen: str
) -> None:
    page = visit("/admin/login/", viewport=NARROW)
    page.evaluate(script + "; 0")
    for _ in range(50):  # a loaded machine needs more than the first 200 ms
        page.wait_for_timeout(200)
        if any(seen in problem for problem in watch.seen):
            break
    assert any(seen in problem for problem in watch.seen), watch.seen
    watch.seen.clear()


def test_request_to_another_host_is_detected(visit: Visit, address: str, watch: Watch) -> None:
    visit(address.replace("127.0.0.1", "localhost") + "/healthz")
    assert "another host" in watch.seen[0]
    watch.seen.clear()
