"""Operators merge hospitals, and issue and revoke API keys."""

from django.contrib.auth.models import User
from playwright.sync_api import APIResponse, Page, expect

from devices.models import ApiKey, Device, Hospital
from devices.tests.support.admin.browser import Visit, Watch, act, choose
from devices.tests.support.client import issue

KEYS = "/admin/devices/apikey/"


def test_hospitals_are_merged_after_confirmation(
    visit: Visit, operator: User, ratna: User, devices: dict[str, Device], rs_b: Hospital
) -> None:
    page = visit("/admin/devices/hospital/", operator)
    act(page, "Merge into another hospital", "RS Harapan")
    expect(page.get_by_text("devices: 1, hospital admins: 1, API keys: 0")).to_be_visible()
    choose(page, "into", "RS Sehat", "sehat")
    page.get_by_role("button", name="Merge").click()
    expect(page.get_by_text("Merged into RS Sehat.")).to_be_visible()
    assert list(Hospital.objects.all()) == [rs_b]
    admin_page = visit("/admin/devices/device/", ratna)
    expect(admin_page.locator("#result_list tbody th")).to_have_count(2)


def list_devices(page: Page, key: str) -> APIResponse:
    return page.request.get("/api/devices", headers={"x-api-key": key})


def test_key_is_issued_copied_used_and_revoked(visit: Visit, operator: User, watch: Watch) -> None:
    page = visit(f"{KEYS}add/", operator, permissions=["clipboard-read", "clipboard-write"])
    page.locator("#id_name").fill("Ward app")
    page.locator("#id_all_hospitals").check()
    page.get_by_role("button", name="Create key", exact=True).click()
    expect(page.get_by_text("It is shown only once.")).to_be_visible()
    page.get_by_role("button", name="Copy", exact=True).click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    key = page.evaluate("navigator.clipboard.readText()")
    assert key == page.locator("#key").inner_text()
    page.get_by_role("button", name="Copy command").click()
    expect(page.get_by_role("button", name="Copied")).to_have_count(2)
    assert f"x-api-key: {key}" in page.evaluate("navigator.clipboard.readText()")
    assert list_devices(page, key).status == 200
    page.get_by_role("link", name="I have saved the key").click()
    expect(page.get_by_text("Active", exact=True)).to_be_visible()
    page.goto(KEYS)
    expect(page.get_by_text(key)).to_have_count(0)
    act(page, "Revoke", "Ward app")
    expect(page.get_by_text("1 key will be revoked immediately.")).to_be_visible()
    watch.expected.add(401)
    page.get_by_role("button", name="Revoke").click()
    expect(page.get_by_text("1 key was revoked.")).to_be_visible()
    assert list_devices(page, key).status == 401
    assert ApiKey.objects.get().revoked_at


def test_key_is_rotated_from_its_own_page(visit: Visit, operator: User) -> None:
    old = issue("Ward app")
    page = visit(f"{KEYS}{old.key.pk}/change/", operator)
    page.get_by_role("link", name="Rotate").click()
    expect(page.get_by_text(f"cxp_{old.key.prefix}…")).to_be_visible()
    page.get_by_role("button", name="Rotate").click()
    expect(page.get_by_text(f"Old key: cxp_{old.key.prefix}… (expires in 23 hours).")).to_be_visible()
    assert list_devices(page, page.locator("#key").inner_text()).status == 200
    page.get_by_role("link", name="I have saved the key").click()
    expect(page).to_have_url(f"{KEYS}{ApiKey.objects.latest('pk').pk}/change/")
