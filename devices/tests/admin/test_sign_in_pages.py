"""Texts that users read when they sign in, set a password, or when their session or link has ended."""

import html
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth.models import User
from django.template.loader import render_to_string
from django.test import Client
from django.urls import reverse

from devices.accounts import users
from devices.models import Hospital, StaffUser
from devices.tests.support.admin.two_factor import CHECK, SET_UP, code_of, next_code_of, set_up, sign_in_again
from devices.tests.support.admin.users import PASSWORD, USERS, add_user, set_password, shown_link

LOGIN, LIST = "/admin/login/", "/admin/devices/device/"
INDONESIAN = {"accept-language": "id"}
CONTACT = {
    "OPERATOR_NAME": "Tim <Cexup>",
    "OPERATOR_EMAIL": "help@cexup.example",
    "OPERATOR_WHATSAPP": "+62 812-3456-7890",
}


def text_of(response: Any) -> str:
    """Return the visible text of the page."""
    page = re.sub(r"(?s)<(script|style).*?</\1>|<[^>]+>", " ", response.content.decode())
    return " ".join(html.unescape(page).split())


@pytest.fixture
def contact(settings: Any) -> None:
    for name, value in CONTACT.items():
        setattr(settings, name, value)


# --- The contact of the operator


def has_contact(response: Any) -> bool:
    page = response.content.decode()
    assert "Tim <Cexup>" not in page
    return (
        "Tim &lt;Cexup&gt;" in page
        and 'href="https://wa.me/6281234567890"' in page
        and 'href="mailto:help@cexup.example"' in page
    )


@pytest.mark.usefixtures("contact")
def test_contact_is_shown_where_users_are_stuck(client: Client, ratna: Client) -> None:
    user = User.objects.get(first_name="Ibu Ratna")
    assert has_contact(client.get(LOGIN))
    assert has_contact(client.get("/admin/set-password/MQ/abc-def/"))
    form = {"username": user.username, "password": "wrong"}
    assert has_contact([client.post(LOGIN, form) for _ in range(5)][-1])
    assert has_contact(ratna.get("/admin/help/"))
    set_up(ratna, user)
    assert has_contact(sign_in_again(user).get(CHECK))


@pytest.mark.parametrize("name", CONTACT)
def test_one_part_of_the_contact_is_enough(client: Client, db: None, settings: Any, name: str) -> None:
    setattr(settings, name, CONTACT[name])
    assert "operator-contact" in client.get(LOGIN).content.decode()


def test_without_a_contact_pages_name_the_operator_only(client: Client, db: None) -> None:
    page = client.get(LOGIN)
    assert "Ask the operator of the registry" in text_of(page)
    assert "operator-contact" not in page.content.decode()


@pytest.mark.usefixtures("contact")
def test_contact_is_rendered_without_a_request() -> None:
    assert "https://wa.me/6281234567890" in render_to_string("admin/operator_contact.html")


# --- Signing in


@pytest.mark.parametrize("username", ["ratna@rs.example", "nobody@rs.example", "patient@rs.example"])
def test_wrong_sign_in_has_one_message_that_does_not_depend_on_the_account(
    client: Client, ratna: Client, username: str
) -> None:
    User.objects.create_user("patient@rs.example", password=PASSWORD)  # no staff, with this password
    form = {"username": username, "password": PASSWORD if username.startswith("patient") else "wrong"}
    response = client.post(LOGIN, form, headers=INDONESIAN)
    text = text_of(response)
    assert text.count("Email atau kata sandi salah. Setelah 5 kali salah, akun terkunci 15 menit.") == 1
    assert response.content.decode().count('class="errornote') == 1
    assert not re.search("staf|huruf besar|di ?bawah", text, re.IGNORECASE)


def test_message_of_a_wrong_sign_in_has_the_limits_of_the_settings(client: Client, db: None, settings: Any) -> None:
    settings.AXES_FAILURE_LIMIT = 7
    text = text_of(client.post(LOGIN, {"username": "x", "password": "wrong"}))
    assert "After 7 wrong passwords, sign-in is locked for 15 minutes." in text


def test_signed_out_page_says_so_and_leads_to_the_sign_in_page(ratna: Client) -> None:
    response = ratna.post("/admin/logout/", headers=INDONESIAN)
    assert "Anda sudah keluar." in text_of(response)
    assert "Terima kasih" not in text_of(response)
    assert f'href="{LOGIN}"' in response.content.decode()


def test_changed_password_leads_back_with_a_message(ratna: Client) -> None:
    form = {"old_password": PASSWORD, "new_password1": "sore-teduh-8", "new_password2": "sore-teduh-8"}
    page = ratna.post("/admin/password_change/", form, follow=True)
    assert page.redirect_chain == [("/admin/", 302)]
    assert "Your password was changed." in text_of(page)


# --- An ended session


def end_session(client: Client) -> None:
    client.session.delete(client.session.session_key)


@pytest.mark.parametrize("method", ["get", "post"])
def test_ended_session_is_explained_at_the_sign_in(ratna: Client, method: str) -> None:
    end_session(ratna)
    response = getattr(ratna, method)(f"{LIST}add/", follow=True)
    text = text_of(response)
    assert "A session ends after 30 minutes without activity" in text
    assert ("Your last change was not saved." in text) == (method == "post")


def test_session_cookie_that_the_browser_has_deleted_is_explained_too(ratna: Client) -> None:
    ratna.get("/admin/logout/")
    browser = Client()
    browser.post(LOGIN, {"username": "ratna@rs.example", "password": PASSWORD})
    del browser.cookies["sessionid"]  # as after 30 minutes
    assert "A session ends after 30 minutes" in text_of(browser.get(LIST, follow=True))


def test_other_visitors_see_no_explanation(client: Client, db: None) -> None:
    response = client.get(LIST, follow=True)
    assert response.redirect_chain == [(f"{LOGIN}?next={LIST}", 302)]
    assert "30 minutes" not in text_of(response)


def test_after_an_ended_session_the_user_returns_to_the_page_and_to_no_other_host(ratna: Client) -> None:
    end_session(ratna)
    sign_in = ratna.get(LIST).headers["Location"]
    form = {"username": "ratna@rs.example", "password": PASSWORD}
    assert ratna.post(sign_in, form).headers["Location"] == LIST
    elsewhere = Client().post(f"{LOGIN}?next=https://evil.example/&ended=1", form)
    assert elsewhere.headers["Location"] == "/admin/"


def test_warning_of_the_script_has_the_time_of_the_setting(settings: Any) -> None:
    script = Path(settings.BASE_DIR, "devices/static/devices/session.js").read_text()
    assert f"IDLE = {settings.SESSION_COOKIE_AGE // 60} * 60;" in script


# --- Setting a password


def test_page_that_sets_a_password_names_the_user_and_the_hospitals(operator: Client, rs_a: Hospital) -> None:
    path = shown_link(add_user(operator, rs_a))
    text = text_of(Client().get(path, follow=True))
    assert "Hello Ibu Ratna. With this password you sign in as ratna@rs-harapan.example" in text
    assert "Your hospitals: RS Harapan." in text
    assert "Bahasa Indonesia" in text
    assert "At least 12 characters." in text


def test_language_is_changed_on_the_page_that_sets_a_password(operator: Client, rs_a: Hospital) -> None:
    browser = Client()
    form_url = browser.get(shown_link(add_user(operator, rs_a)), follow=True).request["PATH_INFO"]
    page = browser.post("/language", {"language": "id", "next": form_url}, follow=True)
    assert "Dengan kata sandi ini Anda masuk sebagai" in text_of(page)


def test_after_a_new_password_the_user_name_is_filled_in(operator: Client, rs_a: Hospital) -> None:
    page = set_password(Client(), shown_link(add_user(operator, rs_a)), "sore-teduh-8").content.decode()
    assert re.search(r'name="username"[^>]*value="ratna@rs-harapan.example"', page)
    assert 'value="ratna@rs-harapan.example"' not in Client().get(LOGIN).content.decode()


def test_used_link_leads_to_the_sign_in_page(operator: Client, rs_a: Hospital) -> None:
    path = shown_link(add_user(operator, rs_a))
    set_password(Client(), path, "sore-teduh-8")
    page = Client().get(path, headers=INDONESIAN, follow=True)
    assert "Tautan ini sudah dipakai atau kedaluwarsa" in text_of(page)
    assert f'href="{LOGIN}"' in page.content.decode()


def test_invalid_links_look_alike_whether_the_user_exists_or_not(operator: Client, rs_a: Hospital) -> None:
    path = shown_link(add_user(operator, rs_a))
    set_password(Client(), path, "sore-teduh-8")
    used = text_of(Client().get(path, follow=True))
    assert text_of(Client().get("/admin/set-password/OTk5OTk/abc-def/")) == used
    assert "ratna" not in used.lower()


# --- Two-factor authentication


def test_app_on_the_same_phone_is_opened_by_a_link_that_needs_no_script(ratna: Client) -> None:
    page = ratna.get(SET_UP).content.decode()
    [url] = re.findall(r'href="(otpauth://totp/[^"]+)"', page)
    [grouped] = re.findall(r'<code id="setup-key"[^>]*>([^<]+)</code>', page)
    assert all(len(group) == 4 for group in grouped.split())
    assert f"secret={grouped.replace(' ', '')}" in html.unescape(url)
    assert re.search(r'<input[^>]*inputmode="numeric"[^>]*>', page)
    assert 'autocomplete="one-time-code"' in page


@pytest.mark.parametrize("requirement", ["optional", "required"])
def test_set_up_has_a_way_back_only_if_it_is_optional(ratna: Client, settings: Any, requirement: str) -> None:
    settings.STAFF_OTP = requirement
    text = text_of(ratna.get(SET_UP))
    assert ("Back" in text, "Sign out" in text) == (requirement == "optional", requirement == "required")


@pytest.mark.parametrize("field", ["code", "recovery_code"])
def test_recovery_code_is_accepted_in_its_own_field_and_in_the_field_of_the_code(ratna: Client, field: str) -> None:
    user = User.objects.get(first_name="Ibu Ratna")
    recovery_code = set_up(ratna, user)[0]
    browser = sign_in_again(user)
    assert browser.post(CHECK, {"code": "", field: recovery_code}).status_code == 302
    assert browser.get(LIST).status_code == 200


@pytest.mark.parametrize("sent", [{}, {"code": "", "recovery_code": ""}, {"recovery_code": "aaaaaaaa"}])
def test_missing_or_wrong_recovery_code_is_rejected(ratna: Client, sent: dict[str, str]) -> None:
    user = User.objects.get(first_name="Ibu Ratna")
    set_up(ratna, user)
    browser = sign_in_again(user)
    assert browser.post(CHECK, sent).status_code == 200
    assert browser.get(LIST).headers["Location"].startswith(CHECK)
    assert browser.post(CHECK, {"code": next_code_of(user)}).status_code == 302


def test_secret_is_in_no_url_of_the_registry(ratna: Client, caplog: pytest.LogCaptureFixture) -> None:
    user = User.objects.get(first_name="Ibu Ratna")
    page = ratna.get(SET_UP).content.decode()
    [grouped] = re.findall(r'<code id="setup-key"[^>]*>([^<]+)</code>', page)
    response = ratna.post(SET_UP, {"code": code_of(user), "password": PASSWORD})
    secret = grouped.replace(" ", "")
    assert secret not in response.content.decode() + caplog.text
    assert [url for url in re.findall(r'(?:href|src|action)="(/[^"]*)"', page) if secret in url] == []


# --- Help


@pytest.mark.parametrize(("language", "words"), [("en", "Before your first sign-in"), ("id", "Sebelum masuk pertama")])
def test_help_is_the_guide_in_the_language_of_the_page(ratna: Client, language: str, words: str) -> None:
    page = ratna.get(reverse("help"), headers={"accept-language": language})
    assert words in text_of(page)
    assert f"guide/{language}/sign-in" in page.content.decode()


def test_each_link_within_the_help_leads_to_a_heading(ratna: Client) -> None:
    for language in ("en", "id"):
        page = ratna.get(reverse("help"), headers={"accept-language": language}).content.decode()
        targets = set(re.findall(r'href="#([^"]+)"', page))
        assert targets
        assert targets - set(re.findall(r'id="([^"]+)"', page)) == set()


def test_menus_of_all_users_lead_to_the_help_and_to_a_new_password(ratna: Client, operator: Client) -> None:
    for client in (ratna, operator):
        page = client.get("/admin/").content.decode()
        assert {'href="/admin/help/"', 'href="/admin/password_change/"'} <= set(re.findall(r'href="[^"]*"', page))


# --- Links that operators send


def test_reload_of_the_page_with_a_link_creates_and_shows_no_link(operator: Client, rs_a: Hospital) -> None:
    response = add_user(operator, rs_a)
    [(url, status)] = response.redirect_chain
    user = StaffUser.objects.get(first_name="Ibu Ratna")
    assert (url, status) == (f"{USERS}{user.pk}/link/", 302)
    path = shown_link(response)
    again = operator.get(url, follow=True)
    assert "set-password/" not in again.content.decode()
    assert "A link is shown only once." in text_of(again)
    assert set_password(Client(), path, "sore-teduh-8").status_code == 200
    assert User.objects.filter(first_name="Ibu Ratna").count() == 1


def test_link_of_one_user_is_not_shown_as_that_of_another(operator: Client, ratna: Client) -> None:
    user = StaffUser.objects.get(first_name="Ibu Ratna")
    other = users.invite("Budi", "budi@rs.example", user.hospitals.all())
    operator.post(USERS, {"action": "send_link", "_selected_action": user.pk})
    assert "set-password/" not in operator.get(f"{USERS}{other.pk}/link/", follow=True).content.decode()


@pytest.mark.parametrize(("language", "words"), [("en", "with this link you set"), ("id", "dengan tautan ini Anda")])
def test_link_is_sent_by_whatsapp_and_email_with_a_ready_message(
    operator: Client, rs_a: Hospital, language: str, words: str
) -> None:
    operator.cookies["django_language"] = language
    response = add_user(operator, rs_a, first_name='Siti "Ibu" & Co')
    link = shown_link(response)
    page = html.unescape(response.content.decode())
    [whatsapp] = re.findall(r'href="(https://wa\.me/[^"]+)"', response.content.decode())
    [email] = re.findall(r'href="(mailto:[^"]+)"', response.content.decode())
    messages = [
        parse_qs(urlsplit(html.unescape(whatsapp)).query)["text"][0],
        parse_qs(urlsplit(html.unescape(email)).query)["body"][0],
    ]
    for message in messages:
        assert words in message
        assert f"http://testserver{link}\n" in message
        assert 'Siti "Ibu" & Co' in message
    assert "ratna@rs-harapan.example?" in email
    assert "+" not in urlsplit(email).query  # mail programs show it as it is
    for button in ("Done", "Invite another") if language == "en" else ("Selesai", "Undang lagi"):
        assert button in page
