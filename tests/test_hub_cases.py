"""What goes wrong between a user and the hub gets a line of its own, before weights are fetched where that can be."""

from __future__ import annotations

from pathlib import Path

import pytest

from hub_cases import CASES, TOKEN, Told, run_cases, to_markdown

DOCS = Path(__file__).resolve().parents[1] / "docs" / "models.md"


@pytest.fixture(scope="module")
def told() -> list[Told]:
    return list(run_cases())


def test_each_case_ends_in_one_line_and_no_weight_is_fetched_too_early(told: list[Told]) -> None:
    assert [one.case for one in told] == list(CASES)
    for one in told:
        case, output = one.case, one.fetched.output
        assert (one.fetched.status == 0) is (one.fetched.record is not None) is case.ends_well, case.title
        assert case.ends_well or one.fetched.error, "one line with the word error"
        assert case.fetches or (one.sent == 0 and one.ranges == ()), case.title
        assert "Traceback" not in output
        assert not [secret for secret in (TOKEN, "secret-of-the-storage", "127.0.0.1") if secret in output], case.title


def test_what_was_cut_goes_on_where_it_broke(told: list[Told]) -> None:
    ranges = {one.case.title: one.ranges for one in told}
    assert ranges["A connection that is cut"] == (None, "bytes=20000-")
    assert ranges["A run that broke off, then run again"] == ("bytes=20000-",)


def test_every_line_is_another(told: list[Told]) -> None:
    refused = [one.line for one in told if not one.case.ends_well]
    alike = {line for line in refused if refused.count(line) > 1}
    assert not alike


def test_the_docs_hold_the_table_as_it_comes_out(told: list[Told]) -> None:
    assert to_markdown(told) in DOCS.read_text(encoding="utf-8"), "python tests/hub_cases.py prints the table anew"
