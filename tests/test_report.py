import base64
import csv
import html
import json
import re
import resource
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from critical_weights.errors import ConfigError, CriticalWeightsError, TableError
from critical_weights.report import write_report
from critical_weights.report.analysis import at_one_k
from critical_weights.report.experiments import exact_prefix
from critical_weights.report.facts_stability import read_stability
from critical_weights.report.findings import findings
from critical_weights.report.findings_stability import held
from critical_weights.report.heatmap import heatmaps, level
from critical_weights.report.render import cell, digest, markdown, render
from critical_weights.report.show import bounded, bounded_share, listed, plural, real, share, size, token
from critical_weights.report.summary import limits
from critical_weights.tables.interventions import SINGLE_WEIGHTS
from critical_weights.tables.schema import OVERLAP, read_table, write_table
from critical_weights.tables.stability import STABILITY, TOO_HIGH
from critical_weights.tables.superweights import SUPERWEIGHTS
from report_counts import sizes
from report_numbers import known, told
from synthetic_analysis import table_of
from synthetic_report import super_weight, write_interventions, write_rows
from synthetic_results import MODEL, TENSORS, experiments, finish, make_results, make_scores, rank

SCRIPTS = Path(__file__).parents[1] / "workflow" / "scripts"
LABELS = ["gradsq_perlayer_k3", "gradxw_perblock_k6", "mag_global_k20"]
LONG = ("research_summary.md", "quantitative_summary.md", "report.html")
PAGES = (*LONG, "comprehensive_results_summary.md")
FILES = "export_summary.md"
TIMES = re.compile(r"^<!-- times -->$.*?^<!-- /times -->$", flags=re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    root = make_results(tmp_path_factory.mktemp("study") / "results", LABELS, everything=True)
    return root, finish(root, LABELS)


@pytest.fixture
def root(tmp_path):
    root = make_results(tmp_path / "results", LABELS, everything=True)
    finish(root, LABELS)
    return root


@pytest.fixture(scope="module")
def facts(study):
    return json.loads((study[1] / "quantitative_results.json").read_text())


def again(root, labels=LABELS):
    write_report(root, "p2", MODEL, experiments(labels), root / "p2" / MODEL / "report")
    return root / "p2" / MODEL / "report"


def change(path, alter):
    value = json.loads(path.read_text())
    alter(value)
    path.write_text(json.dumps(value))


class Page(HTMLParser):
    """What a page asks of a browser: elements with their attributes."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.wrong = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in ("meta", "img", "br", "wbr", "link", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


def test_html_is_one_file_that_asks_nothing_of_a_network(study):
    text = (study[1] / "report.html").read_text()
    page = Page(text)
    tags = [tag for tag, _ in page.elements]
    assert not {"link", "iframe", "object", "form"} & set(tags)
    pictures = [attributes for tag, attributes in page.elements if tag == "img"]
    files = [path.read_bytes() for path in (study[0] / "p2" / MODEL).glob("*/plots/*.png")]
    assert len(files) > 3 * len(LABELS)
    shown = [f"data:image/png;base64,{base64.b64encode(file).decode()}" for file in files]
    assert sorted(p["src"] for p in pictures) == sorted(shown)
    assert all(p["alt"] for p in pictures)
    assert not re.search(r"src=(?![\"']data:)|url\(|@import|(?:https?:)?//[a-z]", text.split("<script>")[0])
    assert "default-src 'none'" in text


def test_the_pages_own_script_is_the_only_one_that_may_run(study):
    text = (study[1] / "report.html").read_text()
    (script,) = re.findall(r"<script>(.*?)</script>", text, flags=re.DOTALL)
    assert text.count("<script") == 1
    assert f"script-src '{digest(script)}'\"" in text


def test_links_lead_to_files_that_are_there(study):
    for name, pattern in (("report.html", r'href="([^"#][^"]*)"'), ("research_summary.md", r"\]\(([^)]*)\)")):
        links = set(re.findall(pattern, (study[1] / name).read_text()))
        assert len(links) > 10
        assert [link for link in links if not (study[1] / link).is_file()] == []


def test_html_is_well_formed_and_its_anchors_lead_somewhere(study):
    page = Page((study[1] / "report.html").read_text())
    assert (page.open, page.wrong) == ([], [])
    names = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    links = [attributes["href"] for tag, attributes in page.elements if tag == "a"]
    targets = [link[1:] for link in links if link.startswith("#")]
    assert len(names) == len(set(names))
    assert targets
    assert set(targets) <= set(names)


def test_tokens_can_neither_run_nor_hide_nor_pass_for_the_times_section(study):
    for name in PAGES:
        text = (study[1] / name).read_text()
        assert "\u202e" not in text
        assert "\u0301" not in text
        assert len(TIMES.findall(text)) == 1
        assert text.splitlines().count("<!-- times -->") == 1
    assert "&lt;!--␣times␣--&gt;" in (study[1] / "report.html").read_text()


@pytest.mark.parametrize(
    "text, shown",
    [
        ("Ġthe", "Ġthe"),
        ("▁naïve", "▁naïve"),
        ("日本", "日本"),
        (" ", "␣"),
        ("\n", "\\n"),
        ("\\n", "\\\\n"),
        ("\t\r", "\\t\\r"),
        ("\u202eevil", "\\u{202e}evil"),
        ("\u0301", "\\u{301}"),
        ("e\u0301", "e\u0301"),
        ("\x00\x1b[31m", "\\u{0}\\u{1b}[31m"),
        ("\ud800", "\\u{d800}"),
        ("\u2028\xa0\u200b", "\\u{2028}\\u{a0}\\u{200b}"),
        ("x" * 50, "x" * 40 + "... (50 characters)"),
    ],
)
def test_every_character_of_a_token_can_be_seen(text, shown):
    assert token(text) == shown


def test_markdown_tables_have_as_many_cells_as_headings(study):
    for name in (*PAGES[:2], "comprehensive_results_summary.md", FILES):
        width = None
        tables = 0
        for line in (study[1] / name).read_text().splitlines():
            if not line.startswith("|"):
                width = None
                continue
            cells = len(re.split(r"(?<!\\)\|", line)) - 2
            tables += width is None
            width = width or cells
            assert cells == width, line
        assert tables > (10 if name in LONG else 1)


@pytest.mark.parametrize(
    "text, kind, wanted",
    [
        ("a|b`c", "code", "`` a\\|b`c ``"),
        ("plain", "code", "`plain`"),
        ("-", "code", "-"),
        ("a*b* <x> [y]", "text", "a\\*b\\* \\<x\\> \\[y\\]"),
        ("1/2 * h * w", "text", "1/2 * h * w"),
        ("sum_s _x_", "text", "sum_s \\_x\\_"),
        ("two\nlines", "text", "two lines"),
        ("two\nlines", "code", "`two lines`"),
    ],
)
def test_markdown_escapes(text, kind, wanted):
    assert cell(text, kind) == wanted
    assert kind == "code" or markdown(text) == wanted


@pytest.mark.parametrize(
    "got, wanted",
    [
        (real(0.00012346), "0.0001235"),
        (real(1.5e-7), "1.5e-07"),
        (real(63754.2), "63,750"),
        (real(182.4, 2), "180"),
        (real(99.6, 2), "1e+02"),
        (real(None), "not applicable"),
        (share(2.8e-6), "0.00028 %"),
        (share(0.5), "50 %"),
        (share(0.99949), "99.9 %"),
        (share(1 - 3.3e-5), "99.997 %"),
        (share(1 - 2e-11), "99.999999998 %"),
        (share(1 - 1e-15), "100 %"),
        (share(1.0), "100 %"),
        (share(1.0004), "100 %"),
        (bounded(0.5, 0.5, 0.5), "0.5"),
        (bounded(0.5, 0.4, 0.6), "0.5 (0.4 to 0.6)"),
        (bounded_share(0.5, 0.49, 0.51), "50 % (49 to 51 %)"),
        (bounded_share(0.5, 0.49999999, 0.5), "50 %"),
        (size(999), "999 B"),
        (size(8_030_261_248), "8.03 GB"),
        (size(None), "not recorded"),
        (listed(["a", "b", "c"]), "a, b and c"),
        (listed(["a"]), "a"),
        (plural(1, "text"), "1 text"),
        (plural(1000, "text"), "1,000 texts"),
    ],
)
def test_numbers_are_written_with_digits_that_mean_something(got, wanted):
    assert got == wanted


def test_best_weights_are_those_of_a_full_sort(facts):
    scores = make_scores("gradxw", 0)
    flat = sorted(
        ((-float(score), place, index) for place, (name, *_) in enumerate(TENSORS)
         for index, score in enumerate(scores[name].ravel())),
    )  # fmt: skip
    top = facts["metrics"]["grad_x_weight"]["top"]
    assert facts["metrics"]["grad_x_weight"]["top_exact"] == 10
    for row, (score, place, index) in zip(top, flat, strict=False):
        columns = scores[TENSORS[place][0]].shape[1]
        assert (row["parameter"], row["row"], row["col"]) == (TENSORS[place][0], *divmod(index, columns))
        assert row["sensitivity_score"] == pytest.approx(-score, rel=1e-6)


def test_scores_in_the_json_are_the_shortest_decimals_of_the_csvs_float32(study, facts):
    line = (study[0] / "p2" / MODEL / LABELS[0] / "top_weights.csv").read_text().splitlines()[1]
    assert repr(facts["metrics"]["grad_squared"]["top"][0]["sensitivity_score"]) in line


@pytest.mark.parametrize("mode", ["perlayer", "perblock", "global"])
@pytest.mark.parametrize("k", [1, 3, 7, 30, 200])
def test_exact_prefix_is_the_longest_that_a_selection_can_vouch_for(mode, k):
    for seed in range(6):
        (run,) = experiments([f"gradsq_{mode}_k{k}"])
        (everything,) = experiments(["gradsq_global_k1000"])
        scores = make_scores("gradsq", seed)
        tensors = {name: {"layer": layer, "num_weights": scores[name].size} for name, _, layer, _ in TENSORS}
        ranking, full = rank(run, scores), rank(everything, scores)
        n = exact_prefix(ranking, run, tensors)
        addresses = [list(zip(frame["parameter"], frame["indices"], strict=True)) for frame in (ranking, full)]
        assert addresses[0][:n] == addresses[1][:n]
        if n < len(addresses[0]):
            # Behind it stands a weight whose predecessor may be one that was not selected: the group has run out.
            assert n > 0
            of_group = [
                r for r in range(len(ranking)) if group(ranking.iloc[r], mode) == group(ranking.iloc[n - 1], mode)
            ]
            assert of_group[-1] == n - 1
        else:
            assert mode == "global" or k >= min(t["num_weights"] for t in tensors.values())


def group(row, mode):
    return row["parameter"] if mode == "perlayer" else str(row["layer"]) if mode == "perblock" else 0


def test_a_selection_that_leaves_out_a_whole_group_vouches_for_nothing():
    (run,) = experiments(["gradsq_perlayer_k3"])
    scores = make_scores("gradsq", 0)
    tensors = {name: {"layer": layer, "num_weights": scores[name].size} for name, _, layer, _ in TENSORS}
    ranking = rank(run, scores)
    assert exact_prefix(ranking[ranking["parameter"] != TENSORS[1][0]], run, tensors) == 0


def test_shares_of_the_total_score_add_up_over_components_and_blocks(facts):
    for run in facts["experiments"].values():
        selection = run["selection"]
        for key in ("by_component", "by_layer"):
            parts = sum(part["share_of_score"] for part in selection[key].values())
            assert parts == pytest.approx(selection["share_of_score"], rel=1e-6)


def test_distribution_is_over_all_weights(facts):
    scores = make_scores("mag", 0)
    overall = facts["metrics"]["magnitude"]["overall"]
    everything = [float(s) for values in scores.values() for s in values.ravel()]
    assert overall["num_weights"] == 120
    assert overall["max_over_mean"] == pytest.approx(max(everything) / (sum(everything) / 120))
    assert overall["zeros"] == sum(s == 0 for s in everything) == 4


def test_corpus_loss_and_checks_say_which_metrics_they_are_of(facts):
    (loss,) = facts["corpus_loss"]
    assert loss["metrics"] == ["grad_squared", "grad_x_weight"]
    assert (loss["value"], loss["n_texts"], loss["n_tokens"]) == (3.25, 7, 63)
    assert [check["metrics"] for check in facts["checks"]] == [["grad_squared", "grad_x_weight"], ["magnitude"]]


def test_what_a_metric_does_not_have_is_said_below_the_table(study):
    text = (study[1] / "quantitative_summary.md").read_text()
    best = text[text.index("**Best weights by magnitude**") :].split("**")[2]
    rows = [line for line in best.splitlines() if line.startswith("| ") and line[2].isdigit()]
    assert len(rows) == 10
    assert "gradient" not in best.split("\n\n")[1]
    assert "No row has a value for: mean gradient (nats per token / weight)." in best


def test_both_counts_of_tensors_and_weights_are_reported(study):
    for name in LONG:
        text = (study[1] / name).read_text()
        assert "5 of 6 (83.3 %)" in text
        assert "120 of 124 (96.8 %)" in text


def test_repeated_texts_are_not_counted_as_different_ones(study):
    assert "one set of 7 texts, 5 of them different" in (study[1] / "research_summary.md").read_text()


def test_estimates_from_random_probes_are_called_so(facts):
    facts = json.loads(json.dumps(facts))
    assert "random probes" not in limits(facts)
    facts["metrics"]["magnitude"]["family"] = "curvature"
    assert limits(facts).endswith("Scores by magnitude are estimates from random probes.")


def test_what_is_not_measured_follows_what_was_measured(facts):
    facts = json.loads(json.dumps(facts))
    assert "is under Stability" in limits(facts)
    assert "when a weight is changed is not measured here" in limits(facts)
    facts["validation"] = {"verdict": []}
    assert "is under Validation" in limits(facts)
    unknown = "how far other texts would change them is not measured here"
    for row in facts["stability"]["verdicts"]:
        row["method"] = "probes"  # drawn again were probes alone
    assert unknown in limits(facts)
    facts["stability"] = None
    assert unknown in limits(facts)


def test_where_no_metric_reads_texts_nothing_is_said_of_them(facts):
    facts = json.loads(json.dumps(facts))
    facts["metrics"] = {"magnitude": facts["metrics"]["magnitude"]}
    facts |= {"corpus_loss": [], "stability": None}
    assert limits(facts).startswith("no metric here reads texts: how the model is used does not enter the scores. A ")
    assert "one set of" not in limits(facts)


def test_the_finding_on_laws_names_the_metrics_it_is_about(facts):
    told = finding(facts, "Whether the scores can be right")["text"]
    assert told.startswith("1 conservation law can be checked on this model, on the gradients behind grad_squared and")
    assert "magnitude" not in told


def test_every_finding_is_on_the_pages_and_in_the_json(study, facts):
    assert len(facts["findings"]) >= 12
    page, md = (html.unescape((study[1] / name).read_text()) for name in ("report.html", "research_summary.md"))
    assert "of all; there are 3 here." in md
    for finding in facts["findings"]:
        assert finding["name"] in page
        assert finding["text"].replace(" %", "\u00a0%") in page, "no line begins with a sign of percent"
        assert finding["name"] in md


ON_TABLES = (
    "agreement",
    "structure",
    "tokens",
    "first_position",
    "superweights",
    "stability",
    "criteria",
    "validation",
)


def finding(facts, name):
    return next(f for f in findings(facts) if f["name"] == name)


def test_findings_follow_the_figures(facts):
    facts = json.loads(json.dumps(facts))
    parts = facts["metrics"]["grad_squared"]["concentration"]["by_component"]
    assert "lies in embed_tokens: 98.8 % by grad_squared" in finding(facts, "Where the score lies")["text"]
    parts["q_proj"]["score_share"], parts["embed_tokens"]["score_share"] = 0.9876, 0.001
    assert "q_proj: 98.8 % by grad_squared" in finding(facts, "Where the score lies")["text"]
    facts["metrics"]["magnitude"]["overall"]["max_over_mean"] = 5e5
    assert (
        "The most peaked of 3 metrics is magnitude: its largest score is 500,000 times"
        in (finding(facts, "How peaked the scores are")["text"])
    )


def test_a_failed_law_is_the_first_thing_said_of_it(facts):
    facts = json.loads(json.dumps(facts))
    facts["checks"][0]["laws"][0] |= {"status": "failed", "error": 0.5}
    told = finding(facts, "Whether the scores can be right")
    assert "0 passed, 1 failed, so the scores of that pass are not to be trusted" in told["text"]


def first_of(facts, name="Which weight leads"):
    return finding(facts, name)["text"]


def test_the_second_of_two_metrics_is_said_to_put_another_weight_first(facts):
    facts = json.loads(json.dumps(facts))
    del facts["metrics"]["magnitude"], facts["experiments"][LABELS[2]]
    one, other = facts["metrics"].values()
    assert (one["top"][0]["indices"], first_of(facts).count("puts")) == (other["top"][0]["indices"], 1)
    other["top"][0]["indices"] = "(9, 3)"
    assert first_of(facts).endswith("; the other metric puts another weight first.")


def test_weights_that_lead_together_are_not_told_as_one(facts):
    facts = json.loads(json.dumps(facts))
    rows = facts["metrics"]["grad_squared"]["top"]
    assert ", as do" not in first_of(facts)
    rows[1]["sensitivity_score"] = rows[0]["sensitivity_score"]
    assert "the median of all weights, as does the second; " in first_of(facts)
    rows[2]["sensitivity_score"] = rows[0]["sensitivity_score"]
    assert f"the median of all weights, as do 2 more of the first {len(rows)}; " in first_of(facts)


def test_pairs_that_share_as_little_are_counted(facts):
    facts = json.loads(json.dumps(facts))
    rows = [row for row in facts["overlap"]["global"] if row["k"] == "30"]
    for row, shared in zip(rows, (3, 1, 2), strict=True):
        row["shared"] = shared
    assert "as do" not in first_of(facts, "How far the metrics agree")
    rows[2]["shared"] = 1
    assert first_of(facts, "How far the metrics agree").endswith(", as does 1 more pair.")
    rows[0]["shared"] = 1
    assert first_of(facts, "How far the metrics agree").endswith(", as do 2 more pairs.")


def test_a_selection_of_one_weight_is_told_in_the_singular(facts):
    facts = json.loads(json.dumps(facts))
    run = facts["experiments"][LABELS[2]]
    run["selection"] |= {"num_weights": 1, "share_of_score": 0.75}
    assert first_of(facts, "How much the selections hold").startswith(
        f"The 1 weight of {LABELS[2]} (0.833 % of 120) holds"
    )


def test_a_component_is_not_said_to_hold_no_more_than_chance_where_that_is_not_known(facts):
    facts = json.loads(json.dumps(facts))
    assert "45 % by magnitude (not told apart from chance)" in first_of(facts, "Where the global selections lie")
    for row in facts["structure"]["components"]:
        row["p"] = None
    assert "chance" not in first_of(facts, "Where the global selections lie")


def test_tokens_stand_in_quotes_and_rows_that_lead_are_not_called_most(facts):
    facts = json.loads(json.dumps(facts))
    told_now = first_of(facts, "Which tokens lead")
    assert "hold the most of the first 20" in told_now
    rows = facts["tokens"]["first"]
    for row, text in zip(rows, (".", "שש (1"), strict=False):
        row |= {"token": text, "selection": rows[0]["selection"], "share": 0.9 - 0.1 * (text != ".")}
    told_now = first_of(facts, "Which tokens lead")
    assert "“.” in " in told_now
    assert "“\u2068שש␣(1\u2069” in " in told_now, "apart from the words, whose order it would turn"


def test_shares_of_rankings_that_do_not_hold_are_those_of_two_halves(facts):
    facts = json.loads(json.dumps(facts))
    half = "first 30 two halves (or estimates) share "
    assert f"; of the others' {half}0.31 (0.25 to 0.38) (grad_squared) of the union." in first_of(
        facts, "How far the rankings hold"
    )
    for row in facts["stability"]["verdicts"]:
        row["largest_k"] = 0
    assert f"; of their {half}0.71 (0.65 to 0.78) (grad_x_weight) and 0.31" in first_of(
        facts, "How far the rankings hold"
    )


def test_what_makes_a_ranking_trusted_is_told_below_the_table(root):
    write_interventions(root / "p2" / MODEL)
    assert "Trust: place by the number of others that a ranking is better than" in (again(root) / PAGES[0]).read_text()


def test_a_part_below_zero_is_explained(facts):
    facts = json.loads(json.dumps(facts))
    name = "What the first position does"
    assert "below 0" not in finding(facts, name)["sure"]
    for metric in facts["first_position"]["metrics"].values():
        metric["share"] = -0.001
    assert "Where its part is below 0, the score grows without it." in finding(facts, name)["sure"]


RANKING = {"metric": "grad_squared", "mode": "global", "intervention": "zero", "verdict": "above controls", "wins": 0,
           "k_low": 1, "k_high": 10, "k_compared": 10, "nonfinite_texts": 0, "area": 0.4, "area_low": 0.3,
           "area_high": 0.5, "gain_matched": 0.3, "gain_matched_low": 0.2, "gain_matched_high": 0.4, "n_texts": 3,
           "seeds": 5, "draws": 1000}  # fmt: skip


@pytest.mark.parametrize(
    "first, others, begins, holds",
    [
        ({}, [{"area": 0.1}], "Of 2 rankings tried, grad_squared (global) finds the weights whose change (zero) hurts "
         "most: 0.4 (0.3 to 0.5) nats per token over k from 1 to 10, 0.3 (0.2 to 0.4) more than as many others", True),
        ({"wins": 2}, [{"area": 0.7, "wins": 1}, {"area": None}, {"area": 0.1}], "Of 4 rankings tried, grad_squared "
         "(global) comes first, surely doing more damage than 2 others: its change (zero) moves the loss: 0.4", False),
        ({"area": -0.01, "area_low": -0.02, "area_high": 0.0}, [{"area": -0.02}], "Of 2 rankings tried, grad_squared "
         "(global) comes first, surely doing more damage than 0 others: its change (zero) moves the loss: -0.01 (",
         False),
        ({"k_low": 10}, [], "Changing (zero) the first weights by grad_squared (global) moves the loss: 0.4 (0.3 to "
         "0.5) nats per token at k 10, 0.3", False),
        ({"gain_matched": -0.03, "gain_matched_low": -0.04, "gain_matched_high": 0.01}, [], "Changing (zero) the first "
         "weights by grad_squared (global) moves the loss: 0.4 (0.3 to 0.5) nats per token over k from 1 to 10, a "
         "difference of -0.03 (-0.04 to 0.01) to as many others of the same size; it is", False),
    ],
    ids=["most", "another does more", "no damage", "one k", "less than controls"],
)  # fmt: skip
def test_the_first_ranking_hurts_most_only_where_it_does(facts, first, others, begins, holds):
    verdict = [RANKING | first, *(RANKING | other for other in others)]
    told_now = first_of(facts | {"validation": {"verdict": verdict}}, "Whether the weights really matter")
    assert told_now.startswith(begins)
    assert ("hurts most" in told_now) == holds


def test_findings_of_one_metric_compare_nothing(facts):
    facts = json.loads(json.dumps(facts))
    facts["metrics"] = {"magnitude": facts["metrics"]["magnitude"]}
    facts["experiments"] = {LABELS[2]: facts["experiments"][LABELS[2]]}
    facts["overlap"], facts["checks"] = {"global": [], "tensor": []}, []
    facts |= dict.fromkeys(ON_TABLES)
    told = findings(facts)
    assert [f["name"] for f in told] == [
        "Which weight leads", "How much the selections hold", "How peaked the scores are", "Where the score lies",
    ]  # fmt: skip
    assert not any("metrics" in f["text"] for f in told)


def test_an_overlap_that_is_not_exact_makes_no_finding(facts):
    facts = json.loads(json.dumps(facts))
    for row in facts["overlap"]["global"]:
        row["complete"] = False
    assert "How far the metrics agree" not in [f["name"] for f in findings(facts)]


def test_agreement_is_held_against_chance_for_all_pairs_together(facts):
    facts = json.loads(json.dumps(facts))
    rows = [row for row in facts["overlap"]["global"] if row["k"] == "30"]
    for row, p in zip(rows, (0.0, 0.003, 0.004), strict=True):
        row["p"] = p
    sure = finding(facts, "How far the metrics agree")["sure"]
    assert "In 2 of 3 pairs more is shared than free draws would share (hypergeometric, p below 0.01 / 3)." in sure


def test_settings_that_differ_say_whose_they_are(root):
    path = root / "p2" / MODEL / LABELS[0] / "config.json"
    change(path, lambda config: config.update(scoring={"probes": 10}))
    text = (again(root) / "research_summary.md").read_text()
    assert "| `phase.seed` | 42 |" in text
    assert f"| `scoring.probes` | 10 ({LABELS[0]}); not set ({LABELS[1]}, {LABELS[2]}) |" in text


def rewrite(root, name, alter):
    """Change the rows of a result table by hand."""
    path = root / "p2" / MODEL / name
    with path.open(newline="") as file:
        lines = list(csv.DictReader(file))
    for row in lines:
        alter(row)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)


@pytest.mark.parametrize(
    "fails, answered, words",
    [([], None, "up to the first 300"), ([10, 30], 1000, "up to the first 300 (not at 10 and 30)"),
     ([10], 300, "up to the first 300 (not at 10; of more the kept candidates cannot tell)")],
)  # fmt: skip
def test_how_far_a_ranking_holds_is_told_with_its_exceptions(fails, answered, words):
    assert held({"largest_k": 300, "fails_at": fails, "answered_to": answered}) == words


def test_a_verdict_names_the_smaller_k_that_fail_and_the_last_that_was_answered(tmp_path):
    """As taylor_abs of the bundled model: its first 10 share less than the threshold, its first 300 more."""
    own = {"metric": "taylor_abs", "mode": "global", "unit": "", "note": ""}
    lows = ((10, 0.25, ""), (30, 0.6, ""), (300, 0.7, ""), (1000, 0.8, TOO_HIGH))
    rows = [own | {"k": k, "method": "halves", "quantity": "jaccard", "value": low, "low": low, "high": 1.0,
                   "expected": 0.1, "note": note} for k, low, note in lows]  # fmt: skip
    rows.append(own | {"method": "verdict", "quantity": "largest_k", "value": 300.0, "expected": 0.5})
    write_table(table_of(STABILITY, rows), tmp_path / STABILITY.name, STABILITY)
    (verdict,) = read_stability(tmp_path)["verdicts"]
    assert (verdict["largest_k"], verdict["fails_at"], verdict["answered_to"]) == (300, [10], 300)


def texts(root):
    facts = json.loads((again(root) / "quantitative_results.json").read_text())
    return {one["name"]: one["text"] for one in facts["findings"]}


BY_HAND = [
    ("How far the rankings hold", "analysis/stability.csv",
     lambda row: row.update(value="77") if (row["quantity"], row["metric"]) == ("largest_k", "grad_squared") else None,
     "1 holds when the texts or probes change: grad_x_weight up to the first 30",
     "2 hold when the texts or probes change: grad_squared up to the first 77 (not at 10 and 30) and grad_x_weight"),
    ("Whether the best weights come in lines", "analysis/structure.csv",
     lambda row: row.update(value="0.4321") if (row["selection"], row["scope"], row["quantity"]) == (
         "gradxw_global_k20", "all", "best_5_share") else None,
     ", and as large a part by 2 more metrics; row 1", ", the largest part of 3 metrics, level with grad_squared, and "
     "43.2 % (by chance"),
    ("Where the global selections lie", "analysis/structure.csv",
     lambda row: row.update(value="0.987", p="1e-9") if (row["selection"], row["name"], row["quantity"]) == (
         "mag_global_k20", "q_proj", "selected_share") else None,
     "45 % by magnitude (not told apart from chance)", "in q_proj (26.7 % of the scored weights): 98.7 % by magnitude"),
    ("Which tokens lead", "analysis/tokens.csv",
     lambda row: row.update(share="0.75", selected="15") if (row["selection"], row["row"]) == (
         "mag_global_k20", "1") else None,
     "“Ġthe” in embed_tokens (4; 2 occ", "(15; 2 occurrences in the texts; Ġ marks a leading space)"),
    ("What the first position does", "analysis/first_position.csv",
     lambda row: row.update(value="0.123") if (row["metric"], row["k"], row["quantity"]) == (
         "grad_x_weight", "30", "overlap") else None,
     "70 % of the first 30 by grad_squared stay", "of each text, 12.3 % of the first 30 by grad_x_weight stay"),
    ("Whether there are super weights", "analysis/spike_profile.csv",
     lambda row: row.update(max_output="39.5") if row["layer"] == "1" else None,
     "no super weight was found in 4 texts (41 tokens)".capitalize(), "is 39.5 in block 1, 2.026 times the median"),
    ("How the declared criteria came out", "analysis/criteria.csv",
     lambda row: row.update(verdict="fail", value="0.2") if row["name"] == "survives" else None,
     "1 passed, 1 failed", "0 passed, 2 failed. Failed: survives (0.2; asked for > 0.3)"),
    ("Whether the metrics order alike", "analysis/agreement.csv",
     lambda row: row.update(value="-0.875") if row["value"] == "0.625" else None,
     "grad_squared and grad_x_weight (0.625, 41 weights) order theirs most alike", "(-0.875, 41 weights) least"),
    ("Whether the weights really matter", "interventions/verdict.csv",
     lambda row: row.update(verdict="not told apart from controls", gain_matched="0.001"),
     "it is above controls", "0.001 (0.37 to 0.46) more than as many others of the same size; it is not told apart"),
]  # fmt: skip


@pytest.mark.parametrize("name, file, alter, before, after", BY_HAND, ids=[case[0] for case in BY_HAND])
def test_a_result_file_changed_by_hand_changes_the_sentence(root, name, file, alter, before, after):
    write_interventions(root / "p2" / MODEL)
    assert before in texts(root)[name]
    rewrite(root, file, alter)
    assert after in texts(root)[name]
    for page in ("research_summary.md", "report.html"):
        text = (root / "p2" / MODEL / "report" / page).read_text()
        assert after.split("(")[0].strip() in html.unescape(text).replace("\\", "").replace("\u00a0", " ")


def test_a_super_weight_is_told_with_its_rank(root):
    path = root / "p2" / MODEL / "analysis" / "superweights.csv"
    write_rows([super_weight("grad_squared"), super_weight("magnitude") | {"rank": None, "rank_above": 50}], path,
               SUPERWEIGHTS)  # fmt: skip
    told = texts(root)["Whether there are super weights"]
    assert told.startswith(
        "1 place with an activation spike in 4 texts (41 tokens): model.layers.0.mlp.down_proj.weight"
    )
    assert "[1, 2] (early), 12.25 times the median of the other blocks, rank 3 by grad_squared" in told
    assert "beyond 50" in (root / "p2" / MODEL / "report" / "research_summary.md").read_text()


def write_what_is_new(folder):
    """Write what results of earlier versions lack: single weights and the stricter overlap."""
    write_interventions(folder)
    own = {"component": "q_proj", "weight": 0.5, "change": -0.5, "gradient": 0.0, "first_order": 0.0,
           "second_order": 0.0, "n_texts": 3, "n_tokens": 27}  # fmt: skip
    first = pd.concat([pd.read_csv(path).head(4) for path in sorted(folder.glob("*/top_weights.csv"))])
    places = first[["parameter", "indices"]].drop_duplicates().to_dict("records")
    rows = [own | place | {"number": n, "dnll": -0.0071 - n, "low": -0.0082 - n, "high": -0.0063 - n}
            for n, place in enumerate(places)]  # fmt: skip
    write_rows(rows, folder / "interventions" / SINGLE_WEIGHTS.name, SINGLE_WEIGHTS)
    overlaps = read_table(folder / "analysis" / OVERLAP.name, OVERLAP)
    strict = overlaps[overlaps["scope"] == "global"].assign(scope="global_by_tensor", expected=9.37, p=0.0193)
    write_table(pd.concat([overlaps, strict]), folder / "analysis" / OVERLAP.name, OVERLAP)


def test_every_number_of_the_pages_is_found_again_in_the_result_files(root):
    write_what_is_new(root / "p2" / MODEL)
    report, spelled = again(root), known(root / "p2" / MODEL) | sizes(root / "p2" / MODEL)
    for name in (*PAGES, FILES):
        found = list(told((report / name).read_text()))
        assert len(found) > (900 if name in LONG else 80)
        assert [(number, around) for number, around in found if number not in spelled] == []
    page = (report / "research_summary.md").read_text()
    assert "-0.0071 (-0.0082 to -0.0063) |" in page
    assert "| 9.37 | 0.019 |" in page


def test_a_table_that_was_not_made_leaves_its_section_empty(root):
    for name in ("structure", "tokens", "stability", "weight_stability", "first_position", "superweights", "criteria",
                 "agreement", "sensitivity_table"):  # fmt: skip
        (root / "p2" / MODEL / "analysis" / f"{name}.csv").unlink()
    facts = json.loads((again(root) / "quantitative_results.json").read_text())
    assert [facts[key] for key in ON_TABLES] == [None] * len(ON_TABLES)
    assert len(facts["findings"]) == 6
    text = (root / "p2" / MODEL / "report" / "research_summary.md").read_text()
    assert "**At which k a ranking is more than noise**\n\nNone." in text


def test_tail_indices_are_kept_apart_by_their_k(facts):
    of_metric = facts["metrics"]["magnitude"]["concentration"]
    assert [(f["at"], f["value"]) for f in of_metric["tail_index"]] == [(10.0, 1.25), (20.0, 1.5), (30.0, 1.75)]
    assert of_metric["tail_index_range"]["value"] == 1.5
    assert len(of_metric["top_mean_over_median"]) == 1
    assert of_metric["gini"]["magnitude"] == 0.5


def test_lines_and_pooled_lists_do_not_count_as_weights(facts):
    assert {row["k"] for row in facts["overlap"]["global"]} == {"10", "30"}
    assert len(facts["overlap"]["global"]) == len(facts["overlap"]["pooled"]) == 6
    assert {row["scope"] for row in facts["overlap"]["lines"]} == {"row", "col", "neuron"}
    assert len(facts["overlap"]["lines"]) == 18  # those within one tensor are left out


def test_the_rehearsal_is_among_the_self_checks(study):
    text = (study[1] / "research_summary.md").read_text()
    assert "| `grad_squared and grad_x_weight` | passed | 3 | 5 | 0 | 1.5e-06 | 0.001 | - |" in text
    assert "it is for gradients |" in text


@pytest.mark.parametrize(
    "ratio, step", [(0, 0), (1e-9, 0), (0.01, 0), (0.1, 2), (1, 4), (1.7, 4), (1.8, 5), (100, 8), (1e9, 8)]
)
def test_a_colour_step_is_half_a_power_of_ten(ratio, step):
    assert level(ratio) == step


def test_overlap_is_shown_at_the_largest_k_that_most_pairs_answer():
    def rows(*ks):
        return [{"k": k, "complete": complete} for k, complete in ks]

    assert [r["k"] for r in at_one_k(rows(("30", True), ("100", True), ("3000", True), ("all", True)))] == ["100"]
    assert [r["k"] for r in at_one_k(rows(("30", True), ("30", True), ("100", True), ("100", False)))] == ["30"] * 2
    one_bad = rows(("100", True), ("100", True), ("100", False), ("30", True), ("30", True), ("30", False))
    assert [r["k"] for r in at_one_k(one_bad)] == ["100"] * 3, "one bad metric does not take it from the others"
    assert [r["k"] for r in at_one_k(rows(("30", False), ("100", False)))] == ["30"]
    assert at_one_k([]) == []


def test_report_is_the_same_but_for_its_times(root, study):
    report = root / "p2" / MODEL / "report"
    before = {name: (report / name).read_text() for name in (*PAGES, "quantitative_results.json")}
    for label in LABELS:

        def other_machine(manifest):
            manifest["started"] = "2031-01-01T00:00:00Z"
            manifest["hardware"]["cpu"] = "Another Processor"
            manifest["stages"]["rank"] = {"seconds": 7.0, "peak_memory_bytes": 5}

        change(root / "p2" / MODEL / label / "experiment_manifest.json", other_machine)
    again(root)
    for name in PAGES:
        text = (report / name).read_text()
        assert text != before[name]
        assert "Another Processor" in TIMES.search(text).group()
        assert TIMES.sub("", text) == TIMES.sub("", before[name])
    name = "quantitative_results.json"
    old, new = json.loads(before[name]), json.loads((report / name).read_text())
    assert old.pop("times") != new.pop("times")
    assert old == new


def test_two_reports_of_the_same_files_are_byte_identical(root):
    report = root / "p2" / MODEL / "report"
    before = {path.name: path.read_bytes() for path in report.iterdir()}
    assert {path.name: path.read_bytes() for path in again(root).iterdir()} == before


def test_reports_name_no_folder_of_this_machine(study):
    for path in study[1].iterdir():
        assert str(study[0]) not in path.read_text()


def test_times_and_rates_come_from_the_manifests(root):
    def timed(manifest):
        manifest["scoring"] = {
            "family": "gradient", "stages": {"load": 1.0, "score": 4.0}, "weights": 120, "tensors": 5, "blocks": 2,
            "texts": 7, "peak_memory_bytes": 5_000_000, "device": "cpu", "threads": 2, "weights_per_second": 30.0,
            "tensors_per_second": 1.25, "blocks_per_second": 0.5,
        }  # fmt: skip
        manifest["stages"] = {"plot": {"seconds": 12.0, "peak_memory_bytes": None}}

    change(root / "p2" / MODEL / LABELS[0] / "experiment_manifest.json", timed)
    text = TIMES.search((again(root) / "research_summary.md").read_text()).group()
    assert "| `gradient` | cpu | 2 | 120 | 5 | 2 | 7 | load 1.0 s, score 4.0 s | 30 | 1.25 | 0.5 | 5 MB |" in text
    assert f"| `{LABELS[0]}` | plot | 12 s | not recorded |" in text


def test_no_configured_experiment_is_one_clear_line(tmp_path):
    with pytest.raises(ConfigError, match="no experiment is configured for phase 'p2' and model 'tiny'"):
        write_report(tmp_path, "p2", "tiny", [], tmp_path / "report")


def test_scores_of_another_model_are_refused(root):
    change(root / "p2" / MODEL / "model.json", lambda facts: facts.update(sha256="0" * 64))
    with pytest.raises(TableError, match=rf"experiment p2/tiny/{LABELS[0]} was made with another model"):
        again(root)


def test_scores_of_another_metric_are_refused(root):
    path = root / "p2" / MODEL / LABELS[0] / "sensitivity_stats.json"
    change(path, lambda stats: stats["store"].update(metric="obd"))
    with pytest.raises(TableError, match="holds another metric's scores; got obd; expected grad_squared"):
        again(root)


@pytest.mark.parametrize(
    "name", ["model.json", "calibration.json", "analysis/overlap.csv", f"{LABELS[1]}/experiment_manifest.json"]
)
def test_a_missing_file_is_named(root, name):
    (root / "p2" / MODEL / name).unlink()
    with pytest.raises(CriticalWeightsError, match=name):
        again(root)


def test_a_figure_that_was_not_drawn_leaves_a_note(root):
    for path in (root / "p2" / MODEL / LABELS[0] / "plots").iterdir():
        path.unlink()
    text = (again(root) / "report.html").read_text()
    assert text.count("No figure was drawn.") == 1


def test_a_missing_template_is_told_plainly(tmp_path):
    with pytest.raises(CriticalWeightsError, match=r"there is no report template .*absent\.html\.j2"):
        render("absent.html.j2", {}, tmp_path)


def test_report_script_is_fast_and_says_where_the_report_is(study):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, SCRIPTS / "report.py", "--root", study[0], "--phase", "p2", "--model", MODEL,
         "--experiments", ",".join(LABELS)], capture_output=True, text=True, check=True,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Time on the processor: the clock on the wall also counts what else this machine does.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 5
    assert f"the report is in {study[1] / 'report.html'}" in done.stderr


def test_report_script_tells_a_mistake_in_one_line(study):
    done = subprocess.run(
        [sys.executable, SCRIPTS / "report.py", "--root", study[0], "--phase", "p2", "--model", MODEL,
         "--experiments", ""],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "no experiment is configured" in done.stderr


def test_maps_of_scores_are_in_the_order_of_the_experiments(tmp_path):
    """The first is what a reader sees; the table has an order of its own."""
    labels = ["gradsq_perlayer_k3", "mag_global_k20", "gradxw_perblock_k6"]
    root = make_results(tmp_path, labels, everything=True)
    facts = {"metrics": dict.fromkeys(["grad_squared", "magnitude", "grad_x_weight"]),
             "experiments": dict.fromkeys(labels)}  # fmt: skip
    backwards = facts | {"metrics": dict.fromkeys(["grad_x_weight", "grad_squared"])}
    shown = [list(heatmaps(root / "p2" / "tiny", own)) for own in (facts, backwards)]
    assert shown[0] == ["score: grad_squared", "score: magnitude", "score: grad_x_weight",
                        *(f"selected: {label}" for label in labels)]  # fmt: skip
    assert shown[1][:3] == ["score: grad_x_weight", "score: grad_squared", "score: magnitude"]
