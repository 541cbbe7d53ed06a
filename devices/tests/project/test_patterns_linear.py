"""Every regular expression of the project takes time that grows at most linearly with the length of its input.

Clients choose the length of many inputs: paths, headers, bodies, files. These tests search the sources for every place
that creates a pattern. If a pattern cannot be evaluated, a test fails.
"""

import ast
import importlib
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest

from devices.api.schema import patterns
from devices.tests.support.services.server import ROOT

FUNCTIONS = {"compile", "search", "match", "fullmatch", "split", "findall", "finditer", "sub", "subn", "template"}
METHODS = FUNCTIONS - {"compile", "template"}
CREATORS = {"re_path": "search", "Regexp": "match", "RegexValidator": "search", "RegexField": "search"}
SETTINGS = {"CORS_URLS_REGEX": "match", "SECURE_REDIRECT_EXEMPT": "search", "DISALLOWED_USER_AGENTS": "search"}

ENTRY_POINTS = {"cexup.wsgi"}  # importing it sets up a server

LENGTHS = (2_048, 16_384, 32_768)
MAX_GROWTH = 4  # allowed factor of the time per character, compared with the shortest text; quadratic time has 16
NEGLIGIBLE = 0.0002  # seconds for the shortest text; shorter times cannot be measured exactly


@dataclass(frozen=True)
class Use:
    """A pattern, and the method that the code calls. All methods that search for matches are run as `finditer`."""

    where: str
    pattern: re.Pattern[str]
    method: str

    def __call__(self, text: str) -> None:
        if self.method in ("match", "fullmatch"):
            getattr(self.pattern, self.method)(text)
        else:
            for _match in self.pattern.finditer(text):
                pass


# --- Find the patterns


def sources() -> Iterator[tuple[str, ast.Module]]:
    """Yield the name and the syntax tree of each module."""
    for path in sorted([*ROOT.glob("cexup/**/*.py"), *ROOT.glob("devices/**/*.py")]):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if "tests" not in parts:
            yield ".".join(parts).removesuffix(".__init__"), ast.parse(path.read_text(), str(path))


def created(module: str, tree: ast.AST) -> Iterator[Use]:
    """Yield each pattern that a call in this module creates.

    Raises:
        LookupError: a pattern depends on values that exist only at run time.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "re":
            raise LookupError(f"{module}:{node.lineno}: use `import re`, so that this test finds the calls")
        if isinstance(node, ast.Call) and (method := _method(node)):
            yield Use(f"{module}:{node.lineno}", evaluated(module, node), method)


def _method(call: ast.Call) -> str | None:
    """Return the method with which the call runs its pattern; `compile` if other code runs it; None for other calls."""
    function = call.func
    if isinstance(function, ast.Attribute):
        if isinstance(function.value, ast.Name) and function.value.id == "re":
            return function.attr if function.attr in FUNCTIONS else None
        return CREATORS.get(function.attr)
    return CREATORS.get(function.id) if isinstance(function, ast.Name) else None


def evaluated(module: str, call: ast.Call) -> re.Pattern[str]:
    """Return the pattern of a call, compiled with its flags."""
    keywords = {keyword.arg: keyword.value for keyword in call.keywords}
    written = call.args[0] if call.args else keywords.get("pattern", keywords.get("regex"))
    flags = keywords.get("flags", call.args[1] if _method(call) == "compile" and len(call.args) > 1 else None)
    try:
        return re.compile(_value(module, written), _value(module, flags) if flags else 0)
    except Exception as error:
        raise LookupError(f"{module}:{call.lineno}: this pattern cannot be evaluated: {error}") from error


def _value(module: str, node: Any) -> Any:
    """Evaluate an expression of the project's source with the names of its module."""
    return eval(compile(ast.Expression(node), module, "eval"), vars(importlib.import_module(module)))  # noqa: S307


def methods_of(name: str, trees: Iterable[ast.AST]) -> set[str]:
    """Return the methods that the sources call on a pattern with this name."""
    return {
        node.attr
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in METHODS and _last_name(node.value) == name
    }


def _last_name(node: ast.AST) -> str | None:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else None


def names(tree: ast.Module) -> dict[int, str]:
    """Return the names to which compiled patterns are assigned, by line."""
    return {
        node.value.lineno: target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


@cache
def uses() -> list[Use]:
    """Return all patterns with each of their methods. A compiled pattern without a name is searched for."""
    modules = list(sources())
    trees = [tree for _module, tree in modules]
    found = []
    for module, tree in modules:
        named = names(tree)
        for use in created(module, tree):
            methods = {use.method}
            if use.method == "compile":
                name = named.get(int(use.where.rpartition(":")[2]))
                methods = (name and methods_of(name, trees)) or {"search"}
            found += [Use(use.where, use.pattern, method) for method in sorted(methods)]
    return found + of_the_settings() + of_the_schema()


def of_the_settings() -> list[Use]:
    from django.conf import settings

    found = []
    for name, method in SETTINGS.items():
        value = getattr(settings, name)
        texts = [value] if isinstance(value, str) else value
        found += [Use(f"settings.{name}", re.compile(text), method) for text in texts]
    return found


def of_the_schema() -> list[Use]:
    """Return the patterns of the OpenAPI document, which clients run."""
    found = {name: value for name, value in vars(patterns).items() if name.isupper() and isinstance(value, str)}
    whole = {name: value for name, value in found.items() if value.startswith("^")}  # the others are parts of them
    return [Use(f"patterns.{name}", re.compile(text), "search") for name, text in whole.items()]


def compiled(value: object, seen: set[int]) -> Iterator[re.Pattern[str]]:
    """Yield the compiled patterns in this value and in its contents."""
    if isinstance(value, re.Pattern):
        yield value
    elif id(value) not in seen:
        seen.add(id(value))
        if isinstance(value, dict):
            contents: Iterable[object] = [*value, *value.values()]
        elif isinstance(value, list | tuple | set | frozenset):
            contents = value
        elif isinstance(value, type) and value.__module__.startswith(("cexup", "devices")):
            contents = vars(value).values()
        else:
            return
        for content in contents:
            yield from compiled(content, seen)


# --- Create texts


def units(pattern: str) -> list[str]:
    """Return the units of texts that may be slow: the characters and words of the pattern, and pairs of them."""
    characters = set(re.findall(r"[^\w\s()[\]{}|?*+^$\\]", pattern)) | {"a", "E", "1", ".", "-", " ", "\n", "@", "é"}
    pairs = {first + second for first in characters for second in ("a", "1", " ", ":")}
    of_words = {word + more for word in words(pattern) for more in ("", "a", "a:", "1 ", ":")}
    return sorted(characters | pairs | of_words)


def words(pattern: str) -> list[str]:
    """Return the literal parts of a pattern, at most 12."""
    parts = re.split(r"[()[\]{}|?*+^$\\.]+", pattern)
    return sorted({part for part in parts if len(part) > 1})[:12]


def texts(pattern: str) -> Iterator[tuple[str, str]]:
    """Yield the beginning of each text, and the unit that it then repeats."""
    for unit in units(pattern):
        for beginning in ["", *words(pattern)] if len(unit) == 1 else [""]:
            yield beginning, unit


def seconds(run: Callable[[str], None], text: str) -> float:
    """Return the CPU time of this thread, so that other load on the machine does not count."""
    began = time.thread_time()
    run(text)
    return time.thread_time() - began


def slow(use: Use) -> str | None:
    """Return a description of a text for which the time grows faster than the length; None if there is none.

    The texts end with a character that few patterns match. The length grows in steps, so a quadratic pattern is found
    early.
    """
    pattern: Any = use.pattern.pattern
    in_bytes = isinstance(pattern, bytes)
    for beginning, unit in texts(pattern.decode() if in_bytes else pattern):
        base = 0.0
        for length in LENGTHS:
            characters = beginning + unit * (length // len(unit)) + "\x00"
            text: Any = characters.encode() if in_bytes else characters
            base = base or max(NEGLIGIBLE, min(seconds(use, text) for _ in range(3)))
            allowed = MAX_GROWTH * base * length / LENGTHS[0]
            if all(seconds(use, text) > allowed for _ in range(3)):
                return f"{beginning!r}, then {unit!r} repeated"
    return None


# --- The tests


def test_search_finds_patterns_in_all_kinds_of_places() -> None:
    places = {use.where.partition(":")[0] for use in uses()}
    assert {
        "cexup.logs",
        "cexup.middleware",
        "devices.values.mac",
        "devices.crypto.keys",
        "devices.imports.files.header",
    } <= places
    assert {
        "cexup.environment",
        "cexup.urls",
        "devices.imports.files.cells",
        "devices.api.conditional",
        "patterns.TAGS",
    } <= places
    assert len(uses()) > 40


def test_search_finds_every_compiled_pattern() -> None:
    found = {(use.pattern.pattern, use.pattern.flags) for use in uses()}
    seen: set[int] = set()
    for module, _tree in sources():
        if module not in ENTRY_POINTS:
            for name, value in vars(importlib.import_module(module)).items():
                for pattern in compiled(value, seen):
                    assert (pattern.pattern, pattern.flags) in found, f"{module}.{name}"


@pytest.mark.parametrize(
    "code",
    ["def f(word):\n    return re.search(word + 'x', word)", "from re import sub", "re.compile(pattern=UNKNOWN)"],
)
def test_pattern_that_cannot_be_evaluated_raises_an_error(code: str) -> None:
    with pytest.raises(LookupError):
        list(created("cexup.logs", ast.parse(code)))


@pytest.mark.parametrize(
    ("pattern", "method"),
    [
        (r"[\w.+-]+(?:@|%40)[\w-]+(?:\.[\w-]+)+", "sub"),
        (r"(://[^\s:/@]+:)[^\s@]+(?=@)", "sub"),
        (r"[0-9A-Fa-f:.-]*[0-9A-Fa-f][0-9A-Fa-f:.-]*", "fullmatch"),
        (r"\s+$", "search"),
        (r"<p>.*</p>", "search"),
    ],
)
def test_measurement_finds_quadratic_patterns(pattern: str, method: str) -> None:
    assert slow(Use("here", re.compile(pattern), method))


@pytest.mark.parametrize("use", uses(), ids=lambda use: f"{use.where}-{use.method}")
def test_time_of_every_pattern_grows_linearly(use: Use) -> None:
    assert slow(use) is None
