"""Every regular expression of the project takes time that grows with the length of its input, and not faster.

Clients choose the length of what many patterns read: paths, headers, bodies, files. The sources are searched for each
place that makes a pattern; a pattern that the search cannot evaluate fails a test.
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
from devices.tests.support.server import ROOT

FUNCTIONS = {"compile", "search", "match", "fullmatch", "split", "findall", "finditer", "sub", "subn", "template"}
METHODS = FUNCTIONS - {"compile", "template"}
MAKERS = {"re_path": "search", "Regexp": "match", "RegexValidator": "search", "RegexField": "search"}
SETTINGS = {"CORS_URLS_REGEX": "match", "SECURE_REDIRECT_EXEMPT": "search", "DISALLOWED_USER_AGENTS": "search"}

ENTRY_POINTS = {"cexup.wsgi"}  # to import it sets up a server

LENGTHS = (2_048, 8_192, 16_384, 32_768, 65_536)
MOST = 4  # times the time per character of the shortest text; 32 times is quadratic
NEGLIGIBLE = 0.0002  # seconds for the shortest text: less is not measured exactly


@dataclass(frozen=True)
class Use:
    """A pattern, and the method it is run with; `finditer` stands for all that look for more than one match."""

    where: str
    pattern: re.Pattern[str]
    method: str

    def __call__(self, text: str) -> None:
        if self.method in ("match", "fullmatch"):
            getattr(self.pattern, self.method)(text)
        else:
            for _match in self.pattern.finditer(text):
                pass


# --- Find them


def sources() -> Iterator[tuple[str, ast.Module]]:
    """Give each module's name and source."""
    for path in sorted([*ROOT.glob("cexup/**/*.py"), *ROOT.glob("devices/**/*.py")]):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if "tests" not in parts:
            yield ".".join(parts).removesuffix(".__init__"), ast.parse(path.read_text(), str(path))


def made(module: str, tree: ast.AST) -> Iterator[Use]:
    """Give each pattern that a call in this module makes.

    Raises:
        LookupError: a pattern consists of what only exists while the program runs.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "re":
            raise LookupError(f"{module}:{node.lineno}: write `import re`, so that its calls are found")
        if isinstance(node, ast.Call) and (method := _makes(node)):
            yield Use(f"{module}:{node.lineno}", evaluated(module, node), method)


def _makes(call: ast.Call) -> str | None:
    """Return the method that the pattern of this call is run with, `compile` if that is to be found."""
    function = call.func
    if isinstance(function, ast.Attribute):
        if isinstance(function.value, ast.Name) and function.value.id == "re":
            return function.attr if function.attr in FUNCTIONS else None
        return MAKERS.get(function.attr)
    return MAKERS.get(function.id) if isinstance(function, ast.Name) else None


def evaluated(module: str, call: ast.Call) -> re.Pattern[str]:
    keywords = {keyword.arg: keyword.value for keyword in call.keywords}
    written = call.args[0] if call.args else keywords.get("pattern", keywords.get("regex"))
    flags = keywords.get("flags", call.args[1] if _makes(call) == "compile" and len(call.args) > 1 else None)
    try:
        return re.compile(_value(module, written), _value(module, flags) if flags else 0)
    except Exception as error:
        raise LookupError(f"{module}:{call.lineno}: this pattern cannot be evaluated: {error}") from error


def _value(module: str, node: Any) -> Any:
    """Evaluate an expression of our own source, where only the names of its module are known."""
    return eval(compile(ast.Expression(node), module, "eval"), vars(importlib.import_module(module)))  # noqa: S307


def methods_of(name: str, trees: Iterable[ast.AST]) -> set[str]:
    """Return the methods that the sources name with a pattern of this name; all are searches if it has no name."""
    return {
        node.attr
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in METHODS and _last_name(node.value) == name
    }


def _last_name(node: ast.AST) -> str | None:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else None


def names(tree: ast.Module) -> dict[int, str]:
    """Return the names that compiled patterns are assigned to, by line."""
    return {
        node.value.lineno: target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


@cache
def uses() -> list[Use]:
    read = list(sources())
    trees = [tree for _module, tree in read]
    found = []
    for module, tree in read:
        named = names(tree)
        for use in made(module, tree):
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
    """Return what /api/schema gives clients to run."""
    found = {name: value for name, value in vars(patterns).items() if name.isupper() and isinstance(value, str)}
    whole = {name: value for name, value in found.items() if value.startswith("^")}  # the others are parts of these
    whole |= {"mac_sent": patterns.mac_sent(), "mac_kept": patterns.mac_kept()}
    return [Use(f"patterns.{name}", re.compile(text), "search") for name, text in whole.items()]


def compiled(value: object, seen: set[int]) -> Iterator[re.Pattern[str]]:
    """Give the patterns that are in this value, or in what it contains."""
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


# --- What to run them on


def units(pattern: str) -> list[str]:
    """Return what a text may consist of on which this pattern is slow: its characters and words, and pairs of them."""
    characters = set(re.findall(r"[^\w\s()[\]{}|?*+^$\\]", pattern)) | {"a", "E", "1", ".", "-", " ", "\n", "@", "é"}
    pairs = {first + second for first in characters for second in ("a", "1", " ", ":")}
    of_words = {word + more for word in words(pattern) for more in ("", "a", "a:", "1 ", ":")}
    return sorted(characters | pairs | of_words)


def words(pattern: str) -> list[str]:
    """Return the parts of a pattern that stand for themselves."""
    parts = re.split(r"[()[\]{}|?*+^$\\.]+", pattern)
    return sorted({part for part in parts if len(part) > 1})[:12]


def texts(pattern: str) -> Iterator[tuple[str, str]]:
    """Give what a text begins with and then repeats."""
    for unit in units(pattern):
        for beginning in ["", *words(pattern)] if len(unit) == 1 else [""]:
            yield beginning, unit


def seconds(run: Callable[[str], None], text: str) -> float:
    """Return the time of this thread alone: what else the machine does is not counted."""
    began = time.thread_time()
    run(text)
    return time.thread_time() - began


def slow(use: Use) -> str | None:
    """Return what a text consists of on which the work grows faster than the text, None if there is none.

    The texts end with what few patterns match. The length grows in steps, so that a quadratic pattern is found soon.
    """
    in_bytes = isinstance(use.pattern.pattern, bytes)
    for beginning, unit in texts(use.pattern.pattern.decode() if in_bytes else use.pattern.pattern):
        base = 0.0
        for length in LENGTHS:
            text = beginning + unit * (length // len(unit)) + "\x00"
            text = text.encode() if in_bytes else text
            base = base or max(NEGLIGIBLE, min(seconds(use, text) for _ in range(3)))
            allowed = MOST * base * length / LENGTHS[0]
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
        "cexup.settings",
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
        list(made("cexup.logs", ast.parse(code)))


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
