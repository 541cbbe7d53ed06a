"""The secret of a second factor lies in the database sealed: by the SECRET_KEY, and for its person alone."""

import binascii
import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client, override_settings
from django_otp import DEVICE_ID_SESSION_KEY
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice

from devices.accounts import two_factor
from devices.crypto import encryption
from devices.models import AuthenticatorApp
from devices.tests.support.two_factor import (
    CHECK,
    SET_UP,
    change_the_key,
    code_shown,
    next_code_of,
    set_up,
    shown_codes,
    signed_in_anew,
)
from devices.tests.support.users import PASSWORD

LIST = "/admin/devices/device/"
SECRET = bytes(range(20))


@pytest.fixture
def person(ratna: Client) -> User:
    return User.objects.get(first_name="Ibu Ratna")


def stored() -> str:
    """What the table has, as a backup has it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM otp_totp_totpdevice")
        return repr(cursor.fetchall())


def key_of(user: User) -> str:
    return str(TOTPDevice.objects.get(user=user).key)


def is_sealed_by_todays_key(text: str, user_id: int) -> bool:
    with override_settings(SECRET_KEY_FALLBACKS=[]):
        try:
            return text.startswith(encryption.PREFIX) and bool(encryption.decrypt_totp_secret(text, user_id))
        except encryption.DecryptionError:
            return False


def lies_plain(user: User) -> str:
    """Store the secret as it was before there was a seal; return it."""
    plain = AuthenticatorApp.objects.get(user=user).bin_key.hex()
    TOTPDevice.objects.filter(user=user).update(key=plain)
    return plain


# --- In the database


def test_what_is_stored_has_the_secret_in_no_form(ratna: Client, person: User) -> None:
    for step in (lambda: ratna.get(SET_UP), lambda: set_up(ratna, person)):
        step()
        app = AuthenticatorApp.objects.get(user=person)
        base32 = two_factor.format_secret(app)
        for form in (app.bin_key.hex(), base32, base32.replace(" ", "")):
            assert len(form) >= 32
            assert form.lower() not in stored().lower()
        assert is_sealed_by_todays_key(key_of(person), person.pk)
        assert len(key_of(person)) == 67


def test_in_somebody_elses_row_it_opens_nothing(ratna: Client, person: User, operator: Client) -> None:
    boss = User.objects.get(username="operator")
    set_up(operator, boss)
    set_up(ratna, person)
    codes = next_code_of(person), next_code_of(boss)
    TOTPDevice.objects.filter(user=boss).update(key=key_of(person))
    for code in codes:
        AuthenticatorApp.objects.update(throttling_failure_count=0)
        assert "This code is wrong" in signed_in_anew(boss).post(CHECK, {"code": code}).content.decode()
    assert signed_in_anew(person).post(CHECK, {"code": next_code_of(person)}).status_code == 302


def test_to_django_otps_own_model_it_is_no_secret(ratna: Client, person: User) -> None:
    set_up(ratna, person)
    code = next_code_of(person)
    with pytest.raises(binascii.Error):
        TOTPDevice.objects.get(user=person).verify_token(code)
    assert AuthenticatorApp.objects.get(user=person).verify_token(code)


def test_one_that_was_never_sealed_works_and_is_sealed_by_that(ratna: Client, person: User) -> None:
    set_up(ratna, person)
    plain = lies_plain(person)
    assert signed_in_anew(person).post(CHECK, {"code": next_code_of(person)}).status_code == 302
    assert plain not in stored()
    assert AuthenticatorApp.objects.get(user=person).bin_key.hex() == plain


def test_a_session_of_before_goes_on(ratna: Client, person: User) -> None:
    set_up(ratna, person)
    session = ratna.session
    own, number = session[DEVICE_ID_SESSION_KEY].split("/")
    assert own == "devices.authenticatorapp"
    session[DEVICE_ID_SESSION_KEY] = f"otp_totp.totpdevice/{number}"
    session.save()
    assert ratna.get(LIST).status_code == 200
    assert "is on." in ratna.post(SET_UP, {"code": "000000"}).content.decode()
    session[DEVICE_ID_SESSION_KEY] = "otp_totp.totpdevice/0"
    session.save()
    assert ratna.get(LIST).headers["Location"].startswith(CHECK)


# --- When the SECRET_KEY is another


def test_what_an_older_key_sealed_opens_and_is_sealed_anew(ratna: Client, person: User, settings: Any) -> None:
    set_up(ratna, person)
    change_the_key(settings, keep=True)
    assert ratna.get(LIST).status_code == 200
    assert not is_sealed_by_todays_key(key_of(person), person.pk)
    assert signed_in_anew(person).post(CHECK, {"code": next_code_of(person)}).status_code == 302
    settings.SECRET_KEY_FALLBACKS = []
    assert signed_in_anew(person).post(CHECK, {"code": next_code_of(person)}).status_code == 302


def test_whoever_saves_it_seals_it_anew(ratna: Client, person: User, settings: Any) -> None:
    set_up(ratna, person)
    change_the_key(settings, keep=True)
    AuthenticatorApp.objects.get(user=person).save(update_fields=["key"])
    assert is_sealed_by_todays_key(key_of(person), person.pk)


def test_without_the_older_key_a_code_is_wrong_and_the_log_says_what_to_do(
    ratna: Client, person: User, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    set_up(ratna, person)
    before, app = key_of(person), AuthenticatorApp.objects.get(user=person)
    secrets = [before, app.bin_key.hex(), two_factor.format_secret(app), settings.SECRET_KEY]
    code = next_code_of(person)
    change_the_key(settings, keep=False)
    again = signed_in_anew(person)
    answer = again.post(CHECK, {"code": code})
    assert (answer.status_code, "This code is wrong" in answer.content.decode()) == (200, True)
    assert again.get(LIST).status_code == 302
    [line] = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert re.search(rf"user {person.pk}\. Add .* to SECRET_KEY_FALLBACKS, or reset", line)
    assert not [secret for secret in secrets if secret in caplog.text]
    assert TOTPDevice.objects.get(user=person).throttling_failure_count == 1
    assert key_of(person) == before


def test_setting_it_up_begins_anew_where_the_older_key_is_gone(ratna: Client, person: User, settings: Any) -> None:
    ratna.get(SET_UP)
    change_the_key(settings, keep=False)
    again = signed_in_anew(person)
    page = again.get(SET_UP)
    app = AuthenticatorApp.objects.latest("pk")
    assert two_factor.format_secret(app) in page.content.decode()
    form = {"code": code_shown(app), "password": PASSWORD}
    assert len(shown_codes(again.post(SET_UP, form).content.decode())) == 10
    assert AuthenticatorApp.objects.get(user=person) == app


@pytest.mark.parametrize("keep", [True, False])
def test_recovery_codes_work_as_long_as_the_older_key_is_kept(
    ratna: Client, person: User, settings: Any, keep: bool
) -> None:
    first, second, *_rest = set_up(ratna, person)
    change_the_key(settings, keep=keep)
    for code in (first, second) if keep else ():
        assert signed_in_anew(person).post(CHECK, {"code": code}).status_code == 302
    assert "This code is wrong" in signed_in_anew(person).post(CHECK, {"code": first}).content.decode()
    assert two_factor.recovery_codes_left(person) == (8 if keep else 10)
    StaticDevice.objects.update(throttling_failure_count=0)
    [new, *_rest] = two_factor.new_recovery_codes(person)
    assert signed_in_anew(person).post(CHECK, {"code": new}).status_code == 302


# --- The seal itself


def test_no_two_seals_are_alike() -> None:
    sealed = {encryption.encrypt_totp_secret(SECRET, 7) for _ in range(100)}
    assert len(sealed) == 100
    assert {encryption.decrypt_totp_secret(text, 7) for text in sealed} == {SECRET}


def test_any_character_changed_it_does_not_open() -> None:
    text = encryption.encrypt_totp_secret(SECRET, 7)
    for position in range(len(text)):
        other = "A" if text[position] != "A" else "B"
        with pytest.raises(encryption.DecryptionError):
            encryption.decrypt_totp_secret(text[:position] + other + text[position + 1 :], 7)


@pytest.mark.parametrize("text", ["v1.", "v1.AAAA", "v1." + "A" * 64, "v1.é", "v1.\0", "no hex", "v2." + "A" * 64])
def test_what_is_no_seal_is_unreadable_and_is_not_told(text: str) -> None:
    assert not is_sealed_by_todays_key(text, 7)
    with pytest.raises(encryption.DecryptionError, match=r"^No key decrypts the TOTP secret of user 7\. ") as error:
        encryption.decrypt_totp_secret(text, 7)
    assert text not in str(error.value)
