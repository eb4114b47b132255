"""The tables that a criterion can be about, and where each lies."""

from __future__ import annotations

from ..tables.across import ACROSS_TABLES
from ..tables.agreement import AGREEMENT
from ..tables.interventions import INTERVENTIONS_TABLE, SINGLE_SCORES, SINGLE_WEIGHTS, VERDICT
from ..tables.schema import CONCENTRATION, OVERLAP, Table
from ..tables.stability import STABILITY_TABLES
from ..tables.structure import STRUCTURE_TABLES
from ..tables.superweights import SPIKE_PROFILE, SUPERWEIGHTS

ANALYSIS = (OVERLAP, CONCENTRATION, *STABILITY_TABLES, AGREEMENT, *STRUCTURE_TABLES, SUPERWEIGHTS, SPIKE_PROFILE)


def _by_name(tables: tuple[Table, ...]) -> dict[str, Table]:
    return {table.name.removesuffix(".csv"): table for table in tables}


INTERVENTIONS = _by_name((INTERVENTIONS_TABLE, SINGLE_WEIGHTS, SINGLE_SCORES, VERDICT))
OF_MODEL = _by_name(ANALYSIS) | INTERVENTIONS
ACROSS = _by_name(ACROSS_TABLES)
KNOWN = {**OF_MODEL, **ACROSS}


def is_across(name: str) -> bool:
    """Whether a table is over models and phases, not of one of them."""
    return name in ACROSS


def table_file(name: str, phase: str = "", model: str = "") -> str:
    """Return where a table lies, below the working directory."""
    if is_across(name):
        return f"results/report/{name}.csv"
    return f"results/{phase}/{model}/{'interventions' if name in INTERVENTIONS else 'analysis'}/{name}.csv"
