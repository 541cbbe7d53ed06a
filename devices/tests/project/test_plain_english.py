"""The check of plain English finds words in prose only."""

from pathlib import Path

import pytest

from devices.tests.support.plain_english import check, main


def found(path: str, text: str) -> list[tuple[int, str]]:
    return sorted((line, words) for line, words, _ in check(path, text))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The client is told the id.", "told"),
        ("The server answered.", "answered"),
        ("Keys of other hospitals are beyond its reach.", "its reach"),
        ("It takes the device out of the registry.", "takes the device out of the registry"),
        ("Devices that were taken out of the registry.", "taken out of the registry"),
        ("This is no cursor.", "is no"),
        ("Who leaves is made inactive.", "Who"),
        ("Set up the second\n  factor.", "second factor"),
        ("The color is that of an e-mail.", "e-mail"),
    ],
)
def test_words_are_found(text: str, words: str) -> None:
    assert found("a.md", text) == [(1, words)]


@pytest.mark.parametrize(
    "text",
    [
        "There is no cache.",
        "It is no longer valid.",
        "Who signed in?",
        "The server cannot reach the database.",
        "A lock held by another transaction.",
        "Set `device_holder`, open [the page](/admin/two-factor/holder) of https://example.org/person/1.",
        "They are told. <!-- plain-english: allow -->",
    ],
)
def test_standard_english_passes(text: str) -> None:
    assert found("a.md", text) == []


def test_comments_strings_and_test_names_are_checked_in_python() -> None:
    text = '''"""Tell
them."""
fields = {"holder": holder}  # whatever
def test_it_tells_the_rest(person):
    raise Error(_("person"), f"{told} was "
                "told it")  # taken
    # out
'''
    assert found("a.py", text) == [
        (1, "Tell"),
        (3, "whatever"),
        (4, "tells"),
        (5, "person"),
        (6, "taken out"),
        (6, "told"),
    ]


def test_messages_are_checked_in_templates() -> None:
    text = (
        '<b class="person">{% translate "People" %}{% blocktranslate %}told\n{% plural %}held by{% endblocktranslate %}'
    )
    assert found("a.html", text) == [(1, "People"), (1, "told"), (2, "held by")]


def test_comments_are_checked_in_other_files() -> None:
    assert found("nginx.conf", "person on;  # anew\n") == [(1, "anew")]


def test_findings_fail_the_check(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("The client is told.\n")
    assert main([str(tmp_path / "a.md")]) == 1
    assert "a.md:1: told → return" in capsys.readouterr().out
    (tmp_path / "a.md").write_text("The server returns the id.\n")
    assert main([str(tmp_path / "a.md")]) == 0
