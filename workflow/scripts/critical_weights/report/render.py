"""Templates to pages: Markdown, and one HTML file that needs nothing beside it and asks nothing of a network."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from ..errors import CriticalWeightsError
from ..provenance import CODE

TEMPLATES = CODE / "report"
SCRIPT = "report.js"


def render(template: str, values: Mapping[str, Any], templates: Path = TEMPLATES) -> str:
    """Fill a template; what goes into HTML is escaped, what goes into Markdown passes the filters ``md`` and ``cell``.

    Raises:
        CriticalWeightsError: there is no such template.

    """
    try:
        return _environment(templates, template.endswith(".html.j2")).get_template(template).render(**values)
    except jinja2.TemplateNotFound as error:
        raise CriticalWeightsError(
            f"there is no report template {templates / str(error)}",
            fix="Run from a checkout of the workflow, or install it with pip install -e",
        ) from error


@cache
def _environment(templates: Path, escape: bool) -> jinja2.Environment:
    """Return what compiles templates: those that several pages include, once for all of them."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates),
        autoescape=escape,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"md": markdown, "cell": cell, "anchor": anchor, "foldable": foldable, "looks": looks}
    return environment


_MARKUP = re.compile(r"[\\`<>\[\]|]|(?<!\w)_|_(?!\w)|\*(?=\S)|(?<=\S)\*")


def markdown(text: str) -> str:
    """Escape what Markdown would take for markup, and keep the text on one line."""
    return _MARKUP.sub(r"\\\g<0>", " ".join(text.split()))


def cell(text: str, kind: str) -> str:
    """Format a table's cell in Markdown; names and tokens as code."""
    if kind != "code" or text in ("", "-"):
        return markdown(text)
    text = " ".join(text.splitlines())
    fence = "`" * (max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    pad = " " if "`" in text else ""
    return f"{fence}{pad}{text}{pad}{fence}".replace("|", "\\|")


def foldable(text: str, kind: str) -> Markup:
    """Return a cell, heading or path in HTML: where a line may end in it is said by ``<wbr>``, which nobody copies.

    A figure may be parted from its bounds, a folder from what is in it, one name from the next, a single one after an
    underscore. A number or date inside words is kept whole: a browser would end a line after its hyphen.
    """
    marked = str(escape(text))
    if kind == "number":
        return Markup(marked.replace(" (", " <wbr>("))
    if kind == "text":
        return Markup(re.sub(r"\d[\d.]*(?:e-\d+|-\d\d-\d\d\S*)", r"<span>\g<0></span>", marked))
    if kind == "path":
        return Markup(marked.replace("/", "/<wbr>"))
    if ", " in marked:
        return Markup(marked.replace(", ", ', <wbr class="list">'))
    return Markup(re.sub(r"_(?=[^\W\d_])", "_<wbr>", marked) if len(marked) > SHORT else marked)


def looks(text: str, kind: str) -> str:
    """Return the classes of a table's cell; a number, the most frequent by far, has none."""
    if kind == "number":
        return ""
    long = " long" if kind == "text" and len(text) > LONG else ""
    parts = text.split() if kind == "text" else re.split(r"[\s_]+", text)
    return kind + long + (" solid" if max(map(len, parts), default=0) > SOLID else "")


SHORT, SOLID, LONG = 10, 30, 40
"""A name of no more characters is not folded; a hash or path with more in a row may be cut anywhere; a text of more
gets a wide column."""


def anchor(text: str) -> str:
    """Return a name for use in links: lower case, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def digest(script: str) -> str:
    """Return what a page's content policy names its own script by; any other script is refused by the browser."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")


def script_of_pages() -> str:
    """Return the one script that a page holds."""
    return (TEMPLATES / SCRIPT).read_text(encoding="utf-8")
