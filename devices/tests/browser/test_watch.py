"""What the watch over every page sees: a watch that sees nothing would let all other tests pass."""

import pytest
from django.contrib.auth.models import User

from devices.tests.support.browser import NARROW, Visit, Watch


@pytest.mark.parametrize(
    ("deed", "seen"),
    [
        ("console.error('oh no')", "console: oh no"),
        ("setTimeout(() => { throw new Error('thrown') })", "uncaught: thrown"),
        ("document.head.append(Object.assign(document.createElement('script'), {text: '1'}))", "the policy forbids"),
        ("fetch('//localhost:9/').catch(() => 0)", "the policy forbids"),
        ("fetch('/static/none.js')", "404: GET"),
        ("document.body.append(Object.assign(document.createElement('hr'), {style: 'width: 400px'}))", "px sideways"),
    ],
)
def test_what_no_page_may_do_is_seen(visit: Visit, operator: User, watch: Watch, deed: str, seen: str) -> None:
    page = visit("/admin/login/", viewport=NARROW)
    page.evaluate(deed + "; 0")
    page.wait_for_timeout(200)
    assert any(seen in trouble for trouble in watch.seen), watch.seen
    watch.seen.clear()


def test_a_request_to_another_host_is_seen(visit: Visit, address: str, watch: Watch) -> None:
    visit(address.replace("127.0.0.1", "localhost") + "/healthz")
    assert "another host" in watch.seen[0]
    watch.seen.clear()
