"""Reject passwords that consist of well-known parts: names of the product and of hospitals, years, repetition.

Django rejects its 20,000 most common passwords, but only exact matches. `Password2026!!` is not in that list, so
passwords are also looked up without padding. In addition, a password must have some characters that are not part of
well-known words.
"""

import re
import unicodedata
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from django.contrib.auth.password_validation import CommonPasswordValidator
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from devices.access import scopes
from devices.models import Hospital, HospitalAlias

OWN_CHARACTERS = 8
MAX_CHECKED = 200  # characters: the rest of a longer password cannot make it weaker
SHORTEST_NAME = 3
SHORTEST_CORE = 4  # a random password can have one letter between digits
PRODUCT = "cexup registry registri registrasi device perangkat alat medical medis iot health kesehatan sehat"
PLACES = "hospital rumahsakit rumah sakit rsud rsup rsia klinik clinic puskesmas indonesia jakarta"
ROLES = "administrator admin operator user root guest login nurse perawat dokter doctor pasien patient"
USUAL = "password passwort katasandi sandi rahasia secret welcome selamat letmein qwertyuiop qwerty asdfgh zxcvbn"
SEASONS = "spring summer autumn winter monday tuesday wednesday thursday friday saturday sunday"
MONTHS = "january february march april may june july august september october november december"
INDONESIAN = "januari februari maret mei juni juli agustus oktober desember senin selasa rabu kamis jumat sabtu minggu"
YEARS = " ".join(str(year) for year in range(1940, 2060))
WORDS = frozenset(" ".join([PRODUCT, PLACES, ROLES, USUAL, SEASONS, MONTHS, INDONESIAN, YEARS]).split())

LEET = str.maketrans("@431!|0$57", "aaeiiiosst")
SHIFTED = str.maketrans("!@#$%^&*()", "1234567890")  # the shifted top row of a keyboard is a series too


class PaddedCommonPasswordValidator(CommonPasswordValidator):
    """Reject a common password also with digits or punctuation around it or in place of letters."""

    def validate(self, password: str, user: Any = None) -> None:
        core = _without_padding(_folded(password))
        for text in (password, core, core.translate(LEET)):
            if len(text) >= SHORTEST_CORE:
                super().validate(text, user)


class OwnCharactersValidator:
    """Reject a password with few different characters outside of well-known words, years, series and repetition."""

    def validate(self, password: str, user: Any = None) -> None:
        text = _folded(password)
        words = sorted(WORDS | _names(user) | _own_names(user), key=len, reverse=True)
        if min(_own_characters(text, words), _own_characters(text.translate(LEET), words)) < OWN_CHARACTERS:
            raise ValidationError(self.get_help_text(), code="password_of_known_words")

    def get_help_text(self) -> str:
        return _(
            "Your password must have at least %(count)d different characters that are not part of years, repetitions, "
            "well-known words, your name or the name of a hospital."
        ) % {"count": OWN_CHARACTERS}


def _folded(password: str) -> str:
    return unicodedata.normalize("NFKC", password[:MAX_CHECKED]).casefold()


def _without_padding(text: str) -> str:
    letters = [place for place, character in enumerate(text) if character.isalpha()]
    return text[letters[0] : letters[-1] + 1] if letters else ""


def _own_characters(text: str, words: Iterable[str]) -> int:
    """Count the different characters outside the words that do not repeat or continue the previous character."""
    for word in words:
        text = text.replace(word, " ")
    text = text.translate(SHIFTED)
    return len({after for before, after in pairwise(f" {text}") if abs(ord(after) - ord(before)) > 1} - {" "})


def _names(user: Any) -> set[str]:
    """Return the names of the user's hospitals, their parts, and the names without spaces.

    A rejected password must not disclose names of other hospitals. Only a command sets the password of an unsaved user,
    so the names of all hospitals are used for it.
    """
    hospitals = Hospital.objects.in_scope(scopes.scope_for_user(user)) if user and user.pk else Hospital.objects.all()
    former = HospitalAlias.objects.filter(hospital__in=hospitals).values_list("name_folded", flat=True)
    names = [*hospitals.values_list("name_folded", flat=True), *former]
    words = {word for name in names for word in (*name.split(), "".join(name.split()))}
    return {word for word in words if len(word) >= SHORTEST_NAME}


def _own_names(user: Any) -> set[str]:
    """Return the parts of the user's name and email address, and each of the two without spaces and punctuation.

    Django's validator of similar attributes accepts a name with some other characters around it.
    """
    texts = [getattr(user, name, "") or "" for name in ("first_name", "last_name", "username", "email")]
    parts = [re.findall(r"\w+", _folded(text).partition("@")[0].replace("_", " ")) for text in texts]
    words = {word for found in parts for word in (*found, "".join(found))}
    return {word for word in words if len(word) >= SHORTEST_NAME}
