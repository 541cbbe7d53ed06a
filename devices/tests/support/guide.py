"""The guide of hospital admins as a template of the help page: templates/admin/guide/<language>.html."""

import re
from pathlib import Path

from django.utils.html import escape
from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parents[3]
GUIDES = {"en": ROOT / "docs/hospital-admins.md", "id": ROOT / "docs/hospital-admins.id.md"}


def template_of(language: str) -> Path:
    return ROOT / f"templates/admin/guide/{language}.html"


def slug(heading: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def render(language: str) -> str:
    """Return the template of the guide in this language.

    The title and the link to the other language are omitted, because the help page has both. Pictures become static
    files. The ids of headings are those of GitHub, so that the links in the guide work there and here.
    """
    _title, _other_language, text = GUIDES[language].read_text().split("\n\n", 2)
    markdown = MarkdownIt("commonmark").enable("table")
    tokens = markdown.parse(text)
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        if token.type == "heading_open" and following:
            token.attrSet("id", slug(following.content))
        for child in token.children or []:
            if child.type == "image":
                picture = str(child.attrs["src"]).removeprefix("images/")
                child.attrs["src"] = f"STATIC({picture})"
                child.attrSet("loading", "lazy")
    html = markdown.renderer.render(tokens, markdown.options, {})
    html = re.sub(r"STATIC\(([^)]*)\)", r"{% static 'guide/\1' %}", html)
    note = f"{escape(GUIDES[language].name)} rendered by `make docs`. Change the source instead."
    return f"{{# {note} #}}\n{{% load static %}}\n{html}"
