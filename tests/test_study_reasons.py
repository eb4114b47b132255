"""Why a table over all experiments has no rows: what it says must be true of every study that has none."""

from __future__ import annotations

import json

import h5py
import pytest

from critical_weights.across.checkpoints import checkpoints_table
from critical_weights.across.models import models_table
from critical_weights.across.phases import phases_table
from critical_weights.across.study import read_study
from critical_weights.across.tasks import task_weights_table, tasks_table
from critical_weights.across.training_runs import Checkpoint
from critical_weights.tables.across import MODELS
from synthetic_stores import TensorSpec, facts_of, random_scores, write_store

SPECS = [
    TensorSpec(f"layers.{layer}.{name}.weight", (12, 12), layer, name, "linear", ("row", "col"))
    for layer in range(2)
    for name in ("q_proj", "v_proj")
]


@pytest.fixture
def study(tmp_path):
    """Make a study of the stores that are named: phase, model, metric, and what to change in the file."""

    def make(*stores, candidates=144):
        paths = []
        for seed, (phase, model, metric, *changes) in enumerate(stores):
            folder = tmp_path / phase / model
            (folder / "scores").mkdir(parents=True, exist_ok=True)
            (folder / "model.json").write_text(json.dumps(facts_of(SPECS, model) | {"n_layers": 2}))
            path = write_store(folder / "scores" / f"{metric}.h5", SPECS, random_scores(SPECS, seed), metric=metric,
                               candidates=candidates, dense=False)  # fmt: skip
            with h5py.File(path, "r+") as file:
                file.attrs.update(dict(changes))
            paths.append(path)
        return read_study(paths)

    return make


def notes(table):
    return table["note"].tolist()


OTHER_TEXTS = ("calibration_sha256", "07" * 32)


@pytest.mark.parametrize("stores", [
    [("p1", "one", "grad_squared")],
    [("p1", "one", "grad_squared"), ("p2", "two", "grad_squared")],
    [("p1", "one", "grad_squared"), ("p1", "two", "magnitude")],
])  # fmt: skip
def test_models_that_cannot_be_paired(study, stores):
    assert notes(models_table(study(*stores))) == ["not applicable: no two models of one phase with the same metric"]


def test_models_with_few_known_weights(study):
    found = models_table(study(("p1", "one", "obd"), ("p1", "two", "obd"), candidates=3))
    assert list(found.columns) == [column.name for column in MODELS.columns]
    assert notes(found) == ["not applicable: the first 100 weights of both models are known of no pair"]


def test_checkpoints_in_phases_of_their_own(study):
    steps = [Checkpoint("run", "one", 10), Checkpoint("run", "two", None)]
    table = checkpoints_table(study(("p1", "one", "obd"), ("p2", "two", "obd")), steps)
    assert notes(table) == ["not applicable: no two checkpoints of one training run in one phase with the same metric"]


@pytest.mark.parametrize("stores", [
    [("p1", "one", "obd"), ("p2", "one", "obd")],
    [("p1", "one", "obd"), ("p2", "one", "grad_squared", OTHER_TEXTS)],
    [("p1", "one", "obd"), ("p2", "two", "obd", OTHER_TEXTS)],
])  # fmt: skip
def test_phases_that_are_no_two_text_sets(study, stores):
    own = study(*stores)
    reason = "not applicable: no model and metric that reads texts in two phases of other texts"
    assert notes(tasks_table(own)) == notes(task_weights_table(own)) == [reason]


def test_text_sets_with_few_known_weights_do_not_pass_for_equal_ones(study):
    own = study(("p1", "one", "obd"), ("p2", "one", "obd", OTHER_TEXTS), candidates=3)
    assert notes(tasks_table(own)) == ["not applicable: too few weights of both are known by rank"]
    assert notes(task_weights_table(own)) == ["not applicable: too few weights of both are known by rank"]


def test_text_sets_with_the_same_first_weights(study, tmp_path):
    own = study(("p1", "one", "obd"), ("p2", "one", "obd", OTHER_TEXTS))
    write_store(tmp_path / "p2/one/scores/obd.h5", SPECS, random_scores(SPECS, 0), metric="obd", candidates=144)
    with h5py.File(tmp_path / "p2/one/scores/obd.h5", "r+") as file:
        file.attrs.update([OTHER_TEXTS])
    assert notes(task_weights_table(own)) == ["no weight is critical for one set of texts alone"]


# --- phases that differ in something else than scores ---------------------------------------------------------------


def outcome(table):
    rows = table[table["scope"] == "all"].set_index("quantity")
    return {key: (rows.loc[key, "value"], rows.loc[key, "verdict"]) for key in ("determinism", "differing_tensors")}


def test_tensors_are_not_said_to_differ_where_only_the_checks_do(study, tmp_path):
    own = study(("p1", "one", "obd"), ("p2", "one", "obd"))
    write_store(tmp_path / "p2/one/scores/obd.h5", SPECS, random_scores(SPECS, 0), metric="obd", candidates=144,
                dense=False)  # fmt: skip
    with h5py.File(tmp_path / "p2/one/scores/obd.h5", "r+") as file:
        file.attrs["checks"] = json.dumps({"rehearsal": {"status": "not applicable"}})
    assert outcome(phases_table(own)) == {
        "determinism": (0, "not deterministic: differs in checks"),
        "differing_tensors": (0, "identical"),
    }


def test_a_figure_that_is_no_number_in_both_does_not_differ(study, tmp_path):
    own = study(("p1", "one", "obd"), ("p2", "one", "obd"))
    for phase in ("p1", "p2"):
        path = tmp_path / phase / "one/scores/obd.h5"
        write_store(path, SPECS, random_scores(SPECS, 0), metric="obd", candidates=144, dense=False)
        with h5py.File(path, "r+") as file:
            file.attrs["corpus_loss"] = float("nan")
            file.attrs["checks"] = json.dumps({"laws": [{"law": "x", "error": float("nan")}]})
    assert outcome(phases_table(own))["determinism"] == (1, "deterministic")
