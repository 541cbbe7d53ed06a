"""Report words that plain technical English avoids: `python -m devices.tests.support.plain_english [--count] [FILE …]`.

It reads Markdown; strings, comments and names of tests in Python; messages of templates; and comments of other files.
It skips a line with the comment `plain-english: allow`.
"""

import io
import re
import subprocess
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
READ = re.compile(
    r"\.(py|md|html|js|css|sql|conf|locations|service|socket|timer|toml|in|yml|example)$|(Makefile|/run)$"
)
SKIPPED = re.compile(r"\.id\.md$|/migrations/|plain_english\.py$")
WORDS = {  # regular expressions, in which a space is any white space, and replacements
    r"tells?|told|telling|retells?": "return, show, report, include",
    r"answer(s|ed|ing)?": "response; return, respond",
    r"asks|asked|asking|ask (again|the (api|registry|database|server))": "request, send, query; retry",
    r"whoever|whomever|whatever|(?-i:Who|Whose|What|Where)(?= [a-z])(?![^.?!|]*\?)": "(name the subject; if)",
    r"(some|no|any|every)body": "another user, other clients, no client",
    r"anew|shall|besides?": "again; must, will; also, next to, compared with",
    r"as ever|all the same|meanwhile": "still, in the meantime, (delete)",
    r"on record|held by|(?-i:promises?)": "recorded (in the audit log); verified by; guarantee",
    r"(within|beyond|outside|in|out of|its|their|the|an?|of|own|same|whose|[a-z]+'s) reach": "in scope, out of scope",
    r"(keys?|users?|persons?|operators?|admins?) reach(es)?": "scope",
    r"(take[sn]?|took|taking)( \w+){0,3} out( of the registry)?": "retire, retired",
    r"(take[sn]?|took|taking) over (\w+ )?(\w+ )?keys?|keys? (is|are|was) taken over": "import an existing key",
    r"open(s|ed)? nothing": "is invalid, does not grant access",
    r"pass(es|ed)? over|left out": "ignored; omitted",
    r"(in|from) the field(?=[.,:;)]|$)": "existing clients, deployed clients",
    r"(un)?seal(s|ed|ing)?|veil(s|ed)?": "encrypt, decrypt; hashed",
    r"second factors?": "two-factor authentication",
    r"(is|are|was|were|be) no(?= )(?! (longer|more|less|other|different))": "is not a valid …, is not a …",
    r"stands?( in)?|stood": "is, appears in",
    r"let(s|ting)? go|goes on|go on|went on": "release; continue",
    r"of (its|their|our|your|his) own": "own, separate",
    r"what (is|was) wrong|(everything|all) that is wrong|not understood": "errors; invalid, malformed",
    r"(?<!/)persons?(?!/)|people|look(s|ed)? after": "user, users; manage",
    r"(?-i:[Hh]olders?)|makers?|fleets?": "hospital; manufacturer; bulk import",
    r"heals?|healed|struck|overtaken|believed": "recovers; injected; superseded; trusted",
    r"rehears(e|es|ed|al)|instants?": "dry run; timestamp",
    r"spoil(s|t|ed)?": "damaged, converted by Excel",
    r"(mis)?spelt|misspellings?|e-mails?|cancell(ed|ing)|catalogues?|grey|licence|towards": "(American spelling)",
    r"(col|behavi|fav|hon|neighb)our\w*|(un)?(recogn|normal|serial|author|optim)is(e|ed|es|ing)": "(-or, -ize)",
}
ALLOWED = re.compile(r"\b(there\s+(is|are|was|were|be)\s+no|locks?\s+held\s+by|stands?\s+for)\b", re.IGNORECASE)
PATTERNS = {
    re.compile(rf"(?<![\w/,;-])(?:{key.replace(' ', chr(92) + 's+')})(?![\w/])", re.IGNORECASE | re.MULTILINE): instead
    for key, instead in WORDS.items()
}
MESSAGES = re.compile(r"{% trans\w* (\"[^\"]*\"|'[^']*')|{% blocktrans[^%]*%}(.*?){% end|{#(.*?)#}", re.DOTALL)
COMMENTS = re.compile(r"(?:^|\s)(?:#+|--|//|Description=)(.*)|/\*([^\0]*?)\*/", re.MULTILINE)
CODE = re.compile(r"`[^`\n]+`|https?://\S+|\]\([^)]*\)|\{[^{}\"'\n]*\}|%\(\w+\)[sd]|\\[nrt]")
QUOTES = re.compile(r"^(#+|[A-Za-z]{,2}(\"\"\"|'''|\"|'))|(\"\"\"|'''|\"|')$")


def blank(match: re.Match[str]) -> str:
    """Return the text with a mark for each visible character, so that lines and columns stay."""
    return re.sub(r"\S", "\0", match[0])


def python_spans(text: str) -> Iterator[tuple[int, int, str]]:
    """Return the comments, strings and names of tests. A string of one word is data, unless it is translated."""
    starts, before = [0, *(match.end() for match in re.finditer("\n", text))], ""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        words = ""
        kind = tokenize.tok_name[token.type]  # FSTRING_MIDDLE comes with Python 3.12
        if kind in ("COMMENT", "STRING", "FSTRING_MIDDLE"):
            words = QUOTES.sub(lambda match: " " * len(match[0]), token.string)
            words = words if before == "_(" or re.search(r"\s", QUOTES.sub("", token.string)) else ""
        elif before.endswith("def") and token.string.startswith("test_"):
            words = token.string.replace("_", " ")
        if words:
            yield starts[token.start[0] - 1] + token.start[1], starts[token.end[0] - 1] + token.end[1], words
        before = before[-1:] + token.string


def prose(path: str, text: str) -> str:
    """Return the text with all but its English blanked."""
    if not path.endswith(".md"):
        found = (MESSAGES if path.endswith(".html") else COMMENTS).finditer(text)
        spans = ((*match.span(match.lastindex or 0), match[match.lastindex or 0]) for match in found)
        parts, at = "", 0
        for start, end, words in python_spans(text) if path.endswith(".py") else spans:
            parts, at = parts + re.sub(r"\S", "\0", text[at:start]) + words, end
        text = parts
    return CODE.sub(blank, ALLOWED.sub(blank, text))


def check(path: str, text: str) -> Iterator[tuple[int, str, str]]:
    """Return the line, the words and the replacement of each finding."""
    words = prose(path, text)
    for pattern, instead in PATTERNS.items():
        for match in pattern.finditer(words):
            line = words.count("\n", 0, match.start()) + 1
            if "plain-english: allow" not in text.split("\n")[line - 1]:
                yield line, " ".join(match[0].split()), instead


def main(arguments: list[str]) -> int:
    if not (files := [argument for argument in arguments if argument != "--count"]):
        command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
        files = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    files = [name for name in files if READ.search(name) and not SKIPPED.search(name) and (ROOT / name).is_file()]
    found = [(name, *each) for name in sorted(files) for each in sorted(check(name, (ROOT / name).read_text()))]
    lines = [f"{name}:{line}: {words} → {instead}" for name, line, words, instead in found]
    if "--count" in arguments:
        lines = [f"{count:5} {name}" for name, count in Counter(name for name, *_ in found).most_common()]
    print(*lines, sep="\n")  # noqa: T201
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
