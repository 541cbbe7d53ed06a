"""TOTP secrets are encrypted in the database with the SECRET_KEY, for one user each."""

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
from devices.tests.support.admin.two_factor import (
    CHECK,
    SET_UP,
    code_shown,
    next_code_of,
    rotate_secret_key,
    set_up,
    shown_codes,
    sign_in_again,
)
from devices.tests.support.admin.users import PASSWORD

LIST = "/admin/devices/device/"
SECRET = bytes(range(20))


@pytest.fixture
def user(ratna: Client) -> User:
    return User.objects.get(first_name="Ibu Ratna")


def stored() -> str:
    """Return the content of the table, as in a backup."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM otp_totp_totpdevice")
        return repr(cursor.fetchall())


def key_of(user: User) -> str:
    return str(TOTPDevice.objects.get(user=user).key)


def is_encrypted_with_current_key(text: str, user_id: int) -> bool:
    with override_settings(SECRET_KEY_FALLBACKS=[]):
        try:
            return text.startswith(encryption.PREFIX) and bool(encryption.decrypt_totp_secret(text, user_id))
        except encryption.DecryptionError:
            return False


def store_plain(user: User) -> str:
    """Store the secret unencrypted, as in older versions. Return it."""
    plain = AuthenticatorApp.objects.get(user=user).bin_key.hex()
    TOTPDevice.objects.filter(user=user).update(key=plain)
    return plain


# --- In the database


def test_database_contains_the_secret_in_no_form(ratna: Client, user: User) -> None:
    for step in (lambda: ratna.get(SET_UP), lambda: set_up(ratna, user)):
        step()
        app = AuthenticatorApp.objects.get(user=user)
        base32 = two_factor.format_secret(app)
        for form in (app.bin_key.hex(), base32, base32.replace(" ", "")):
            assert len(form) >= 32
            assert form.lower() not in stored().lower()
        assert is_encrypted_with_current_key(key_of(user), user.pk)
        assert len(key_of(user)) == 67


def test_secret_copied_to_another_user_is_invalid(ratna: Client, user: User, operator: Client) -> None:
    operator_user = User.objects.get(username="operator")
    set_up(operator, operator_user)
    set_up(ratna, user)
    codes = next_code_of(user), next_code_of(operator_user)
    TOTPDevice.objects.filter(user=operator_user).update(key=key_of(user))
    for code in codes:
        AuthenticatorApp.objects.update(throttling_failure_count=0)
        assert "This code is wrong" in sign_in_again(operator_user).post(CHECK, {"code": code}).content.decode()
    assert sign_in_again(user).post(CHECK, {"code": next_code_of(user)}).status_code == 302


def test_model_of_django_otp_cannot_read_the_secret(ratna: Client, user: User) -> None:
    set_up(ratna, user)
    code = next_code_of(user)
    with pytest.raises(binascii.Error):
        TOTPDevice.objects.get(user=user).verify_token(code)
    assert AuthenticatorApp.objects.get(user=user).verify_token(code)


def test_plain_secret_is_valid_and_encrypted_when_used(ratna: Client, user: User) -> None:
    set_up(ratna, user)
    plain = store_plain(user)
    assert sign_in_again(user).post(CHECK, {"code": next_code_of(user)}).status_code == 302
    assert plain not in stored()
    assert AuthenticatorApp.objects.get(user=user).bin_key.hex() == plain


def test_session_verified_with_the_former_model_stays_valid(ratna: Client, user: User) -> None:
    set_up(ratna, user)
    session = ratna.session
    model, number = session[DEVICE_ID_SESSION_KEY].split("/")
    assert model == "devices.authenticatorapp"
    session[DEVICE_ID_SESSION_KEY] = f"otp_totp.totpdevice/{number}"
    session.save()
    assert ratna.get(LIST).status_code == 200
    assert "is on." in ratna.post(SET_UP, {"code": "000000"}).content.decode()
    session[DEVICE_ID_SESSION_KEY] = "otp_totp.totpdevice/0"
    session.save()
    assert ratna.get(LIST).headers["Location"].startswith(CHECK)


# --- Rotation of the SECRET_KEY


def test_secret_encrypted_with_a_fallback_key_is_valid_and_reencrypted(
    ratna: Client, user: User, settings: Any
) -> None:
    set_up(ratna, user)
    rotate_secret_key(settings, keep=True)
    assert ratna.get(LIST).status_code == 200
    assert not is_encrypted_with_current_key(key_of(user), user.pk)
    assert sign_in_again(user).post(CHECK, {"code": next_code_of(user)}).status_code == 302
    settings.SECRET_KEY_FALLBACKS = []
    assert sign_in_again(user).post(CHECK, {"code": next_code_of(user)}).status_code == 302


def test_saving_reencrypts_the_secret(ratna: Client, user: User, settings: Any) -> None:
    set_up(ratna, user)
    rotate_secret_key(settings, keep=True)
    AuthenticatorApp.objects.get(user=user).save(update_fields=["key"])
    assert is_encrypted_with_current_key(key_of(user), user.pk)


def test_without_the_old_key_a_code_is_wrong_and_the_log_has_instructions(
    ratna: Client, user: User, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    set_up(ratna, user)
    before, app = key_of(user), AuthenticatorApp.objects.get(user=user)
    secrets = [before, app.bin_key.hex(), two_factor.format_secret(app), settings.SECRET_KEY]
    code = next_code_of(user)
    rotate_secret_key(settings, keep=False)
    browser = sign_in_again(user)
    response = browser.post(CHECK, {"code": code})
    assert (response.status_code, "This code is wrong" in response.content.decode()) == (200, True)
    assert browser.get(LIST).status_code == 302
    [message] = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert re.search(rf"user {user.pk}\. .*SECRET_KEY_FALLBACKS", message)
    assert not [secret for secret in secrets if secret in caplog.text]
    assert TOTPDevice.objects.get(user=user).throttling_failure_count == 1
    assert key_of(user) == before


def test_set_up_starts_again_without_the_old_key(ratna: Client, user: User, settings: Any) -> None:
    ratna.get(SET_UP)
    rotate_secret_key(settings, keep=False)
    browser = sign_in_again(user)
    page = browser.get(SET_UP)
    app = AuthenticatorApp.objects.latest("pk")
    assert two_factor.format_secret(app) in page.content.decode()
    form = {"code": code_shown(app), "password": PASSWORD}
    assert len(shown_codes(browser.post(SET_UP, form).content.decode())) == 10
    assert AuthenticatorApp.objects.get(user=user) == app


@pytest.mark.parametrize("keep", [True, False])
def test_recovery_codes_are_valid_as_long_as_the_old_key_is_a_fallback(
    ratna: Client, user: User, settings: Any, keep: bool
) -> None:
    first, second, *_rest = set_up(ratna, user)
    rotate_secret_key(settings, keep=keep)
    for code in (first, second) if keep else ():
        assert sign_in_again(user).post(CHECK, {"code": code}).status_code == 302
    assert "This code is wrong" in sign_in_again(user).post(CHECK, {"code": first}).content.decode()
    assert two_factor.recovery_codes_left(user) == (8 if keep else 10)
    StaticDevice.objects.update(throttling_failure_count=0)
    [new, *_rest] = two_factor.new_recovery_codes(user)
    assert sign_in_again(user).post(CHECK, {"code": new}).status_code == 302


# --- Encryption


def test_each_encryption_of_a_secret_is_different() -> None:
    ciphertexts = {encryption.encrypt_totp_secret(SECRET, 7) for _ in range(100)}
    assert len(ciphertexts) == 100
    assert {encryption.decrypt_totp_secret(text, 7) for text in ciphertexts} == {SECRET}


def test_ciphertext_with_a_changed_character_is_rejected() -> None:
    text = encryption.encrypt_totp_secret(SECRET, 7)
    for position in range(len(text)):
        other = "A" if text[position] != "A" else "B"
        with pytest.raises(encryption.DecryptionError):
            encryption.decrypt_totp_secret(text[:position] + other + text[position + 1 :], 7)


@pytest.mark.parametrize("text", ["v1.", "v1.AAAA", "v1." + "A" * 64, "v1.é", "v1.\0", "no hex", "v2." + "A" * 64])
def test_invalid_ciphertext_is_rejected_without_showing_it(text: str) -> None:
    assert not is_encrypted_with_current_key(text, 7)
    with pytest.raises(encryption.DecryptionError, match=r"user 7\. ") as error:
        encryption.decrypt_totp_secret(text, 7)
    assert text not in str(error.value)


def test_secrets_and_recovery_codes_of_earlier_versions_stay_valid(settings: Any) -> None:
    settings.SECRET_KEY = "k" * 60
    text = "v1.hVPfLRV-wBfIp3Jp266ZaZOlorwFal7ZIVHnWo08r7J-zbJ9V9nvPJ_oKrqD4rq8"
    assert encryption.decrypt_totp_secret(text, 7) == SECRET
    assert two_factor._digest("abcd2345") == "ar3vojgutaqa4x77"
