"""What may differ between the archives of two runs, and what is named."""

import hashlib
import json
import zipfile

import pytest

from critical_weights.archive.build import make_archive, zip_info
from critical_weights.archive.compare import compare_archives
from synthetic_results import MODEL, experiments, finish, make_results

LABELS = ["gradsq_perlayer_k3", "mag_global_k20"]
RUN = f"p2/{MODEL}/{LABELS[0]}"
NAME = f"{RUN}/experiment_manifest.json"
NESTED = b'{"a": ' * 900 + b"1" + b"}" * 900


@pytest.fixture
def root(tmp_path):
    root = make_results(tmp_path / "results", LABELS)
    finish(root, LABELS)
    return root


@pytest.fixture
def first(root):
    return make_archive(root, experiments(LABELS), root.parent / "a")


def against(first, root):
    """Compare an archive with one that is made of the results as they are now."""
    return compare_archives(first, make_archive(root, experiments(LABELS), root.parent / "b"))


def change(root, **changed):
    path = root / NAME
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))


def test_all_that_a_manifest_tells_of_times_and_hardware_may_differ(root, first):
    stage = {"seconds": 1.5, "peak_memory_bytes": 7, "weights_per_second": 9.0}
    change(root, started="2031-01-01T00:00:00Z", completed="2031-01-01T00:00:01Z", hardware={"cpu": "Another"},
           stages={"rank": stage}, scoring={"family": "gradient", "device": "cuda", "stages": {"pass": 2.0}},
           peak_memory_bytes=8)  # fmt: skip
    comparison = against(first, root)
    assert comparison.unexpected == []
    assert f"{NAME}: differs, as it may: times, dates and hardware" in comparison.allowed


@pytest.mark.parametrize(
    "section, key, value",
    [
        ("git", "commit", "0" * 40),
        ("versions", "manifest", {"numpy": "0.1"}),
        ("calibration", "sha256", "00" * 32),
        ("model", "revision", "other"),
        ("seeds", "texts", 43),
        ("dtypes", "model", "bfloat16"),
        ("config", "k", 4),
    ],
)
def test_a_manifest_that_tells_another_origin_is_unexpected_and_the_key_is_named(root, first, section, key, value):
    change(root, **{section: json.loads((root / NAME).read_text())[section] | {key: value}})
    lines = [line for line in against(first, root).unexpected if line.startswith(NAME)]
    (told,) = lines
    assert told.startswith(f"{NAME}: differs in {section}.{key}")


def test_other_outputs_and_keys_in_one_manifest_only_are_named(root, first):
    manifest = json.loads((root / NAME).read_text())
    change(root, outputs=manifest["outputs"][:1], note="by hand")
    (told,) = (line for line in against(first, root).unexpected if line.startswith(NAME))
    assert told == f"{NAME}: differs in note, outputs"


def test_of_many_keys_the_first_are_named_and_the_others_counted(root, first):
    change(root, **{f"key{i}": i for i in range(9)}, **{"evil\x1b[31m": 1})
    (told,) = (line for line in against(first, root).unexpected if line.startswith(NAME))
    assert told == f"{NAME}: differs in 'evil\\x1b[31m', key0, key1, key2, key3 and 5 more"


@pytest.mark.parametrize("content", [b"no json", b"[]", b"[" * 100_000, NESTED, b"\xff"],
                         ids=["text", "list", "deep", "nested", "bytes"])  # fmt: skip
def test_a_manifest_that_is_none_or_differs_in_its_layout_is_no_manifest_with_other_times(tmp_path, content):
    """No work of this workflow's, but true to its own manifest."""
    paths = []
    for name, own in (("a", content), ("b", content + b" ")):
        listed = {"path": NAME, **described(own)}
        manifest = json.dumps({"schema_version": "1", "archive": "x", "experiments": [], "files": [listed]})
        paths.append(tmp_path / f"{name}.zip")
        with zipfile.ZipFile(paths[-1], "w") as archive:
            for entry, inside in sorted({NAME: own, "manifest.json": manifest.encode()}.items()):
                archive.writestr(zip_info(entry), inside)
    assert compare_archives(*paths).unexpected == [f"{NAME}: differs"]


def described(content):
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


@pytest.mark.parametrize("page", ["report.html", "research_summary.md"])
def test_text_that_moves_from_before_the_times_to_behind_them_is_unexpected(root, page):
    path = root / "p2" / MODEL / "report" / page
    path.write_text("A\n<!-- times -->\n1\n<!-- /times -->\n")
    first = make_archive(root, experiments(LABELS), root.parent / "a")
    path.write_text("<!-- times -->\n1\n<!-- /times -->\nA\n")
    assert against(first, root).unexpected == [f"p2/{MODEL}/report/{page}: differs"]


def test_two_runs_of_the_stages_on_one_machine_compare_equal(tmp_path):
    """The manifests are written twice by the code under test: the same versions, commit and files."""
    paths = []
    for name in ("one", "two"):
        root = make_results(tmp_path / name / "results", LABELS)
        benchmark = tmp_path / f"{name}.tsv"
        benchmark.write_text(f"s\tmax_rss\n{len(paths) + 1}.5\t100\n")
        finish(root, LABELS, benchmarks={"rank": benchmark})
        paths.append(make_archive(root, experiments(LABELS), tmp_path / name / "archive"))
    comparison = compare_archives(*paths)
    assert comparison.unexpected == []
    assert f"{NAME}: differs, as it may: times, dates and hardware" in comparison.allowed
