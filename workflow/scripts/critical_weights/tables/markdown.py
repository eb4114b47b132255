"""The documentation of the result tables, made from their schema."""

from __future__ import annotations

from .across import ACROSS_TABLES
from .agreement import AGREEMENT
from .criteria import CRITERIA
from .downstream import DOWNSTREAM
from .interventions import INTERVENTION_TABLES
from .ranks import RANK_DENSITY
from .schema import TABLES, Table
from .stability import STABILITY_TABLES
from .structure import STRUCTURE_TABLES
from .superweights import SPIKE_PROFILE, SUPERWEIGHTS

DESCRIBED = (
    *TABLES,
    AGREEMENT,
    RANK_DENSITY,
    *STABILITY_TABLES,
    *STRUCTURE_TABLES,
    SUPERWEIGHTS,
    SPIKE_PROFILE,
    *ACROSS_TABLES,
    CRITERIA,
    DOWNSTREAM,
    *INTERVENTION_TABLES,
)

_HEAD = """# Result tables

Made from the schema in `workflow/scripts/critical_weights/tables/` by
`python -m critical_weights.tables.markdown > docs/tables.md`; a test keeps the two in step. UTF-8, comma, header; an
empty field is a missing value. Every writer and reader checks its table against this schema.
"""


def describe(table: Table) -> str:
    """Return the Markdown of one table: population, columns, types, units, meanings."""
    rows = [
        f"| `{c.name}` | {c.dtype.lower()}{', may be empty' if c.optional else ''} | {c.unit} | {c.meaning} |"
        for c in table.columns
    ]
    head = f"\n## {table.name}\n\nPopulation: {table.population}.\n\n"
    head += "| column | type | unit | meaning |\n|---|---|---|---|\n"
    return head + "\n".join(rows) + "\n"


def describe_all() -> str:
    """Return the whole page."""
    return _HEAD + "".join(describe(table) for table in DESCRIBED)


if __name__ == "__main__":
    print(describe_all(), end="")
