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
    environment.filters |= {"md": markdown, "cell": cell, "anchor": anchor}
    return environment


def markdown(text: str) -> str:
    """Escape what Markdown would take for markup, and keep the text on one line."""
    text = re.sub(r"([\\`<>\[\]|])", r"\\\1", " ".join(text.split()))
    text = re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", text)
    return re.sub(r"\*(?=\S)|(?<=\S)\*", r"\\*", text)


def cell(text: str, kind: str) -> str:
    """Format a table's cell in Markdown; names and tokens as code."""
    if kind != "code" or text in ("", "-"):
        return markdown(text)
    text = " ".join(text.splitlines())
    fence = "`" * (max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    pad = " " if "`" in text else ""
    return f"{fence}{pad}{text}{pad}{fence}".replace("|", "\\|")


def anchor(text: str) -> str:
    """Return a name for use in links: lower case, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def digest(script: str) -> str:
    """Return what a page's content policy names its own script by; any other script is refused by the browser."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")


def script_of_pages() -> str:
    """Return the one script that a page holds."""
    return (TEMPLATES / SCRIPT).read_text(encoding="utf-8")
