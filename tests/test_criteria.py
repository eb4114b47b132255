from __future__ import annotations

import json

import pandas as pd
import pytest
import yaml

from critical_weights import config as configs
from critical_weights.criteria.config import criteria_errors, criteria_of_level, read_criteria
from critical_weights.criteria.judge import criteria_table
from critical_weights.criteria.tables import ANALYSIS, KNOWN, table_file
from critical_weights.errors import ConfigError, TableError
from critical_weights.tables.criteria import CRITERIA
from critical_weights.tables.schema import CONCENTRATION, OVERLAP, read_table, write_table
from script_call import SCRIPTS, call_script

ROOT = SCRIPTS.parents[1]
DEFAULTS = configs.read_config(ROOT / "config" / "config.yaml")
PLAIN = {"name": "one", "statement": "s", "table": "concentration", "where": {"metric": "m", "quantity": "gini"},
         "column": "value", "test": ">", "threshold": 0.5}  # fmt: skip


@pytest.fixture
def tables(tmp_path):
    """Return two small tables, by name."""
    rows = [
        ("m", "all", "all", "gini", None, 0.8),
        ("m", "all", "all", "top_share", 0.01, 0.3),
        ("m", "all", "all", "top_share", 0.001, 0.1),
        ("m", "layer", "0", "score_share", None, 0.25),
        ("m", "layer", "1", "score_share", None, 0.75),
        ("other", "all", "all", "gini", None, 0.2),
        ("zero", "all", "all", "gini", None, 0.0),
        ("below", "all", "all", "gini", None, -0.1),
        ("deeper", "all", "all", "gini", None, -0.4),
    ]
    frame = pd.DataFrame(rows, columns=["metric", "scope", "name", "quantity", "at", "value"])
    frame = frame.assign(low=frame["value"], high=frame["value"], weights=10, unit="u")
    frame = frame.reindex(columns=[column.name for column in CONCENTRATION.columns])
    write_table(frame, tmp_path / "concentration.csv", CONCENTRATION)
    pairs = [("global", "", "m", "n", k, 5, 0.5, 0.3, 0.1, 0.01, k != "all") for k in ("10", "100", "all")]
    write_table(pd.DataFrame(pairs, columns=[c.name for c in OVERLAP.columns]), tmp_path / "overlap.csv", OVERLAP)
    return {name: tmp_path / f"{name}.csv" for name in ("concentration", "overlap")}


def judged(tables, **own):
    """Return the row of one criterion; None takes a key away."""
    one = {key: value for key, value in (PLAIN | own).items() if value is not None}
    return criteria_table([one], tables).iloc[0]


@pytest.mark.parametrize(
    "test, threshold, verdict",
    [(">", 0.5, "pass"), (">", 0.8, "fail"), (">=", 0.8, "pass"), (">=", 0.81, "fail"), ("<", 0.9, "pass"),
     ("<", 0.8, "fail"), ("<=", 0.8, "pass"), ("<=", 0.7, "fail"), ("between", [0.8, 0.9], "pass"),
     ("between", [0.1, 0.8], "pass"), ("between", [0.81, 0.9], "fail"), ("between", [0.1, 0.7], "fail")],
)  # fmt: skip
def test_each_test_passes_and_fails_as_its_sign_says(tables, test, threshold, verdict):
    row = judged(tables, test=test, threshold=threshold)
    assert (row["value"], row["n"], row["verdict"], row["reason"]) == (0.8, 1, verdict, "")
    assert row["threshold"] == (" and ".join(map(str, threshold)) if test == "between" else str(threshold))


@pytest.mark.parametrize("aggregate, value", [("min", 0.25), ("max", 0.75), ("mean", 0.5), ("median", 0.5)])
def test_aggregates_over_the_rows_that_match(tables, aggregate, value):
    row = judged(tables, where={"metric": "m", "scope": "layer"}, aggregate=aggregate)
    assert (row["value"], row["n"], row["aggregate"]) == (value, 2, aggregate)


def test_ratio_of_two_cells(tables):
    row = judged(tables, where={"quantity": "gini"}, of={"metric": "m"}, to={"metric": "other"}, threshold=4)
    assert row["value"] == pytest.approx(4)
    assert (row["n"], row["verdict"]) == (2, "fail")
    assert row["where"] == "quantity = gini, metric = m / quantity = gini, metric = other"
    row = judged(tables, where={"quantity": "gini"}, of={"metric": "m"}, to={"metric": "zero"})
    assert (row["verdict"], row["reason"]) == ("not applicable", "the ratio is to a value of 0")


@pytest.mark.parametrize("test, threshold, verdict", [(">=", 3, "pass"), (">", 3, "pass"), ("<", 3, "fail")])
def test_a_ratio_to_a_value_below_0_is_judged_as_so_many_times_that_value(tables, test, threshold, verdict):
    """Controls that do no damage: any damage is at least three times theirs, though the ratio is below 0."""
    sides = {"where": {"quantity": "gini"}, "of": {"metric": "m"}, "to": {"metric": "below"}}
    row = judged(tables, **sides, test=test, threshold=threshold)
    assert row["value"] == pytest.approx(-8)
    assert row["verdict"] == verdict
    assert f"against {-0.1 * threshold:.4g}" in row["reason"]
    assert judged(tables, **sides, test="between", threshold=[-9, -7])["verdict"] == "pass"
    assert judged(tables, **sides, test="between", threshold=[1, 9])["verdict"] == "fail"


@pytest.mark.parametrize("test, threshold", [(">=", 3), (">", 0), ("<", 3), ("<=", 5), ("between", [0, 5])])
@pytest.mark.parametrize("of, figures", [("below", "-0.1 and -0.1"), ("deeper", "-0.4 and -0.1"),
                                         ("zero", "0 and -0.1")])  # fmt: skip
def test_a_ratio_of_two_values_that_are_not_above_0_is_not_judged(tables, of, figures, test, threshold):
    """Neither did any damage: four times none is no damage, whatever the ratio of the two numbers."""
    sides = {"where": {"quantity": "gini"}, "of": {"metric": of}, "to": {"metric": "below"}}
    row = judged(tables, **sides, test=test, threshold=threshold)
    assert row["verdict"] == "not applicable"
    assert pd.isna(row["value"])
    assert row["reason"] == f"a ratio says nothing where neither value is above 0 ({figures})"


@pytest.mark.parametrize("k", [100, "100", 100.0])
def test_where_finds_numbers_and_texts_however_they_are_spelled(tables, k):
    assert judged(tables, table="overlap", where={"k": k}, column="share", threshold=0.4)["verdict"] == "pass"
    assert judged(tables, where={"at": "0.001"})["value"] == 0.1
    assert judged(tables, where={"at": None, "metric": "other"})["value"] == 0.2
    assert judged(tables, table="overlap", where={"complete": False}, column="share")["n"] == 1


def test_a_table_that_is_not_there_is_not_run(tables):
    row = judged(tables, table="verdict", where={"anything": 1})
    assert (row["verdict"], row["reason"], row["n"]) == ("not run", "there is no table verdict", 0)
    row = judged({"concentration": tables["overlap"].parent / "missing.csv"})
    assert row["verdict"] == "not run"


@pytest.mark.parametrize(
    "own, reason",
    [({"where": {"metric": "othr"}}, "no row has metric = othr; there are other"),
     ({"where": {"metric": "m", "quantity": "lorenz"}}, "no row has quantity = lorenz; there are gini, top_share"),
     ({"where": {"metric": "other"}, "column": "at"}, "no number stands in at"),
     ({"where": {"at": 0.5}}, "no row has at = 0.5; there are 0.01, 0.001"),
     ({"where": {"at": "x"}}, "no row has at = x; there are 0.01, 0.001")],
)  # fmt: skip
def test_no_row_or_no_value_is_not_applicable_with_its_reason(tables, own, reason):
    row = judged(tables, **own)
    assert row["verdict"] == "not applicable"
    assert row["reason"].startswith(reason)


def test_several_rows_are_a_mistake_that_tells_what_they_differ_in(tables):
    several = [PLAIN | {"name": "a", "where": {"metric": "m"}}, PLAIN | {"name": "b", "where": None}]
    with pytest.raises(ConfigError) as caught:
        criteria_table(several, tables)
    told = str(caught.value)
    assert "criterion a: 5 rows of concentration match metric = m; they differ in scope (all, layer)" in told
    assert "criterion b: 9 rows" in told
    assert "aggregate" in told
    assert "\n" not in told


def test_a_damaged_table_is_told(tables):
    tables["concentration"].write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(TableError, match="has no column 'metric'"):
        judged(tables)


def test_script_writes_the_table(tables, tmp_path, capfd):
    out = tmp_path / "criteria.csv"
    words = ["--tables", *(f"{name}={path}" for name, path in tables.items()), "--output", out]
    assert call_script("criteria", "--criteria", json.dumps([PLAIN]), *words) == 0
    assert read_table(out, CRITERIA)["verdict"].tolist() == ["pass"]
    assert call_script("criteria", "--criteria", "[]", *words) == 0
    assert read_table(out, CRITERIA).empty
    assert call_script("criteria", "--criteria", "{", *words) == 1
    assert call_script("criteria", "--criteria", "[]", "--tables", "x.csv", "--output", out) == 1
    assert "expected NAME=FILE" in capfd.readouterr().err


def test_a_missing_file_of_criteria_is_told_with_the_near_ones(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "criteria.yaml").write_text("[]")
    with pytest.raises(ConfigError, match=r"criteria: there is no file criterias.yaml. Did you mean criteria.yaml\?"):
        read_criteria({"criteria": "criterias.yaml"})


@pytest.mark.parametrize(
    "criteria, told",
    [({"a": 1}, "expected a list"), ("own.yaml", "expected a list"), ([{"name": "one"}], "lacks 'statement'"),
     ([PLAIN | {"column": "jacard"}], "unknown column"), ([PLAIN, PLAIN], "declared twice"),
     ([PLAIN | {"threshold": "high"}], "threshold")],
)  # fmt: skip
def test_criteria_given_by_hand_are_checked_as_those_of_the_config(tables, tmp_path, capfd, criteria, told):
    out = tmp_path / "criteria.csv"
    assert call_script("criteria", "--criteria", json.dumps(criteria), "--output", out) == 1
    assert told in capfd.readouterr().err
    assert call_script("criteria", "--criteria", "[]", "--tables", "overlp=x.csv", "--output", out) == 1
    assert "unknown table 'overlp'" in capfd.readouterr().err
    assert not out.exists()


# --- the config --------------------------------------------------------------------------------------------------


def with_criteria(*criteria):
    return DEFAULTS | {"criteria": list(criteria)}


def test_the_default_criteria_are_sound():
    criteria = read_criteria(DEFAULTS)
    assert configs.config_errors(DEFAULTS) == []
    assert criteria_errors(DEFAULTS) == []
    assert len(criteria) >= 6
    assert {one["table"] for one in criteria_of_level(criteria, across=True)} == {"phases"}


def test_a_config_may_declare_none():
    config = {key: value for key, value in DEFAULTS.items() if key != "criteria"}
    assert read_criteria(config) == criteria_errors(config) == configs.config_errors(config) == []


@pytest.mark.parametrize(
    "own, parts",
    [({"tabel": 1}, ["unknown key 'tabel'", "table"]),
     ({"test": "=="}, ["criteria[0].test", "'=='", "between"]),
     ({"threshold": "high"}, ["criteria[0].threshold", "expected a number"]),
     ({"threshold": [1, 2]}, ["criteria[0].threshold", "expected a number"]),
     ({"test": "between"}, ["criteria[0].threshold", "expected a list"]),
     ({"test": "between", "threshold": [1]}, ["criteria[0].threshold", "[1]", "2 or more in the list"]),
     ({"aggregate": "sum"}, ["criteria[0].aggregate", "min or max or mean or median"]),
     ({"of": {"metric": "m"}}, ["'to' is a dependency of 'of'"]),
     ({"name": "A b"}, ["criteria[0].name", "pattern"]),
     ({"where": "x"}, ["criteria[0].where", "expected keys"]),
     ({"statement": 3}, ["criteria[0].statement", "expected a text"])],
)  # fmt: skip
def test_mistakes_of_form_are_told_by_the_schema(own, parts):
    told = " ".join(map(str, configs.config_errors(with_criteria(PLAIN | own))))
    assert all(part in told for part in parts), told


@pytest.mark.parametrize(
    "own, parts",
    [({"table": "concentratoin"}, ["unknown table 'concentratoin'", "Did you mean concentration"]),
     ({"column": "valu"}, ["unknown column of concentration 'valu'", "Did you mean value"]),
     ({"where": {"metrics": "m"}}, ["unknown column of concentration 'metrics'", "metric"]),
     ({"of": {"metrics": "m"}, "to": {}}, ["unknown column of concentration 'metrics'"]),
     ({"column": "unit"}, ["unit of concentration holds text"]),
     ({"where": {"metric": ["a", "b"]}}, ["where.metric", "expected one value"]),
     ({"where": {"metric": yaml.safe_load("2024-12-01")}}, ["where.metric: got the date 2024-12-01", "in quotes"]),
     ({"test": "between", "threshold": [2, 1]}, ["lower end first"])],
)  # fmt: skip
def test_mistakes_of_tables_and_columns_are_told_with_near_names(own, parts):
    config = with_criteria(PLAIN | own)
    assert configs.config_errors(config) == []
    (told,) = map(str, criteria_errors(config))
    assert all(part in told for part in [*parts, "criteria.one"]), told


def test_a_name_declared_twice_is_told():
    assert [str(e) for e in criteria_errors(with_criteria(PLAIN, PLAIN))] == ["criteria: one is declared twice."]


def test_criteria_of_a_file_are_checked_as_inline_ones(tmp_path):
    file = tmp_path / "mine.yaml"
    config = DEFAULTS | {"criteria": str(file)}
    assert "there is no file" in str(criteria_errors(config)[0])
    for content, told in (("a: [", "is not YAML"), ("a: 1", "holds no list"), ("- {name: x}", "lacks 'statement'"),
                          ("- {name: 2024-13-45}", "is not YAML"), ("[" * 5000, "is not YAML")):  # fmt: skip
        file.write_text(content, encoding="utf-8")
        assert told in str(criteria_errors(config)[0])
    file.write_text(yaml.safe_dump([PLAIN | {"test": "=="}]), encoding="utf-8")
    (told,) = map(str, criteria_errors(config))
    assert told.startswith(f"{file}: "), told
    assert "'=='" in told
    for whole in ([PLAIN], {"criteria": [PLAIN]}):
        file.write_text(yaml.safe_dump(whole), encoding="utf-8")
        assert configs.config_errors(config) == criteria_errors(config) == []
        assert read_criteria(config) == [PLAIN]


def test_every_table_lies_where_a_rule_makes_it():
    rules = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "workflow" / "rules").glob("*.smk"))
    for table in ANALYSIS:
        name = table.name.removesuffix(".csv")
        assert f'"{table_file(name, "{phase}", "{model}")}"' in rules
    assert table_file("models") == "results/report/models.csv"
    assert len(KNOWN) > len(ANALYSIS)


def test_config_readme_tells_every_key_of_a_criterion():
    text = (ROOT / "config" / "README.md").read_text(encoding="utf-8").split("## criteria")[1].split("\n## ")[0]
    for key in configs.config_schema()["$defs"]["criterion"]["properties"]:
        assert f"`{key}`" in text
