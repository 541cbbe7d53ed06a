"""A session that ends while a form is open: the form is kept, and can be saved after a new sign-in."""

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from devices.models import Device, Hospital, Session
from devices.tests.support.admin.browser import NARROW, PASSWORD, Visit, sign_in

ADD = "/admin/devices/device/add/"


@pytest.fixture
def form(visit: Visit, ratna: User, rs_a: Hospital) -> Page:
    """The form of a new device with entered values, in the browser of a user with a password."""
    ratna.set_password(PASSWORD)
    ratna.save()
    page = visit("/admin/login/", viewport=NARROW)  # where the bar could cover the button
    sign_in(page, "ratna@rs.example", PASSWORD)
    page.goto(ADD)
    page.get_by_label("Name").fill("Cuff 9")
    page.get_by_label("MAC address").fill("D0:61:AE:D4:58:99")
    page.locator("[name=device_type][value=CORPORATE]").check()
    return page


def save(page: Page) -> None:
    page.get_by_role("button", name="Save", exact=True).click()


def test_form_is_kept_when_the_session_has_ended_and_saved_after_a_new_sign_in(form: Page) -> None:
    Session.objects.all().delete()
    save(form)
    expect(form.get_by_role("alert")).to_contain_text("Your entries are still on this page")
    expect(form.get_by_label("Name")).to_have_value("Cuff 9")
    assert not Device.objects.exists()
    form.evaluate("dispatchEvent(new Event('visibilitychange'))")  # as the timer does every ten seconds
    expect(form.get_by_role("alert")).to_be_visible()
    with form.context.expect_page() as opened:
        form.get_by_role("link", name="Sign in in a new tab").click()
    sign_in(opened.value, "ratna@rs.example", PASSWORD)
    expect(opened.value).to_have_url("/admin/")
    save(form)
    expect(form).to_have_url("/admin/devices/device/")
    assert Device.objects.get().device_name == "Cuff 9"


def test_form_is_saved_if_the_user_has_signed_in_again_before(form: Page) -> None:
    Session.objects.all().delete()
    other = form.context.new_page()
    other.goto("/admin/login/")
    sign_in(other, "ratna@rs.example", PASSWORD)
    expect(other).to_have_url("/admin/")
    save(form)
    expect(form).to_have_url("/admin/devices/device/")
    assert Device.objects.get().device_name == "Cuff 9"


def test_user_is_warned_two_minutes_before_and_can_stay_signed_in(form: Page) -> None:
    form.evaluate("localStorage.setItem('devices.lastRequest', Date.now() - (28 * 60 + 5) * 1000)")
    form.evaluate("dispatchEvent(new Event('storage'))")
    expect(form.get_by_role("alert")).to_contain_text("You will be signed out in two minutes")
    Session.objects.update(last_seen_at="2026-01-01T00:00:00Z", expire_date="2099-01-01T00:00:00Z")
    form.get_by_role("button", name="Stay signed in").click()
    expect(form.get_by_role("alert")).to_have_count(0)
    expect(form.get_by_label("Name")).to_have_value("Cuff 9")
    assert not Session.objects.filter(expire_date__year=2099).exists()  # renewed for 30 minutes


def test_form_without_a_script_leads_to_a_sign_in_that_explains_what_happened(
    visit: Visit, ratna: User, rs_a: Hospital
) -> None:
    page = visit(ADD, ratna, locale="id")
    page.evaluate("document.querySelector('#device_form').classList.remove('warn-unsaved-form')")
    Session.objects.all().delete()
    page.evaluate("HTMLFormElement.prototype.submit.call(document.querySelector('#device_form'))")
    expect(page.get_by_text("Perubahan terakhir Anda tidak tersimpan.")).to_be_visible()
    expect(page.get_by_text("Sesi berakhir setelah 30 menit tanpa aktivitas")).to_be_visible()
