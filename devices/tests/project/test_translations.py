from django.utils import translation

from devices.locale import messages


def test_every_string_has_an_indonesian_translation() -> None:
    translated = {message.id for message in messages.translations() if messages.is_translated(message)}
    assert {message.id for message in messages.collect() if message.id} - translated == set()


def test_every_translation_belongs_to_a_string() -> None:
    marked = {message.id for message in messages.collect()}
    assert {message.id for message in messages.translations()} - marked == set()


def test_placeholders_of_a_translation_are_those_of_its_string() -> None:
    for message in messages.translations():
        assert not list(message.check()), message.id


def test_compiled_translations_are_those_of_the_source() -> None:
    assert messages.MO.read_bytes() == messages.compiled(messages.translations())


def test_users_see_our_translation_of_a_string_that_another_app_translates_too() -> None:
    with translation.override("id"):
        for message in messages.translations():
            if not message.id:  # the header
                continue
            if isinstance(message.id, str):
                shown: tuple[str, ...] | str = translation.gettext(message.id)
            else:
                singular, plural = message.id
                shown = tuple(translation.ngettext(singular, plural, number) for number in (1, 2))
            assert shown == message.string


def test_each_overridden_string_is_one_that_a_library_translates() -> None:
    overridden = {text if isinstance(text, str) else text[0] for text in messages.OVERRIDDEN}
    assert overridden - messages.translated_by_libraries() == set()
