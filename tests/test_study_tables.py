"""The tables over models and phases say of what their figures are: estimates from probes stand apart."""

from __future__ import annotations

import pytest

from critical_weights.report import study_tables as tables

OVERALL = {"num_weights": 100, "mean": 1.0, "std": 1.0, "min": 0.0, "max": 8.0, "median": 0.5, "p95": 2.0, "p99": 4.0,
           "zero_fraction": 0.25, "zeros": 25, "max_over_mean": 8.0, "max_over_median": 16.0}  # fmt: skip
WEIGHT = {"parameter": "w", "row": 1, "col": 2, "token": None, "sensitivity_score": 8.0}


def scored(family):
    return {"family": family, "units": "x", "overall": OVERALL, "quantiles": {"method": "exact"}, "concentration": None,
            "top": [WEIGHT], "top_exact": True}  # fmt: skip


def facts_of(**families):
    return {"parts": {"p/m": {"metrics": {name: scored(family) for name, family in families.items()}}}}


@pytest.mark.parametrize("make", [tables.concentration, tables.distribution, tables.best])
def test_estimates_from_probes_are_told_where_peaks_are(make):
    both = make(facts_of(grad_squared="gradient", hutchinson_diag="curvature", obd_hutch="curvature")).note
    assert both.endswith(
        " Scores by hutchinson_diag and obd_hutch are estimates from random probes, whose noise can make scores look "
        "more peaked than they are; of obd_hutch, estimates of the curvature below 0 count as 0, which lowers its "
        "median."
    )
    assert make(facts_of(hutchinson_diag="curvature")).note.endswith(" look more peaked than they are.")
    assert "probes" not in make(facts_of(grad_squared="gradient", magnitude="static")).note
