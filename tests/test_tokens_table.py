"""Embedding and head rows of selections, counted with loops."""

from __future__ import annotations

import pandas as pd
import pytest

from critical_weights.files import read_json, write_json
from critical_weights.model.source import fetch_model
from critical_weights.structure.selections import Selection
from critical_weights.structure.tokens_table import special_tokens, tokens_table
from critical_weights.tables.schema import read_table, write_table
from critical_weights.tables.structure import TOKENS
from critical_weights.texts.calibration import calibrate
from script_call import call_script
from synthetic_stores import VOCABULARY, default_specs, facts_of, write_study
from tiny_models import save_tiny_folder

FACTS = facts_of(default_specs())
TEXTS = [[0, 1, 2, 1], [0, 3, 1], [1, 5]]
TOKEN_FILE = {"calibration": TEXTS, "vocabulary": [*VOCABULARY[:-1], ""],
              "special": {"bos": 0, "eos": 3, "unk": None, "pad": 3}}  # fmt: skip
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
QUERY = "model.layers.0.self_attn.q_proj.weight"


def selection(rows, label="gradsq_global_k9"):
    """Return a selection from (tensor, index text, score)."""
    frame = pd.DataFrame(rows, columns=["parameter", "indices", "sensitivity_score"])
    return Selection(label, "grad_squared", "global", 9, frame)


def test_rows_are_counted_with_their_tokens_and_texts():
    rows = [(EMBEDDING, "(1, 0)", 8.0), (EMBEDDING, "(1, 3)", 4.0), (EMBEDDING, "(4, 2)", 2.0), (HEAD, "(3, 5)", 1.0),
            (HEAD, "(12, 0)", 0.5), (HEAD, "(2, 0)", 0.0), (QUERY, "(0, 1)", 0.5)]  # fmt: skip
    table = tokens_table([selection(rows)], FACTS, TOKEN_FILE)
    used = [row for row in rows if row[2] > 0]
    assert len(table) == 4
    ids = [token for text in TEXTS for token in text]
    for row in table.to_dict("records"):
        own = [r for r in used if r[0] == row["parameter"] and r[1].startswith(f"({row['row']},")]
        assert row["selected"] == len(own)
        assert row["share"] == pytest.approx(len(own) / len(used))
        assert row["score_sum"] == sum(r[2] for r in own)
        assert row["score_share"] == pytest.approx(row["score_sum"] / sum(r[2] for r in used))
        assert row["count"] == ids.count(row["row"])
        assert row["first_count"] == sum(text[0] == row["row"] for text in TEXTS)
        assert row["target_count"] == sum(text[1:].count(row["row"]) for text in TEXTS)
        assert row["count_share"] == pytest.approx(row["count"] / len(ids))
        assert row["unseen"] == (row["count"] == 0)
        assert row["token"] == TOKEN_FILE["vocabulary"][row["row"]]
    assert table[["parameter", "row", "special", "unseen"]].to_numpy().tolist() == [
        [EMBEDDING, 1, "", False], [EMBEDDING, 4, "", True], [HEAD, 3, "EOS/PAD", False], [HEAD, 12, "no token", True],
    ]  # fmt: skip


def test_nothing_but_token_rows_is_a_token(tmp_path):
    other = selection([(QUERY, "(0, 1)", 1.0)], "other")
    table = tokens_table([other, selection([], "none")], FACTS, TOKEN_FILE)
    assert table.empty
    write_table(table, tmp_path / "t.csv", TOKENS)
    assert read_table(tmp_path / "t.csv", TOKENS).empty
    both = tokens_table([other, selection([(HEAD, "(0, 1)", 1.0)])], FACTS, TOKEN_FILE)
    assert list(both["special"]) == ["BOS"]


def test_the_order_of_rows_changes_nothing():
    rows = [(name, f"({i % 13}, {i % 6})", 1.0 + i % 3) for name in (EMBEDDING, HEAD) for i in range(40)]
    rows = list(dict.fromkeys(rows))
    rows = [row for i, row in enumerate(rows) if row[:2] not in [r[:2] for r in rows[:i]]]
    table = tokens_table([selection(rows)], FACTS, TOKEN_FILE)
    pd.testing.assert_frame_equal(tokens_table([selection(rows[::-1])], FACTS, TOKEN_FILE), table)


def test_a_token_behind_ids_that_no_token_has_keeps_its_name(tmp_path):
    folder = save_tiny_folder(tmp_path / "tiny", "llama", vocab_size=320)
    file = read_json(folder / "tokenizer.json")
    (name,) = (name for name, number in file["model"]["vocab"].items() if number == 299)
    file["model"]["vocab"][name] = 310
    write_json(folder / "tokenizer.json", file)
    (tmp_path / "texts.txt").write_text("The cat sat on the mat.\n", encoding="utf-8")
    limits = {"max_samples": 1, "max_length": 20, "seed": 0}
    record = fetch_model("tiny", "local", path=str(folder))
    vocabulary = calibrate(record, phase="p", texts=str(tmp_path / "texts.txt"), **limits)["vocabulary"]
    assert [number for number, token in enumerate(vocabulary) if not token] == [*range(299, 310), *range(311, 320)]
    assert vocabulary[310] == name


def test_special_tokens_are_named_as_the_tokenizer_sets_them():
    assert special_tokens({"special": {"bos": 7, "eos": 7, "unk": None, "pad": 1}}) == {7: "BOS/EOS", 1: "PAD"}
    assert special_tokens({}) == {}


@pytest.mark.parametrize("script", ["rank", "structure", "first_position"])
def test_tokens_changed_by_hand_are_refused(script, tmp_path, capsys):
    folder = write_study(tmp_path, metrics=["grad_squared"])
    store, out = folder / "scores" / "gradsq.h5", tmp_path / "out.csv"
    own = {"rank": ("--store", store, "--mode", "global", "--k", 3), "structure": ("--stores", store, "--tokens-output",
           tmp_path / "tokens.csv"), "first_position": ("--stores", store)}[script]  # fmt: skip
    files = ("--facts", folder / "model.json", "--tokens", folder / "tokens.json", "--output", out)
    assert call_script(script, *own, *files) == 0
    write_json(folder / "tokens.json", read_json(folder / "tokens.json") | {"calibration_sha256": "another"})
    assert call_script(script, *own, *files) == 1
    assert "are not those that it was made with" in capsys.readouterr().err
