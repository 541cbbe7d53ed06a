"""Find the hospitals that a user or a client may have meant by a misspelled name. Decision 34 has the reasons."""

import re
from collections.abc import Iterable
from difflib import SequenceMatcher
from heapq import nlargest

from devices.models import Hospital, HospitalAlias
from devices.values.scope import Scope

MAX_NAMES = 10  # of a request: further unknown names get no suggestions
MAX_SUGGESTIONS = 3  # for one name
SIMILARITY = 0.7  # from 0 to 1: difflib's ratio of a misspelled name and the name that was meant
# Names that are compared completely. This takes time that grows with the square of the length, so a quick estimate,
# which is never too low, selects them.
MAX_COMPARED = 10

_NUMBER = re.compile(r"\d+")


def find_similar(names: Iterable[str], scope: Scope) -> dict[str, tuple[str, ...]]:
    """Return the current names of the hospitals in scope that are similar to each of the folded names, best first.

    Former names are compared too. The sandbox is suggested only in its own scope. Only the first MAX_NAMES distinct
    names are compared; the others have no suggestions. A name that a hospital has by now is omitted. One query reads
    the names.
    """
    if scope.hospital_ids is None:
        current, former = Hospital.objects.without_sandbox(), HospitalAlias.objects.filter(hospital__sandbox=False)
    else:
        current = Hospital.objects.in_scope(scope)
        former = HospitalAlias.objects.filter(hospital__in=scope.hospital_ids)
    stored = current.values_list("name_folded", "name").union(
        former.values_list("name_folded", "hospital__name"), all=True
    )
    by_name: dict[str, str] = dict(stored)
    similar: dict[str, tuple[str, ...]] = {}
    for name in dict.fromkeys(names):
        if name not in by_name:
            found = most_similar(name, by_name, SIMILARITY) if len(similar) < MAX_NAMES else []
            similar[name] = tuple(dict.fromkeys(by_name[folded] for folded in found))[:MAX_SUGGESTIONS]
    return similar


def most_similar(name: str, known: Iterable[str], similarity: float) -> list[str]:
    """Return those of the folded names that have at least this similarity, at most MAX_COMPARED, best first.

    Names with different numbers are different hospitals.
    """
    matcher, numbers = SequenceMatcher(autojunk=False), _NUMBER.findall(name)
    matcher.set_seq2(name)  # SequenceMatcher keeps what it computes about the second text
    estimates, ratios = [], []
    for other in known:
        matcher.set_seq1(other)
        if matcher.real_quick_ratio() >= similarity and _NUMBER.findall(other) == numbers:
            estimates.append((matcher.quick_ratio(), other))
    for estimate, other in nlargest(MAX_COMPARED, estimates):
        matcher.set_seq1(other)
        if estimate >= similarity and (ratio := matcher.ratio()) >= similarity:
            ratios.append((ratio, other))
    return [other for _ratio, other in sorted(ratios, reverse=True)]
