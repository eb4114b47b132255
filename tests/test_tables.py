"""Result tables: what is written reads back the same, and what does not follow its schema says so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from critical_weights.errors import TableError
from critical_weights.report.inventory import rows_of as counted_rows
from critical_weights.tables.interventions import INTERVENTIONS_TABLE
from critical_weights.tables.markdown import describe_all
from critical_weights.tables.rows import read_rows
from critical_weights.tables.schema import CONCENTRATION, OVERLAP, TABLES, TOP_WEIGHTS, Table, read_table, write_table
from critical_weights.tables.stability import STABILITY
from critical_weights.tables.superweights import SPIKE_PROFILE, SUPERWEIGHTS
from table_rows import rows_of

Reader = Callable[..., Any]
TOKENS = [
    "the", "com,ma", 'a "quote"', "new\nline", "NA", "null", "nan", "None", "", " leading", "trailing ", "\t", "'", "é",
    "Ġbyte", "-", "1e5", "007", "True", "<NA>", "#x", "\\n", '"', ",", "\u2028", "\x00",
]  # fmt: skip


@pytest.fixture(params=[read_table, read_rows])
def read(request: pytest.FixtureRequest) -> Reader:
    """Both readers refuse the same."""
    return request.param


def _top(tokens: list[str], scores: np.ndarray | None = None) -> pd.DataFrame:
    n = len(tokens)
    rng = np.random.default_rng(0)
    scores = rng.lognormal(-9, 9, n).astype(np.float32) if scores is None else scores
    layer = pd.array([None if i % 3 == 0 else i for i in range(n)], "Int64")
    return pd.DataFrame(
        {
            "rank": np.arange(1, n + 1), "rank_in_tensor": np.ones(n, int), "parameter": "model.embed.weight",
            "indices": [f"({i}, 3303)" for i in range(n)], "sensitivity_score": scores,
            "weight": rng.standard_normal(n).astype(np.float32), "gradient": np.full(n, np.nan, np.float32),
            "layer": layer, "component": "embed", "expert": pd.array([None] * n, "Int64"),
            "row": pd.array(np.arange(n) * 10**9, "Int64"), "col": pd.array([3303] * n, "Int64"), "token": tokens,
        }
    )  # fmt: skip


def _example(table: Table, n: int = 3) -> pd.DataFrame:
    values = {"str": "x", "bool": True}
    return pd.DataFrame({c.name: pd.Series([values.get(c.dtype, 1)] * n).astype(c.dtype) for c in table.columns})


def _same(got: pd.DataFrame, want: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(got, want.astype(got.dtypes.to_dict()), check_exact=True)


@pytest.mark.parametrize("returns", [False, True])
def test_top_weights_round_trip_with_awkward_tokens(tmp_path: Path, returns: bool) -> None:
    tokens = TOKENS + (["carriage\rreturn", "\r\n", "\r"] if returns else [])
    frame = _top(tokens)
    write_table(frame, tmp_path / "t.csv", TOP_WEIGHTS)
    got = read_table(tmp_path / "t.csv", TOP_WEIGHTS)
    _same(got, frame)
    assert got["token"].tolist() == tokens
    assert counted_rows(tmp_path / "t.csv") == len(tokens), "as the list of files counts them"
    assert got["layer"].isna().tolist() == [i % 3 == 0 for i in range(len(tokens))]
    assert got["gradient"].isna().all()
    assert [str(t) for t in got.dtypes] == [c.dtype for c in TOP_WEIGHTS.columns]


@pytest.mark.parametrize("token", ["plain", "carriage\rreturn"])
def test_every_float32_reads_back_the_same(tmp_path: Path, token: str) -> None:
    bits = np.random.default_rng(0).integers(0, int(np.float32(np.inf).view(np.int32)), 20_000).astype(np.int32)
    special = np.array([0, 1, (1 << 23) - 1, 1 << 23, 0x7F7FFFFF], np.int32)
    scores = np.concatenate([special, bits]).view(np.float32)
    write_table(_top([token] * len(scores), scores), tmp_path / "t.csv", TOP_WEIGHTS)
    got = read_table(tmp_path / "t.csv", TOP_WEIGHTS)["sensitivity_score"].to_numpy()
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got.view(np.int32), scores.view(np.int32))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=9), st.text(min_size=1))
def test_float64_and_any_text_read_back_the_same(tmp_path: Path, x: list[float], text: str) -> None:
    name = text.encode(errors="ignore").decode()
    frame = _example(CONCENTRATION, len(x)).assign(value=x, name=name)
    path = tmp_path / "c.csv"
    write_table(frame, path, CONCENTRATION)
    got = read_table(path, CONCENTRATION)
    assert got["value"].tolist() == x
    assert got["name"].tolist() == [name] * len(x)


@pytest.mark.parametrize("table", TABLES, ids=lambda t: t.name)
@pytest.mark.parametrize("n", [0, 1, 3])
def test_every_table_round_trips(tmp_path: Path, table: Table, n: int) -> None:
    frame = _example(table, n)
    write_table(frame, tmp_path / "t.csv", table)
    _same(read_table(tmp_path / "t.csv", table), frame)


def test_the_file_is_utf8_with_a_header_commas_and_newlines_and_twice_the_same(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        write_table(_top(["é", "x"]), tmp_path / name, TOP_WEIGHTS)
    content = (tmp_path / "a.csv").read_bytes()
    assert content.decode("utf-8").split("\n")[0] == ",".join(c.name for c in TOP_WEIGHTS.columns)
    assert content.count(b"\n") == 3
    assert b"\r" not in content
    assert (tmp_path / "b.csv").read_bytes() == content


def test_optional_fields_may_be_empty_and_others_not(read: Reader, tmp_path: Path) -> None:
    write_table(_top(["x"]), tmp_path / "t.csv", TOP_WEIGHTS)
    text = (tmp_path / "t.csv").read_text()
    (tmp_path / "t.csv").write_text(text.replace("\n1,1,", "\n1,,"))
    with pytest.raises(TableError, match=r"column rank_in_tensor of .*t\.csv is not int64 \(row 2 is empty\)"):
        read(tmp_path / "t.csv", TOP_WEIGHTS)


@pytest.mark.parametrize(
    "column, value, words",
    [
        ("k", "all", None),
        ("complete", "yes", "is not bool"),
        ("shared", "1.5", "is not int64"),
        ("shared", "inf", "is not int64"),
        ("shared", "18446744073709551616", "is not int64"),
        ("shared", "1_000", "is not int64"),
        ("share", "1_0.5", "float64"),
        ("share", "nan", "float64"),
        ("share", "\uff11.5", "float64"),
        ("shared", "\u0663", "is not int64"),
        ("share", "x", "float64"),
        ("share", "True", "float64"),
    ],
)
def test_a_value_of_another_type_names_its_column(
    read: Reader, tmp_path: Path, column: str, value: str, words: str | None
) -> None:
    frame = _example(OVERLAP, 2)
    write_table(frame, tmp_path / "o.csv", OVERLAP)
    raw = pd.read_csv(tmp_path / "o.csv", dtype=str)
    raw[column] = value
    raw.to_csv(tmp_path / "o.csv", index=False)
    if words is None:
        found = read(tmp_path / "o.csv", OVERLAP)
        assert list(found[column] if read is read_table else [getattr(row, column) for row in found]) == [value] * 2
        return
    with pytest.raises(TableError, match=words) as caught:
        read(tmp_path / "o.csv", OVERLAP)
    assert f"column {column} " in str(caught.value)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_no_column_takes_an_empty_field_or_true_for_a_number(read: Reader, tmp_path: Path, table: Table) -> None:
    path = tmp_path / table.name
    write_table(_example(table, 3), path, table)
    raw = pd.read_csv(path, dtype=str, keep_default_na=False)
    for column in table.columns:
        for values in (["1", "", "1"], ["True", "True", "True"], ["True", "", "true"]):
            fine = column.dtype == "str" or (column.dtype == "bool" and "" not in values)
            if fine or (column.optional and "True" not in values):
                continue
            raw.assign(**{column.name: values}).to_csv(path, index=False, lineterminator="\n")
            with pytest.raises(TableError, match=f"column {column.name} of "):
                read(path, table)


def test_a_missing_column_is_named_with_near_ones(tmp_path: Path) -> None:
    frame = _top(["x"]).rename(columns={"parameter": "parameters"})
    with pytest.raises(TableError, match=r"no column 'parameter'.*Did you mean parameters\?"):
        write_table(frame, tmp_path / "t.csv", TOP_WEIGHTS)
    assert not list(tmp_path.iterdir())
    frame.to_csv(tmp_path / "t.csv", index=False)
    for read in (read_table, read_rows):
        with pytest.raises(TableError, match=r"t\.csv has no column 'parameter'.*Did you mean parameters\?"):
            read(tmp_path / "t.csv", TOP_WEIGHTS)


@pytest.mark.parametrize("change", ["extra", "order", "twice"])
def test_other_columns_or_another_order_are_refused(read: Reader, tmp_path: Path, change: str) -> None:
    frame = _example(OVERLAP)
    names = list(frame.columns)
    frame = {
        "extra": frame.assign(more=1),
        "order": frame[names[::-1]],
        "twice": frame[[*names, names[0]]],
    }[change]
    frame.to_csv(tmp_path / "o.csv", index=False)
    with pytest.raises(TableError, match="other columns or another order"):
        read(tmp_path / "o.csv", OVERLAP)
    with pytest.raises(TableError, match="other columns or another order"):
        write_table(frame, tmp_path / "p.csv", OVERLAP)


@pytest.mark.parametrize(
    "content, words",
    [
        (None, "there is no .* Run the stage that makes it"),
        (b"", "cannot be read as a table"),
        (b"\xff\xfe\x00", "cannot be read as a table"),
    ],
)
def test_a_missing_empty_or_binary_file_is_one_line(
    read: Reader, tmp_path: Path, content: bytes | None, words: str
) -> None:
    if content is not None:
        (tmp_path / "o.csv").write_bytes(content)
    with pytest.raises(TableError, match=words):
        read(tmp_path / "o.csv", OVERLAP)
    with pytest.raises(TableError, match="cannot be read as a table"):
        read(tmp_path, OVERLAP)


@pytest.mark.parametrize("rows", [slice(1, 2), slice(1, None)], ids=["one row", "every row"])
def test_rows_with_a_field_too_many_are_refused_not_shifted(read: Reader, tmp_path: Path, rows: slice) -> None:
    write_table(_example(OVERLAP), tmp_path / "o.csv", OVERLAP)
    lines = (tmp_path / "o.csv").read_text().splitlines()
    lines[rows] = [f"{line},more" for line in lines[rows]]
    (tmp_path / "o.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(TableError, match=r"more fields|cannot be read as a table"):
        read(tmp_path / "o.csv", OVERLAP)


def test_every_column_says_what_it_means_and_names_are_unique() -> None:
    for table in TABLES:
        names = [c.name for c in table.columns]
        assert len(set(names)) == len(names)
        assert all(c.meaning for c in table.columns)
        assert table.population


def test_the_documentation_is_in_step_with_the_schema() -> None:
    page = Path(__file__).parents[1] / "docs" / "tables.md"
    assert page.read_text(encoding="utf-8") == describe_all()


def test_a_table_that_is_cut_short_within_its_last_row_is_refused(read: Reader, tmp_path: Path) -> None:
    """Also where what is left of the row would pass for one: a shorter number, or empty fields at the end."""
    path = tmp_path / "top_weights.csv"
    write_table(_top(["a", "b", "c"]), path, TOP_WEIGHTS)
    content = path.read_bytes()
    assert len(read(path, TOP_WEIGHTS)) == 3
    for end in range(content[:-1].rindex(b"\n") + 2, len(content)):
        path.write_bytes(content[:end])
        with pytest.raises(TableError, match=r"cut short|cannot be read|empty"):
            read(path, TOP_WEIGHTS)


@pytest.mark.parametrize("table", [*TABLES, INTERVENTIONS_TABLE, STABILITY, SPIKE_PROFILE],
                         ids=lambda table: table.name)  # fmt: skip
def test_plain_rows_hold_what_the_frame_holds(tmp_path: Path, table: Table) -> None:
    """Every field, of the same type; missing are "", NaN and None."""
    texts = [*TOKENS, "carriage\rreturn", "\r\n"]
    made = _example(table, len(texts))
    for column in table.columns:
        if column.dtype == "str":
            made[column.name] = texts
        elif column.optional:
            made.loc[1::2, column.name] = np.nan if column.dtype.startswith("float") else pd.NA
        elif column.dtype.startswith("float"):
            made[column.name] = np.random.default_rng(0).lognormal(-9, 9, len(made)).astype(column.dtype)
    write_table(made, tmp_path / "t.csv", table)
    got = read_rows(tmp_path / "t.csv", table)
    want = rows_of(read_table(tmp_path / "t.csv", table), table)
    assert repr(got) == repr(want), "as text, in which NaN is NaN and 1 not 1.0"


def test_plain_rows_know_whole_numbers_beyond_2_to_the_53_columns_called_class_and_a_mark_of_byte_order(
    tmp_path: Path,
) -> None:
    frame = _example(SUPERWEIGHTS, 3)
    whole = next(column.name for column in SUPERWEIGHTS.columns if column.dtype == "int64")
    numbers = [-(2**53) - 1, 2**63 - 1, -(2**63)]
    write_table(frame.assign(**{whole: numbers}), tmp_path / "s.csv", SUPERWEIGHTS)
    (tmp_path / "s.csv").write_bytes(b"\xef\xbb\xbf" + (tmp_path / "s.csv").read_bytes())
    rows = read_rows(tmp_path / "s.csv", SUPERWEIGHTS)
    assert [getattr(row, whole) for row in rows] == numbers == read_table(tmp_path / "s.csv", SUPERWEIGHTS)[
        whole].tolist()  # fmt: skip
    assert [getattr(row, "class") for row in rows] == frame["class"].tolist()


def test_a_table_without_rows_has_none(tmp_path: Path) -> None:
    write_table(_example(OVERLAP, 0), tmp_path / "o.csv", OVERLAP)
    assert read_rows(tmp_path / "o.csv", OVERLAP) == []


def test_a_row_with_a_field_too_few_is_refused(tmp_path: Path) -> None:
    write_table(_example(SPIKE_PROFILE), tmp_path / "s.csv", SPIKE_PROFILE)
    text = (tmp_path / "s.csv").read_text()
    (tmp_path / "s.csv").write_text(text.replace(",1\n", "\n", 1))
    with pytest.raises(TableError, match="rows with fewer fields than its 16 columns, such as 2"):
        read_rows(tmp_path / "s.csv", SPIKE_PROFILE)
