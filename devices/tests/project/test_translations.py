from devices.locale import messages


def test_every_string_has_an_indonesian_translation() -> None:
    translated = {message.id for message in messages.translations() if messages.is_translated(message)}
    assert {message.id for message in messages.collect() if message.id} - translated == set()


def test_no_translation_is_left_of_a_string_that_has_gone() -> None:
    marked = {message.id for message in messages.collect()}
    assert {message.id for message in messages.translations()} - marked == set()


def test_a_translation_has_the_placeholders_of_its_string() -> None:
    for message in messages.translations():
        assert not list(message.check()), message.id


def test_the_compiled_translations_are_those_of_the_source() -> None:
    assert messages.MO.read_bytes() == messages.compiled(messages.translations())
