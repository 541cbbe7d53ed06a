"""The guide for client developers as templates: templates/api/guide/<page>.html. Its sources are docs/api/ and others.

Each page of docs/api becomes a page. The links between the pages work in the guide as they do in the repository.
"""

import posixpath
import re
from collections import Counter
from collections.abc import Iterable
from html import escape
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from devices.tests.support.guide import ROOT, slug

DOCS = ROOT / "docs"
TEMPLATES = ROOT / "templates/api/guide"
CONTENTS = ROOT / "templates/api/guide_contents.html"
# The pages in the order of the table of contents. A page of docs/api that is not here comes after them.
FIRST = ("api/README", "first-call", "api/authentication", "api/reference", "errors", "api/pagination")
LAST = ("compatibility",)


def sources() -> dict[str, Path]:
    """Return the source of each page, by the name of the page in its URL."""
    others = sorted(f"api/{path.stem}" for path in (DOCS / "api").glob("*.md"))
    names = dict.fromkeys((*FIRST, *others, *LAST))
    return {"index" if name == "api/README" else name.rpartition("/")[2]: DOCS / f"{name}.md" for name in names}


def url_of(page: str) -> str:
    return "/api/guide" if page == "index" else f"/api/guide/{page}"


def title_of(source: Path) -> str:
    return source.read_text().partition("\n")[0].removeprefix("# ")


def render_contents() -> str:
    """Return the template of the table of contents of the guide."""
    lines = [
        f'<li><a href="{url_of(page)}"{{% if page == "{page}" %}} aria-current="page"{{% endif %}}>'
        f"{escape(title_of(source))}</a></li>"
        for page, source in sources().items()
    ]
    return "\n".join(["{# Written by `make docs`. #}", "<ol>", *lines, "</ol>", ""])


def render(page: str) -> str:
    """Return the template of a page."""
    source = sources()[page]
    markdown = MarkdownIt("commonmark").enable("table")
    markdown.add_render_rule("table_open", lambda *_args: '<div class="table" tabindex="0"><table>\n')
    markdown.add_render_rule("table_close", lambda *_args: "</table></div>\n")
    markdown.add_render_rule("fence", lambda _self, tokens, index, *_args: _code(tokens[index]))
    markdown.add_render_rule("code_block", lambda _self, tokens, index, *_args: _code(tokens[index]))
    tokens = markdown.parse(source.read_text())
    sections = list(_set_anchors(tokens))
    for token in tokens:
        if token.children:
            token.children = list(_with_urls(token.children, source))
    html = markdown.renderer.render(tokens, markdown.options, {})
    items = "".join(f'<li><a href="#{anchor}">{escape(text)}</a></li>\n' for anchor, text in sections)
    listed = f'<nav class="sections" aria-label="On this page"><ul>\n{items}</ul></nav>\n' if items else ""
    html = html.replace("</h1>\n", f"</h1>\n{listed}", 1)
    return "\n".join(
        [
            f"{{# {source.relative_to(ROOT)} rendered by `make docs`. Change the source instead. #}}",
            '{% extends "api/guide_page.html" %}',
            f"{{% block title %}}{{% verbatim %}}{escape(title_of(source))}{{% endverbatim %}}{{% endblock %}}",
            f"{{% block content %}}{{% verbatim %}}\n{html}{{% endverbatim %}}{{% endblock %}}",
            "",
        ]
    )


def _code(token: Token) -> str:
    """Return a block of code, which a keyboard can scroll."""
    return f'<pre tabindex="0"><code>{escape(token.content, quote=False)}</code></pre>\n'


def _set_anchors(tokens: list[Token]) -> Iterable[tuple[str, str]]:
    """Give each heading the anchor that GitHub gives it, and a link to itself. Yield the headings of level 2."""
    seen: Counter[str] = Counter()
    for token, inline in pairwise(tokens):
        if token.type == "heading_open":
            anchor = slug(inline.content)
            seen[anchor] += 1
            anchor += f"-{seen[anchor] - 1}" if seen[anchor] > 1 else ""
            token.attrSet("id", anchor)
            if token.tag == "h2":
                yield anchor, re.sub("[`*]", "", inline.content)
            if token.tag != "h1":
                link = Token("html_inline", "", 0)
                link.content = f' <a class="anchor" href="#{anchor}" aria-label="Link to this section">#</a>'
                inline.children = [*(inline.children or []), link]


def _with_urls(children: list[Token], source: Path) -> Iterable[Token]:
    """Yield the tokens of a text with the URLs of the guide. A link to any other file becomes plain text."""
    pages = {path: page for page, path in sources().items()}
    is_plain = False
    for child in children:
        if child.type == "link_open":
            name, hash_, anchor = str(child.attrs["href"]).partition("#")
            target = Path(posixpath.normpath(source.parent / name)) if name else source
            is_plain = not re.match("https?:", name) and target not in pages
            if target in pages and name:
                child.attrs["href"] = url_of(pages[target]) + hash_ + anchor
        if not (is_plain and child.type in ("link_open", "link_close")):
            yield child
        if child.type == "link_close":
            is_plain = False
