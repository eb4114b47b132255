import csv
import html
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from critical_weights.errors import ConfigError, CriticalWeightsError, TableError
from critical_weights.report.inventory import of_model, over_all
from critical_weights.report.render import digest
from critical_weights.report.show import size
from critical_weights.report.study import PAGES, SECTIONS, write_study_report
from critical_weights.report.study_findings import study_findings
from critical_weights.report.study_gather import gather_study
from critical_weights.report.study_words import limits, next_steps
from critical_weights.result_paths import STUDY_FILES
from critical_weights.tables.superweights import SUPERWEIGHTS
from report_counts import known_over_all
from report_numbers import told
from synthetic_report import super_weight, write_rows
from synthetic_results import MODEL
from synthetic_study import LABELS, PARTS, finish_study, make_study, report_again, runs

SCRIPTS = Path(__file__).parents[1] / "workflow" / "scripts"
TIMES = re.compile(r"^<!-- times -->$.*?^<!-- /times -->$", flags=re.MULTILINE | re.DOTALL)
TIMED = ("report.html", "research_report.md", "quantitative_summary.md", "comprehensive_results_summary.md")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    root = make_study(tmp_path_factory.mktemp("study") / "results")
    finish_study(root)
    return root


@pytest.fixture
def root(finished, tmp_path):
    return Path(shutil.copytree(finished, tmp_path / "results"))


@pytest.fixture(scope="module")
def facts(finished):
    return json.loads((finished / "report" / "quantitative_results.json").read_text())


def rewrite(path, alter):
    with path.open(newline="") as file:
        lines = list(csv.DictReader(file))
    for row in lines:
        alter(row)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)


def change(path, alter):
    value = json.loads(path.read_text())
    alter(value)
    path.write_text(json.dumps(value))


def sentences(root, changed, parts=PARTS, labels=LABELS):
    facts = json.loads((report_again(root, parts, labels, changed) / "quantitative_results.json").read_text())
    return {one["name"]: one["text"] for one in facts["findings"]}


def test_all_seven_files_are_written_and_no_other(finished):
    made = {path.name for path in (finished / "report").iterdir() if path.suffix != ".csv"}
    assert made == set(STUDY_FILES) == {*PAGES, "quantitative_results.json"}


def test_every_experiment_stands_with_its_settings(finished):
    text = (finished / "report" / "research_report.md").read_text()
    for run in runs():
        part = text[text.index(f"### {run.path}\n") :].split("###")[1]
        assert f"- **Metric:** {run.metric_full}\n" in part
        assert f"- **Top-K:** {run.k}\n" in part
        assert f"- **Mode:** {run.mode}\n" in part
        assert ("reads no text" in part) == (run.metric == "mag")
        assert ("GPT2LMHeadModel" in part) == (run.model == "other")
    assert "covers 18 experiments on 2 models (tiny and other) in 3 phases (p1, p2 and p3) by 3 metrics" in text


def test_links_lead_to_files_that_are_there_and_every_models_page_is_linked(finished):
    folder = finished / "report"
    for name in PAGES:
        pattern = r'href="([^"#][^"]*)"' if name.endswith("html") else r"\]\(([^)]*)\)"
        links = set(re.findall(pattern, (folder / name).read_text()))
        assert [link for link in links if not (folder / link).is_file()] == []
        if name in ("report.html", "research_report.md"):
            assert {f"../{part}/report/report.html" for part in PARTS} <= links


def test_page_is_one_file_with_one_script_and_its_anchors_lead_somewhere(finished):
    text = (finished / "report" / "report.html").read_text()
    (script,) = re.findall(r"<script>(.*?)</script>", text, flags=re.DOTALL)
    assert f"script-src '{digest(script)}'\"" in text
    assert not re.search(r"src=(?![\"']data:)|url\(|@import|(?:https?:)?//[a-z]", text.split("<script>")[0])
    names = re.findall(r' id="([^"]+)"', text)
    assert names == [name for name, _ in SECTIONS]
    assert set(re.findall(r'href="#([^"]+)"', text)) <= set(names)


def test_markdown_tables_have_as_many_cells_as_headings(finished):
    for name in PAGES:
        if name.endswith(".md"):
            rows = [line for line in (finished / "report" / name).read_text().splitlines() if line.startswith("|")]
            widths = [len(re.split(r"(?<!\\)\|", line)) for line in rows]
            heads = [i for i, line in enumerate(rows) if re.fullmatch(r"[| :-]+", line)]
            assert heads
            for i, at in enumerate(heads):
                end = heads[i + 1] - 1 if i + 1 < len(heads) else len(rows)
                assert len(set(widths[at - 1 : end])) == 1, rows[at - 1]


def test_every_number_of_the_pages_is_found_again_in_the_result_files(finished):
    spelled = known_over_all(finished, PARTS)
    for name in PAGES:
        found = list(told((finished / "report" / name).read_text()))
        assert len(found) > 60
        assert [(number, around) for number, around in found if number not in spelled] == [], name


FIRST = PARTS[0]
BY_HAND = [
    ("How far the scores are concentrated", f"{FIRST}/analysis/concentration.csv",
     lambda row: row.update(value="0.912", low="0.911", high="0.913") if (
         row["metric"], row["quantity"], row["at"]) == ("magnitude", "top_share", "0.01") else None,
     "by magnitude (all 6)", "(p1/other) to 91.2 % (91.1 to 91.3 %) (p1/tiny) by magnitude"),
    ("Where the score lies", f"{FIRST}/analysis/concentration.csv",
     lambda row: row.update(value="0.991") if (row["metric"], row["quantity"], row["name"]) == (
         "magnitude", "score_share", "q_proj") else None,
     "in embed_tokens in 18", "and q_proj in 1 (at most 99.1 %"),
    ("How far the metrics agree", f"{FIRST}/analysis/overlap.csv",
     lambda row: row.update(shared="29", share="0.9667") if (row["scope"], row["a"], row["b"], row["k"]) == (
         "global", "grad_squared", "grad_x_weight", "30") else None,
     "In p1/tiny, grad_squared and magnitude share 11",
     "In p1/tiny, grad_squared and grad_x_weight share 29 of the first 30 weights (96.7 %"),
    ("How far the rankings hold", f"{FIRST}/analysis/stability.csv",
     lambda row: row.update(value="77") if (row["quantity"], row["metric"], row["mode"]) == (
         "largest_k", "grad_squared", "global") else None,
     "6 hold at some k",
     "7 hold at some k when the texts or probes change: grad_squared of p1/tiny at k = 77 only"),
    ("Whether the weights really matter", f"{FIRST}/interventions/verdict.csv",
     lambda row: row.update(verdict="below controls", area="0.111"),
     "6 came out above controls", "1 came out below controls and 5 above controls. Largest change of the loss: 0.111"),
    ("Whether the weights really matter", f"{FIRST}/interventions/interventions.csv",
     lambda row: row.update(high="0.75") if row["kind"] == "matched" else None,
     "6 came out above controls. Largest",
     "Of those above, 1 is so in the mean over k, but not at every k: grad_squared of p1/tiny (not at 10). Largest"),
    ("How the declared criteria came out", f"{FIRST}/analysis/criteria.csv",
     lambda row: row.update(verdict="fail", value="0.2") if row["name"] == "survives" else None,
     "7 passed and 6 failed", "6 passed and 7 failed; 6 could not be judged (6 not run, 0 not applicable)"),
    ("How the declared criteria came out", "report/criteria.csv",
     lambda row: row.update(verdict="fail", value="0.0"),
     "7 passed and 6 failed", "6 passed and 7 failed"),
    ("Whether equal phases give equal scores", "report/phases.csv",
     lambda row: row.update(value="0", verdict="not deterministic: differs in x") if (
         row["quantity"], row["b"]) == ("determinism", "p2") else None,
     "1 gave the same results bit for bit, 0 did not", "0 gave the same results bit for bit, 1 did not"),
    ("Whether the models differ", "report/models.csv",
     lambda row: row.update(q="0.25") if (row["unit"], row["name"]) == ("tensors", "down_proj") else None,
     "1 differs by all three tests: down_proj", "0 differ by all three tests"),
    ("What other texts change", "report/tasks.csv", lambda row: row.update(jaccard="0.875"),
     "Jaccard index of 0.25 ", "Jaccard index of 0.875 "),
    ("When in training they are settled", "report/checkpoints.csv",
     lambda row: row.update(share="0.05") if row["model"] == "early" else None,
     "36.7 % at step 80 (9 settled)", "5 % at step 80"),
    ("Whether there are kinds of blocks", "report/clusters.csv", lambda row: row.update(p="0.5"),
     "in 1 of 1 cases", "in 0 of 1 cases (one phase, model and metric each); nearest to it: 2 kinds by magnitude"),
]  # fmt: skip


@pytest.mark.parametrize("name, file, alter, before, after", BY_HAND, ids=[f"{c[0]}: {c[1]}" for c in BY_HAND])
def test_a_result_file_changed_by_hand_changes_the_sentence(root, facts, name, file, alter, before, after):
    assert before in next(one["text"] for one in facts["findings"] if one["name"] == name)
    rewrite(root / file, alter)
    assert after in sentences(root, [FIRST] if file.startswith(FIRST) else [])[name]
    for page in ("report.html", "research_report.md", "research_summary.md"):
        text = html.unescape((root / "report" / page).read_text()).replace("\\", "").replace("\u00a0", " ")
        assert after.split("(")[0].strip() in text


def test_a_failed_law_is_told_everywhere(root):
    def fail(stats):
        stats["store"]["checks"]["laws"][0] |= {"status": "failed", "error": 0.5}

    change(root / FIRST / LABELS[0] / "sensitivity_stats.json", fail)
    told_now = sentences(root, [FIRST])["Whether the scores can be right"]
    assert "1 failed, so the scores of that pass are not to be trusted (p1/tiny)" in told_now
    text = (root / "report" / "research_report.md").read_text()
    steps = text[text.index("## Next Steps") :]
    assert (
        "1. Do not use the scores of grad_squared in p1/tiny: rows of up_proj = columns of down_proj failed." in steps
    )
    assert "| conservation law | `p1/tiny` | rows of up_proj = columns of down_proj | 0.5 |" in text


def test_what_failed_is_what_the_tables_call_so(root):
    rewrite(root / FIRST / "analysis" / "criteria.csv",
            lambda row: row.update(verdict="fail", value="0.25") if row["name"] == "survives" else None)  # fmt: skip
    rewrite(root / "report" / "phases.csv",
            lambda row: row.update(value="0", verdict="not deterministic: differs in x") if (
                row["quantity"], row["b"]) == ("determinism", "p2") else None)  # fmt: skip
    report_again(root, changed=[FIRST])
    text = (root / "report" / "research_report.md").read_text()
    rows = text[text.index("**What failed**") :].split("**")[2].splitlines()
    shown = [tuple(cell.strip(" `") for cell in row.split("|")[1:6]) for row in rows if row.startswith("| ")][2:]
    assert shown == [
        ("criterion", FIRST, "survives", "0.25", "\\> 0.3"),
        *(("criterion", part, "agrees", "0.1234", "\\> 0.3") for part in PARTS),
        ("equal phases", "p1, p2", "grad_squared of tiny", "not deterministic: differs in x", "deterministic"),
    ]


def test_super_weights_that_make_no_spike_are_not_counted(root):
    path = root / FIRST / "analysis" / "superweights.csv"
    published = super_weight("magnitude") | {"class": "", "round": None, "published": True}
    write_rows([super_weight("grad_squared"), published | {"row": 0}], path, SUPERWEIGHTS)
    assert sentences(root, [FIRST])["Whether there are super weights"].endswith(
        "were found in 1 of 6 pairs of phase and model: 1 in p1/tiny (1 early)."
    )


def test_phases_of_the_same_texts_are_called_one_piece_of_evidence(facts):
    assert facts["repeats"] == {"p2/tiny": "p1/tiny", "p2/other": "p1/other"}
    counting = [one for one in facts["findings"] if one["name"] == "How far the rankings hold"]
    assert "Counted twice, which makes nothing surer: p2/tiny repeats p1/tiny" in counting[0]["sure"]


def test_words_follow_their_numbers(facts):
    facts = json.loads(json.dumps(facts))

    def text(name):
        return next(one["text"] for one in study_findings(facts) if one["name"] == name)

    part = facts["parts"][FIRST]
    facts |= {"parts": {FIRST: part}, "repeats": {}}
    assert "; 1 time the law does not hold by construction" in text("Whether the scores can be right")
    assert "; of the others, two halves of the texts share 0.31 (0.25 to 0.38) of the union of the first 30 (" in text(
        "How far the rankings hold"
    )
    part["metrics"]["obd"] = part["metrics"]["magnitude"]
    assert "; 1 metric lies between the last two" in text("How far the scores are concentrated")
    rows = part["overlap"]["global"]
    for row in rows:
        row["shared"] = 4
    assert f", as do {len(rows) - 1} more pairs" in text("How far the metrics agree")


def test_limits_follow_what_was_measured(facts):
    facts = json.loads(json.dumps(facts))
    assert not any("one set of texts" in one or "One checkpoint" in one for one in limits(facts))
    part = facts["parts"][FIRST]
    facts |= {"parts": {FIRST: part | {"stability": None, "validation": None}}, "repeats": {}}
    said = " ".join(limits(facts))
    assert "One checkpoint only" in said
    assert "scored on one set of texts: other kinds of texts may change more." in said
    assert "was not measured in p1/tiny." in said
    assert "was not measured in p1/tiny: a score there is an estimate." in said
    facts["parts"] = {FIRST: part}
    assert "what drawing from it again changes is under Stability" in " ".join(limits(facts))


def test_next_steps_are_those_that_files_imply_and_no_other(facts):
    facts = json.loads(json.dumps(facts))
    steps = next_steps(facts)
    assert sum(step.startswith("Judge hurts on ") for step in steps) == 6
    assert sum(" with more texts before the rankings by grad_squared are read as lists" in step for step in steps) == 6
    assert len(steps) == 12
    for part in facts["parts"].values():
        part["criteria"] = None
        for row in part["stability"]["verdicts"]:
            row["largest_k"] = 10
    assert next_steps(facts) == []
    facts["parts"][FIRST]["validation"] = None
    assert next_steps(facts) == [
        "Measure what changing the selected weights does in p1/tiny: no interventions were made."
    ]


def test_one_configured_experiment_compares_nothing(root):
    for path in (root / "report").glob("*.csv"):
        header = path.read_text().splitlines()[0].split(",")
        row = ["not applicable: one model" if name == "note" else "" for name in header]
        if path.name != "criteria.csv":
            values = {"scope": "all", "name": "all", "quantity": "x"} if path.name == "models.csv" else {}
            row = [values.get(name, old) for name, old in zip(header, row, strict=True)]
            path.write_text(",".join(header) + "\n" + ",".join(row) + "\n")
        else:
            path.write_text(",".join(header) + "\n")
    said = sentences(root, [FIRST], [FIRST], LABELS[:1])
    assert not {"Whether equal phases give equal scores", "Whether the models differ"} & set(said)
    text = (root / "report" / "research_report.md").read_text()
    assert "covers 1 experiment on 1 model (tiny) in 1 phase (p1) by 1 metric (grad_squared)" in text
    assert "Why there is none: not applicable: one model." in (root / "report" / "report.html").read_text()


def test_report_is_the_same_but_for_its_times(root):
    before = {name: (root / "report" / name).read_text() for name in STUDY_FILES}
    for run in runs():

        def other_machine(manifest):
            manifest["completed"] = "2031-01-01T00:00:00Z"
            manifest["hardware"]["cpu"] = "Another Processor"

        change(root / run.path / "experiment_manifest.json", other_machine)
    report_again(root)
    for name in PAGES:
        text = (root / "report" / name).read_text()
        if name in TIMED:
            assert text.splitlines().count("<!-- times -->") == 1
            assert TIMES.sub("", text) == TIMES.sub("", before[name])
        else:
            assert text == before[name]
        assert "2031" not in TIMES.sub("", text)
    assert "2031-01-01T00:00:00Z" in (root / "report" / "research_report.md").read_text()
    old, new = (
        json.loads(before["quantitative_results.json"]),
        json.loads((root / "report" / "quantitative_results.json").read_text()),
    )
    assert old.pop("times") != new.pop("times")
    assert old == new


def test_two_reports_of_the_same_files_are_byte_identical(root):
    before = {path.name: path.read_bytes() for path in (root / "report").iterdir()}
    assert {path.name: path.read_bytes() for path in report_again(root, changed=[]).iterdir()} == before


def test_list_of_files_is_that_of_the_disk(finished):
    groups = [group for part in PARTS for group in of_model(finished, part, LABELS)] + over_all(finished)
    entries = [entry for group in groups for entry in group.entries]
    listed = {f"{e.name}.{end}" if e.kind == "Figure" else e.name: e for e in entries for end in e.endings}
    files = [path for path in finished.rglob("*") if path.is_file()]
    assert set(listed) == {path.relative_to(finished).as_posix() for path in files}
    for entry in entries:
        if entry.size is not None:
            names = [f"{entry.name}.{end}" for end in entry.endings] if entry.kind == "Figure" else [entry.name]
            assert entry.size == sum((finished / name).stat().st_size for name in names)
    text = (finished / "report" / "export_summary.md").read_text()
    assert f"{len(files)} files; {size(sum(entry.size or 0 for entry in entries))} without the pages" in text


def test_sizes_that_change_with_the_times_are_not_told(finished):
    for group in of_model(finished, FIRST, LABELS):
        for entry in group.entries:
            varies = entry.name.endswith("manifest.json") or "/report/" in entry.name
            assert (entry.size is None) == varies


def test_no_configured_experiment_is_one_clear_line(tmp_path):
    with pytest.raises(ConfigError, match="no experiment is configured"):
        write_study_report(tmp_path, [], tmp_path / "report")


def test_report_on_other_experiments_is_refused(root):
    with pytest.raises(TableError, match=rf"is on other experiments; got {', '.join(LABELS)}; expected {LABELS[0]}"):
        gather_study(root, runs([FIRST], LABELS[:1]))


def test_report_of_another_version_is_refused(root):
    change(root / FIRST / "report" / "quantitative_results.json", lambda facts: facts.update(schema_version="0"))
    with pytest.raises(TableError, match="is not of this version"):
        gather_study(root, runs([FIRST]))


def test_a_report_that_is_missing_is_named(root):
    (root / FIRST / "report" / "quantitative_results.json").unlink()
    with pytest.raises(CriticalWeightsError, match=r"p1/tiny/report/quantitative_results\.json"):
        gather_study(root, runs([FIRST]))


def test_a_table_that_was_not_made_leaves_its_section_empty(root):
    for path in (root / "report").glob("*.csv"):
        path.unlink()
    assert len(sentences(root, [])) == 8
    assert "This comparison was not made." in (root / "report" / "report.html").read_text()


def test_script_imports_no_torch_and_says_where_the_report_is(root):
    words = ["--root", str(root), "--experiments", ",".join(run.path for run in runs())]
    code = f"import sys; sys.argv[1:] = {words!r}; sys.path.insert(0, {str(SCRIPTS)!r})\nimport report_study as r\n"
    code += "from critical_weights.cli import run_stage\nstatus = run_stage('report', r.parser(), r.main)\n"
    code += "assert 'torch' not in sys.modules, 'torch'\nsys.exit(status)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"is in {root / 'report' / 'report.html'}" in done.stderr


def test_script_tells_a_mistake_in_one_line(root):
    command = [
        sys.executable,
        SCRIPTS / "report_study.py",
        "--root",
        root,
        "--experiments",
        f"p1/{MODEL}/mag_global_k5",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "is on other experiments" in done.stderr
