"""/api/docs: "Try it out" and "Execute" without any input, for a key of one hospital."""

from playwright.sync_api import Page, expect

from devices.models import Device, Hospital
from devices.tests.support.admin.browser import Visit
from devices.tests.support.client import issue

TALLEST = 6000  # pixels of one open operation, at a width of 1280

# The contrast of the method of the deprecated operation: white on a gray, which nothing makes transparent.
CONTRAST = """() => {
    const method = document.querySelector(".opblock-deprecated .opblock-summary-method");
    const [gray] = getComputedStyle(method).backgroundColor.match(/\\d+/g);
    const opaque = getComputedStyle(method.closest(".opblock")).opacity === "1";
    return opaque ? 1.05 / (((gray / 255 + 0.055) / 1.055) ** 2.4 + 0.05) : 0;
}"""


def execute(page: Page, operation: str, status: int) -> None:
    block = page.locator(f"#operations-Devices-{operation}")
    block.locator(".opblock-summary-control").click()
    block.get_by_role("button", name="Try it out").click()
    block.get_by_role("button", name="Execute").click()
    expect(block.locator(".live-responses-table tbody .response-col_status").first).to_have_text(str(status))
    box = block.bounding_box()
    assert box is not None
    assert box["height"] < TALLEST, operation


def test_executed_examples_register_and_list_a_sensible_device(visit: Visit, rs_a: Hospital) -> None:
    page = visit("/api/docs")
    page.locator(".btn.authorize").click()
    page.locator(".auth-container input").fill(issue("docs", hospitals=[rs_a]).text)
    page.locator(".auth-btn-wrapper .authorize").click()
    page.locator(".btn-done").click()
    execute(page, "create", 201)
    execute(page, "getAll", 200)
    assert not page.locator("a[href*='//']:visible").all()  # to another host
    assert page.evaluate(CONTRAST) >= 4.5
    [device] = Device.objects.select_related("device_holder")
    assert (device.device_name, device.device_mac) == ("E86 5894", "D0:61:AE:D4:58:94")
    assert device.device_holder == rs_a
    assert list(Hospital.objects.all()) == [rs_a]
