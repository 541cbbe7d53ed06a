"""New passwords must be long, and must not be common or consist of well-known words."""

import gzip
import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.contrib.auth.password_validation import CommonPasswordValidator, validate_password
from django.core.exceptions import ValidationError
from django.test import Client
from django.utils import translation

from devices.accounts import password_rules, users
from devices.models import Hospital
from devices.tests.support.admin.users import add_user, set_password, shown_link
from devices.tests.support.services.server import ROOT

pytestmark = pytest.mark.django_db

REPORTED = ["Cexup2026", "registry2026", "RSBeta2026", "Password2026!", "Summer2026!"]
PADDED = [
    *("Cexup2026!!!!", "registry2026!!", "RSHarapan2026!", "Password2026!!", "Summer2026!!!!"),
    *("C3xup-2026-!!!", "P@ssw0rd2026!!", "R3g1stry#2026$", "2026!Registry!", "Cexup.Registry.1", "RumahSakit2026!"),
    *(
        "RS Harapan 2026!",
        "rs-harapan-2026",
        "H4r4p4n2026!@#$%",
        "registrycexup2026",
        "Cexup1234567890",
        "CEXUP!@#$%^&*()",
    ),
    *("Desember2026!!", "Rahasia2026!!!", "Liverpool2026!", "liverp00l!!!!!", "hospitalhospital", "aaaaaaaaaaaaaaaa"),
    *("abcabcabcabcabc", "Ｃｅｘｕｐ２０２６！！", "admin admin admin", "123456789012abc"),
]
STRONG = [
    *("correct horse battery", "pagi-cerah-7", "sore-teduh-8", "kucing tidur di atap", "83619-27465-018a"),
    *("8#3!9$2&7@x4", "nasi goreng telur dadar", "Cexup dan secangkir kopi pahit"),
]


def codes(password: str, user: User | None = None) -> list[str]:
    try:
        validate_password(password, user)
    except ValidationError as error:
        return [str(found.code) for found in error.error_list]
    return []


@pytest.mark.parametrize("password", [*REPORTED, *PADDED])
def test_password_of_known_words_is_refused(rs_a: Hospital, rs_b: Hospital, password: str) -> None:
    assert {"password_of_known_words", "password_too_common"} & set(codes(password))


@pytest.mark.parametrize("password", STRONG)
def test_strong_password_is_accepted(rs_a: Hospital, password: str) -> None:
    assert codes(password) == []


@pytest.mark.parametrize(("password", "is_short"), [("k7$Qz!pV2x#", True), ("k7$Qz!pV2x#m", False)])
def test_password_has_at_least_twelve_characters(password: str, is_short: bool) -> None:
    assert codes(password) == (["password_too_short"] if is_short else [])


def test_generated_passwords_are_accepted() -> None:
    rejected = [word for word in (secrets.token_urlsafe(12) for _ in range(300)) if codes(word)]
    assert len(rejected) <= 3  # quickstart does not validate its passwords


def test_common_passwords_are_refused_with_padding() -> None:
    common = sorted(CommonPasswordValidator().passwords)
    words = [word for word in common if word.isalpha() and word.isascii() and len(word) >= 6][::100]
    assert len(words) > 50
    assert [word for word in words if not codes(f"{word.title()}2026!!!")] == []


def test_names_of_other_hospitals_are_not_disclosed(rs_a: Hospital, rs_b: Hospital, ratna: Client) -> None:
    user = User.objects.get(username="ratna@rs.example")
    rs_a.name = "RS Kenanga"
    rs_a.save()
    other = Hospital.objects.create(name="RS Wijayakusuma")
    assert codes("Kenanga?!-71", user) == ["password_of_known_words"]
    assert codes("wijayakusuma?-71", user) == []
    assert codes("wijayakusuma?-71", User(username="new")) == ["password_of_known_words"]
    assert other.pk


def test_former_name_of_a_hospital_is_refused(rs_a: Hospital) -> None:
    rs_a.former_names.create(name="RS Wijayakusuma", name_folded="rs wijayakusuma")
    assert codes("wijayakusuma?-71") == ["password_of_known_words"]


def test_long_password_is_validated_with_many_hospitals(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths: list[int] = []
    count = password_rules._own_characters
    monkeypatch.setattr(
        password_rules, "_own_characters", lambda text, words: lengths.append(len(text)) or count(text, words)
    )
    codes("Kx7$" * 500_000)
    assert lengths == [password_rules.MAX_CHECKED] * 2


def test_error_is_shown_in_both_languages(operator: Client, rs_a: Hospital) -> None:
    path = shown_link(add_user(operator, rs_a))
    assert (
        "at least 8 different characters that are not part of years"
        in set_password(Client(), path, "Cexup2026!!!!").content.decode()
    )
    with translation.override("id"):
        assert "setidaknya 8 karakter" in password_rules.OwnCharactersValidator().get_help_text()


def test_list_of_breached_passwords_is_used(tmp_path: Path) -> None:
    path = tmp_path / "breached.txt.gz"
    path.write_bytes(gzip.compress(b"kucing tidur di atap\n"))
    script = (
        "import django; django.setup()\n"
        "from django.contrib.auth.password_validation import get_default_password_validators\n"
        "get_default_password_validators()[-1].validate('Kucing tidur di atap')"
    )
    assert "This password is too common." in _stderr(script, BREACHED_PASSWORDS=str(path))
    assert "BREACHED_PASSWORDS" in _stderr(script, BREACHED_PASSWORDS=str(tmp_path / "missing"))


def _stderr(script: str, **variables: str) -> str:
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "cexup.settings", **variables}
    run = [sys.executable, "-c", script]
    return subprocess.run(run, cwd=ROOT, env=environment, capture_output=True, text=True).stderr


@pytest.mark.parametrize("email", ["siti@rs.example", "siti.nurhaliza@rs.example", "Siti_Nurhaliza@rs.example"])
@pytest.mark.parametrize(
    "password",
    ["siti1234", "siti12345678", "Siti-Nurhaliza-1", "sitinurhaliza77", "nurhaliza.siti.12", "S1t1Nurhal1za!9"],
)
def test_password_made_of_the_users_own_name_is_refused(rs_a: Hospital, email: str, password: str) -> None:
    name = "Siti Nurhaliza" if email.startswith("siti@") else "Bu Admin"
    user = users.invite(name, email, [rs_a])
    assert codes(password, user)
    assert codes("pagi-cerah-7", user) == []
