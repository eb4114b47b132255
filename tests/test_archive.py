import hashlib
import json
import os
import re
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from critical_weights.archive import build as archive_module
from critical_weights.archive.build import make_archive, zip_info
from critical_weights.archive.compare import compare_archives
from critical_weights.archive.kinds import kind_of
from critical_weights.archive.names import ARCHIVE, clashes, path_fault
from critical_weights.archive.verify import content_hash, verify_archive
from critical_weights.errors import ArchiveError, CriticalWeightsError
from critical_weights.files import sha256_file
from critical_weights.result_paths import REPORT_FILES
from synthetic_results import MODEL, experiments, finish, make_results

SCRIPT = Path(__file__).parents[1] / "workflow" / "scripts" / "archive.py"
LABELS = ["gradsq_perlayer_k3", "mag_global_k20"]
RUN = f"p2/{MODEL}/{LABELS[0]}"
TOP = f"{RUN}/top_weights.csv"


@pytest.fixture
def root(tmp_path):
    root = make_results(tmp_path / "results", LABELS)
    finish(root, LABELS)
    return root


@pytest.fixture(scope="module")
def sealed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sealed")
    root = make_results(folder / "results", LABELS)
    finish(root, LABELS)
    return make_archive(root, experiments(LABELS), folder / "archive")


@pytest.fixture
def alone(sealed, tmp_path):
    """A copy of the zip without the manifests beside it."""
    copy = tmp_path / "copy.zip"
    copy.write_bytes(sealed.read_bytes())
    return copy


def make(root, name="archive", labels=LABELS):
    return make_archive(root, experiments(labels), root.parent / name)


def rewrite(path, *, change=None, drop=(), add=()):
    """Write the zip anew: contents changed by name, files dropped, others added, all as the workflow writes them."""
    with zipfile.ZipFile(path) as old:
        entries = [(zip_info(i.filename), old.read(i)) for i in old.infolist() if i.filename not in drop]
    entries = [(info, (change or {}).get(info.filename, content)) for info, content in entries]
    entries += [(zip_info(item) if isinstance(item, str) else item, b"added") for item in add]
    with zipfile.ZipFile(path, "w") as new:
        for info, content in sorted(entries, key=lambda e: e[0].filename):
            new.writestr(info, content)


def names(path):
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


def test_archive_holds_the_small_results_and_no_store_no_tokens_nothing_half_written(root):
    folder = root / "p2" / MODEL
    for name in ("tokens.json", "scores/gradsq.h5", f"{LABELS[0]}/.top.csv.part", "mag_perlayer_k9/top_weights.csv"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("x")
    (folder / "interventions").mkdir()
    (folder / "interventions" / "verdict.csv").write_text("x")
    (root / "report").mkdir()
    (root / "report" / "research_report.md").write_text("x")
    inside = names(make(root))
    plots = [f"{m}_{f}.png" for m in ("grad_squared_k3",) for f in
             ("layer_comparison", "sensitivity_distribution", "sensitivity_heatmap")]  # fmt: skip
    run_files = ["config.json", "experiment_manifest.json", *(f"plots/{p}" for p in plots), "sensitivity_stats.json",
                 "top_weights.csv"]  # fmt: skip
    assert [n for n in inside if n.startswith(RUN)] == [f"{RUN}/{name}" for name in run_files]
    others = [n for n in inside if not re.match(rf"p2/{MODEL}/[a-z]+_[a-z]+_k", n)]
    assert others == ["CITATION.cff", "MANIFEST.md", "README.md", "manifest.json", *(f"p2/{MODEL}/{name}" for name in (
        "analysis/concentration.csv", "analysis/overlap.csv", "analysis/plots/lorenz_curves.png",
        "analysis/plots/overlap_matrix.png", "calibration.json", "interventions/verdict.csv", "model.json",
        *(f"report/{file}" for file in sorted(REPORT_FILES)))), "report/research_report.md"]  # fmt: skip
    assert inside == sorted(inside)


def test_every_entry_has_the_same_time_permissions_and_method(sealed):
    with zipfile.ZipFile(sealed) as archive:
        for info in archive.infolist():
            assert info.date_time == (1980, 1, 1, 0, 0, 0)
            assert (info.create_system, info.external_attr) == (3, 0o100644 << 16)
            assert info.compress_type == zipfile.ZIP_DEFLATED


def test_archive_of_the_same_files_is_byte_identical_whatever_their_times(root):
    first = make(root)
    for path in root.rglob("*"):
        os.utime(path, (1, 1))
        path.chmod(0o700)
    second = make(root, "again")
    for name in (ARCHIVE, "manifest.json", "MANIFEST.md"):
        assert (second.parent / name).read_bytes() == (first.parent / name).read_bytes()


def test_manifest_lists_every_file_but_itself_with_bytes_hash_and_maker(sealed):
    manifest = json.loads((sealed.parent / "manifest.json").read_text())
    with zipfile.ZipFile(sealed) as archive:
        assert archive.read("manifest.json") == (sealed.parent / "manifest.json").read_bytes()
        assert archive.read("MANIFEST.md") == (sealed.parent / "MANIFEST.md").read_bytes()
    assert [f["path"] for f in manifest["files"]] == [n for n in names(sealed) if n != "manifest.json"]
    root = sealed.parent.parent / "results"
    for item in manifest["files"]:
        with zipfile.ZipFile(sealed) as archive:
            inside = archive.read(item["path"])
        assert (item["bytes"], item["sha256"]) == (len(inside), hashlib.sha256(inside).hexdigest())
        if (root / item["path"]).exists():
            assert (root / item["path"]).read_bytes() == inside
        assert item["stage"] != "unknown"
        assert item["meaning"]
    assert manifest["experiments"] == [f"p2/{MODEL}/{label}" for label in LABELS]


def test_manifest_for_people_counts_files_only(sealed):
    text = (sealed.parent / "MANIFEST.md").read_text()
    listed = [line for line in text.splitlines() if line.startswith("| `")]
    assert len(listed) == len(names(sealed)) - 2
    assert f"{len(listed)} files of 2 experiments" in text


@pytest.mark.parametrize(
    "path, stage",
    [
        ("p2/bundled/gradsq_perlayer_k100/top_weights.csv", "rank"),
        ("p1.1_baseline/llama31_8b/mag_global_k3/plots/magnitude_k3_layer_comparison.svg", "plot_run"),
        ("p2/bundled/analysis/overlap.csv", "overlap"),
        ("p2/bundled/analysis/plots/overlap_matrix.png", "plot_overlap"),
        ("p2/bundled/interventions/verdict.csv", "verdict"),
        ("p2/bundled/report/report.html", "report"),
        ("report/research_report.md", "study_report"),
        ("p2/bundled/gradsq_perlayer_k100/notes.txt", "unknown"),
        ("p2/bundled/gradsq_perlayer_k100/top_weights.csv~", "unknown"),
        ("p2/bundled/analysis/my_notes.csv", "unknown"),
        ("report/x.csv", "unknown"),
    ],
)
def test_what_made_a_file_follows_from_its_path(path, stage):
    assert kind_of(path).stage == stage


def test_nothing_configured_makes_no_archive(tmp_path):
    with pytest.raises(ArchiveError, match="no experiment is configured, so there is nothing to archive"):
        make_archive(tmp_path, [], tmp_path / "archive")


def test_an_incomplete_experiment_is_not_archived(root):
    (root / RUN / "experiment_manifest.json").unlink()
    with pytest.raises(ArchiveError, match=f"experiment {RUN} is not complete"):
        make(root)
    assert not (root.parent / "archive" / ARCHIVE).exists()


def test_a_file_changed_after_its_manifest_is_not_archived(root):
    (root / TOP).write_text((root / TOP).read_text() + " ")
    with pytest.raises(ArchiveError, match=rf"top_weights\.csv of experiment {RUN} was changed after its manifest"):
        make(root)


def test_a_lost_file_is_named(root):
    (root / TOP).unlink()
    with pytest.raises(ArchiveError, match=rf"experiment {RUN} has lost top_weights\.csv"):
        make(root)


def test_a_missing_model_json_is_named(root):
    (root / "p2" / MODEL / "model.json").unlink()
    with pytest.raises(ArchiveError, match=r"there is no .*model\.json"):
        make(root)


@pytest.mark.parametrize("name", ["model.json", "calibration.json", "report/quantitative_results.json"])
def test_a_damaged_json_file_is_not_archived(root, name):
    path = root / "p2" / MODEL / name
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(CriticalWeightsError, match=rf"{name} is not valid JSON"):
        make(root)


def test_another_model_json_than_that_of_the_experiments_is_not_archived(root):
    path = root / "p2" / MODEL / "model.json"
    path.write_text(path.read_text().replace(json.loads(path.read_text())["sha256"], "0" * 64))
    with pytest.raises(
        ArchiveError, match=r"was made with another model than its model\.json says; got .* expected 0{64}"
    ):
        make(root)


def test_an_empty_file_is_not_archived(root):
    (root / "p2" / MODEL / "analysis" / "overlap.csv").write_text("")
    with pytest.raises(ArchiveError, match=r"analysis/overlap\.csv is empty"):
        make(root)


@pytest.mark.parametrize("name", ["report/report.html", "analysis/stability.csv", "model.json"])
def test_a_link_in_place_of_a_file_is_not_archived(root, tmp_path, name):
    path = root / "p2" / MODEL / name
    (tmp_path / "secret").write_bytes(path.read_bytes() if path.exists() else b"x")
    path.unlink(missing_ok=True)
    path.symlink_to(tmp_path / "secret")
    with pytest.raises(ArchiveError, match=rf"{name} is a link"):
        make(root)


def test_a_pipe_in_place_of_a_file_is_not_archived(root):
    path = root / "p2" / MODEL / "analysis" / "stability.csv"
    os.mkfifo(path)
    with pytest.raises(ArchiveError, match=r"analysis/stability\.csv is no ordinary file"):
        make(root)


def test_a_file_that_changes_while_it_is_archived_is_found_out(root, monkeypatch):
    path = root / "p2" / MODEL / "report" / "report.html"
    page = archive_module.render

    def late(*arguments):
        path.write_text("changed")
        return page(*arguments)

    monkeypatch.setattr(archive_module, "render", late)
    with pytest.raises(ArchiveError, match=r"report/report\.html changed while it was archived"):
        make(root)
    assert not (root.parent / "archive" / ARCHIVE).exists()


def test_a_sound_archive_has_no_fault(sealed, alone):
    assert verify_archive(sealed) == []
    assert verify_archive(alone) == []


def test_a_changed_file_is_refused(alone):
    with zipfile.ZipFile(alone) as archive:
        content = bytearray(archive.read(TOP))
    content[10] ^= 1
    rewrite(alone, change={TOP: bytes(content)})
    (fault,) = verify_archive(alone)
    assert re.fullmatch(rf"{TOP}: was changed, its SHA-256 is [0-9a-f]{{64}}, the manifest says [0-9a-f]{{64}}", fault)


@pytest.mark.parametrize("longer", [True, False])
def test_a_longer_or_shorter_file_is_refused(alone, longer):
    with zipfile.ZipFile(alone) as archive:
        content = archive.read(TOP)
    rewrite(alone, change={TOP: content + b"x" if longer else content[:-1]})
    got = f"more than {len(content)}" if longer else len(content) - 1
    assert verify_archive(alone) == [f"{TOP}: has {got} bytes, the manifest says {len(content)}"]


def test_a_missing_file_is_refused(alone):
    rewrite(alone, drop=[TOP])
    assert verify_archive(alone) == [f"{TOP}: missing from the archive"]


def test_an_added_file_is_refused(alone):
    rewrite(alone, add=["p2/extra.txt"])
    assert verify_archive(alone) == ["p2/extra.txt: added, the manifest does not list it"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_file_that_is_there_twice_is_refused(alone):
    rewrite(alone, add=[TOP])
    assert f"{TOP}: is in the archive twice or more" in verify_archive(alone)


@pytest.mark.parametrize(
    "name, fault",
    [
        ("../evil.sh", "climbs out with .."),
        ("p2/../../evil.sh", "climbs out with .."),
        ("/etc/cron.d/evil", "an absolute path"),
        ("C:/evil.exe", "an absolute path"),
        ("p2\\..\\evil", "a backslash"),
        ("p2/table.csv:hidden", "a colon"),
        ("p2//evil", "not written plainly"),
        ("./evil", "not written plainly"),
        ("p2/folder/", "not written plainly"),
    ],
)
def test_a_path_trick_is_refused(alone, name, fault):
    rewrite(alone, add=[name])
    told = [line for line in verify_archive(alone) if line.startswith(f"{name}: has ")]
    assert len(told) == 1
    assert fault in told[0]


def test_a_null_character_in_a_name_is_refused(alone):
    rewrite(alone, add=["p2/evilXsh"])
    alone.write_bytes(alone.read_bytes().replace(b"p2/evilXsh", b"p2/evil\0sh"))
    assert "'p2/evil\\x00sh': has an empty name or one with a null character" in verify_archive(alone)


def test_a_symbolic_link_is_refused(alone):
    link = zip_info("p2/link")
    link.external_attr = 0o120777 << 16
    rewrite(alone, add=[link])
    assert "p2/link: is a symbolic link" in verify_archive(alone)


@pytest.mark.parametrize("kind", [0o060000, 0o010000, 0o040000])
def test_a_device_a_pipe_and_a_folder_are_refused(alone, kind):
    thing = zip_info("p2/thing")
    thing.external_attr = (kind | 0o644) << 16
    rewrite(alone, add=[thing])
    assert "p2/thing: is a folder, a device or another thing that is no file" in verify_archive(alone)


@pytest.mark.parametrize(
    "name, told",
    [
        (TOP.upper(), f"{TOP}: is the same file as {TOP.upper()} where capitals do not count"),
        (f"{TOP}/x", f"{TOP}/x: lies in a folder that is a file too, {TOP}"),
        (f"{TOP.upper()}/x", f"{TOP.upper()}/x: lies in a folder that is a file too, {TOP}"),
    ],
)
def test_two_names_for_one_file_are_refused(alone, name, told):
    rewrite(alone, add=[name])
    assert told in verify_archive(alone)


def test_two_spellings_of_one_letter_are_one_name():
    assert clashes(["a/\u00e9", "a/e\u0301"]) == [
        ("a/\u00e9", "is the same file as a/e\u0301 where capitals do not count")
    ]
    assert clashes(["a/b", "a/c", "ab"]) == []


def test_names_cannot_write_to_the_terminal(alone):
    rewrite(alone, add=["p2/\x1b[31mred"])
    assert any(line.startswith("'p2/\\x1b[31mred': added") for line in verify_archive(alone))


@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.9, -1])
def test_a_cut_short_archive_is_refused(alone, keep):
    content = alone.read_bytes()
    alone.write_bytes(content[: int(len(content) * keep) if isinstance(keep, float) else keep])
    with pytest.raises(ArchiveError, match=r"copy\.zip is cut short, damaged or no zip archive"):
        verify_archive(alone)


def test_an_absent_archive_is_told(tmp_path):
    with pytest.raises(ArchiveError, match=r"there is no archive .*none\.zip"):
        verify_archive(tmp_path / "none.zip")


@pytest.mark.parametrize(
    "manifest, told",
    [
        (None, "is missing"),
        (b"no json", "cannot be read"),
        (b"[]", "cannot be read"),
        (b'{"schema_version": "9", "files": []}', "is of another schema; got 9; expected 1"),
        (b'{"schema_version": "1", "files": [{"path": "a"}]}', "lacks 'bytes'"),
        (b'{"schema_version": "1", "files": [{"path": "a", "bytes": "x", "sha256": ""}]}', "cannot be read"),
        (b'{"schema_version": "1", "files": [%s, %s]}' % ((b'{"path": "a", "bytes": 1, "sha256": "0"}',) * 2), "twice"),
    ],
)
def test_a_wrong_manifest_is_refused(alone, manifest, told):
    if manifest is None:
        rewrite(alone, drop=["manifest.json"])
    else:
        rewrite(alone, change={"manifest.json": manifest})
    (fault,) = verify_archive(alone)
    assert fault.startswith("manifest.json: ")
    assert told in fault


def test_a_forged_file_with_a_forged_manifest_is_found_by_the_manifest_beside_the_archive(sealed, tmp_path):
    copy = tmp_path / ARCHIVE
    copy.write_bytes(sealed.read_bytes())
    for name in ("manifest.json", "MANIFEST.md"):
        (tmp_path / name).write_bytes((sealed.parent / name).read_bytes())
    with zipfile.ZipFile(copy) as archive:
        manifest = json.loads(archive.read("manifest.json"))
    rewrite(copy, change={"manifest.json": json.dumps(manifest).encode()})
    assert verify_archive(copy) == ["manifest.json: the one beside the archive is not the one inside it"]


def test_a_manifest_of_something_else_beside_the_archive_does_not_matter(alone):
    (alone.parent / "manifest.json").write_text('{"name": "a browser extension"}')
    assert verify_archive(alone) == []


def test_bytes_that_belong_to_no_file_are_refused(alone):
    content = alone.read_bytes()
    alone.write_bytes(b"#!/bin/sh\n" + content)
    assert any("bytes that belong to no file stand before it" in line for line in verify_archive(alone))
    alone.write_bytes(content + b"trailer")
    assert any(line.startswith("the zip: its directory is not as it was made") for line in verify_archive(alone))


def test_bytes_between_the_last_file_and_the_directory_are_refused(alone):
    content = alone.read_bytes()
    with zipfile.ZipFile(alone) as archive:
        start = archive.start_dir
    end = bytearray(content[start:])
    end[-6:-2] = (start + 4).to_bytes(4, "little")
    alone.write_bytes(content[:start] + b"junk" + end)
    assert "the zip: bytes that belong to no file stand behind the last one" in verify_archive(alone)


def test_files_in_another_order_are_refused(alone):
    with zipfile.ZipFile(alone) as archive:
        entries = [(info.filename, archive.read(info)) for info in archive.infolist()]
    with zipfile.ZipFile(alone, "w") as archive:
        for name, content in reversed(entries):
            archive.writestr(zip_info(name), content)
    assert verify_archive(alone) == ["the zip: its files are not in order"]


def refused(path):
    try:
        return bool(verify_archive(path))
    except ArchiveError:
        return True


def contents(path):
    with zipfile.ZipFile(path) as archive:
        return [archive.read(info) for info in archive.infolist()]


def test_one_flipped_byte_anywhere_is_refused(tmp_path):
    labels = [LABELS[0]]
    root = make_results(tmp_path / "results", labels)
    finish(root, labels)
    path = make(root, labels=labels)
    (path.parent / "manifest.json").unlink()
    content, unpacked = path.read_bytes(), contents(path)
    with zipfile.ZipFile(path) as archive:
        infos, directory = archive.infolist(), archive.start_dir
    # Around the files: each byte of the first header, of the first and the last line of the directory and of the end,
    # and the last byte of each packed file. Inside them: a sample.
    first, last = len(infos[0].filename), len(infos[-1].filename)
    around = {*range(30 + first), *range(directory, directory + 46 + first)}
    around |= set(range(len(content) - 46 - last - 22, len(content)))
    around |= {i.header_offset + 30 + len(i.filename) + i.compress_size - 1 for i in infos}
    missed = []
    for place in sorted(around | set(range(0, directory, 499))):
        flipped = bytearray(content)
        flipped[place] ^= 0xFF
        path.write_bytes(flipped)
        # In packed repetitive text a flipped reference may lead to the same words elsewhere: then nothing has changed.
        if not refused(path) and (place in around or contents(path) != unpacked):
            missed.append(place)
    assert missed == []


def test_a_file_that_unpacks_to_far_more_than_listed_is_not_unpacked_to_its_end(alone):
    rewrite(alone, change={TOP: b"\0" * (64 << 20)})
    tracemalloc.start()
    faults = verify_archive(alone)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert any(re.fullmatch(rf"{TOP}: has more than \d+ bytes, the manifest says \d+", line) for line in faults)
    assert peak < 8 << 20


def test_of_an_endless_file_no_more_is_read_than_the_manifest_lists():
    class Endless:
        given = 0

        def read(self, n):
            self.given += n
            assert self.given < 10 << 20, "read on and on"
            return b"x" * n

    assert content_hash(Endless(), 3 << 20)[0] == (3 << 20) + 1


def test_making_and_checking_a_large_file_takes_little_memory(root):
    with (root / "p2" / MODEL / "report" / "report.html").open("r+b") as file:
        file.truncate(64 << 20)
    tracemalloc.start()
    path = make(root)
    assert verify_archive(path) == []
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20


def second_run(root):
    """Change what may differ between two runs, and remake what follows from it."""
    for label in LABELS:
        path = root / "p2" / MODEL / label / "experiment_manifest.json"
        manifest = json.loads(path.read_text())
        manifest["started"], manifest["hardware"]["cpu"] = "2031-01-01T00:00:00Z", "Another Processor"
        path.write_text(json.dumps(manifest))
    from critical_weights.report import write_report

    write_report(root, "p2", MODEL, experiments(LABELS), root / "p2" / MODEL / "report")


def test_two_runs_with_equal_results_differ_only_where_they_may(root):
    first = make(root, "a")
    second_run(root)
    comparison = compare_archives(first, make(root, "b"))
    assert comparison.unexpected == []
    report = f"p2/{MODEL}/report"
    told = [line.split(":")[0] for line in comparison.allowed]
    assert told == [
        *(f"p2/{MODEL}/{label}/experiment_manifest.json" for label in LABELS),
        f"{report}/comprehensive_results_summary.md",
        f"{report}/quantitative_results.json",
        f"{report}/quantitative_summary.md",
        f"{report}/report.html",
        f"{report}/research_summary.md",
        "MANIFEST.md",
        "manifest.json",
    ]


def test_the_readme_may_tell_of_another_commit_and_of_nothing_else(root):
    first = make(root, "a")
    for label in LABELS:
        path = root / "p2" / MODEL / label / "experiment_manifest.json"
        manifest = json.loads(path.read_text())
        manifest["git"]["commit"] = "c0ffee"
        path.write_text(json.dumps(manifest))
    comparison = compare_archives(first, make(root, "b"))
    told = [f"p2/{MODEL}/{label}/experiment_manifest.json: differs in git.commit" for label in LABELS]
    assert comparison.unexpected == told
    assert "README.md: differs in its section on times only" in comparison.allowed
    manifest["seeds"]["texts"] = 43
    path.write_text(json.dumps(manifest))
    told = ["README.md: differs", told[0], f"{told[1]}, seeds.texts"]
    assert compare_archives(first, make(root, "c")).unexpected == told


def test_equal_archives_do_not_differ(sealed, alone):
    comparison = compare_archives(sealed, alone)
    assert (comparison.allowed, comparison.unexpected) == ([], [])


@pytest.mark.parametrize("name", ["report.html", "research_summary.md", "quantitative_results.json"])
def test_a_report_that_differs_outside_its_times_is_unexpected(root, name):
    first = make(root, "a")
    second_run(root)
    path = root / "p2" / MODEL / "report" / name
    text = path.read_text()
    assert "grad_squared" in text
    path.write_text(text.replace("grad_squared", "grad_sqared", 1))
    comparison = compare_archives(first, make(root, "b"))
    assert comparison.unexpected == [f"p2/{MODEL}/report/{name}: differs"]


@pytest.mark.parametrize("marks", ["", "<!-- times -->\n", "<!-- /times -->\n<!-- times -->\n", "<!-- times -->\n" * 2])
def test_a_report_without_one_well_formed_times_section_may_not_differ(root, marks):
    path = root / "p2" / MODEL / "report" / "research_summary.md"
    path.write_text(f"{marks}1\n")
    first = make(root, "a")
    path.write_text(f"{marks}2\n")
    comparison = compare_archives(first, make(root, "b"))
    assert comparison.unexpected == [f"p2/{MODEL}/report/research_summary.md: differs"]


def test_a_table_that_differs_or_is_in_one_only_is_unexpected(root):
    first = make(root, "a")
    analysis = root / "p2" / MODEL / "analysis"
    (analysis / "overlap.csv").write_text("other")
    (analysis / "concentration.csv").unlink()
    (analysis / "structure.csv").write_text("new")
    second = make(root, "b")
    assert compare_archives(first, second).unexpected == [
        f"p2/{MODEL}/analysis/concentration.csv: only in {first}",
        f"p2/{MODEL}/analysis/structure.csv: only in {second}",
        "README.md: differs",
        f"p2/{MODEL}/analysis/overlap.csv: differs",
    ]


def test_own_lists_may_differ_only_in_the_lines_of_files_that_may(sealed, alone):
    with zipfile.ZipFile(alone) as archive:
        manifest = json.loads(archive.read("manifest.json"))
    manifest["files"][3]["meaning"] = "something else"
    rewrite(alone, change={"manifest.json": json.dumps(manifest).encode()})
    assert compare_archives(sealed, alone).unexpected == [
        "manifest.json: differs in more than the lines of the files that may differ"
    ]


def test_a_damaged_archive_is_not_compared(sealed, alone):
    rewrite(alone, drop=[TOP])
    with pytest.raises(ArchiveError, match=rf"copy\.zip does not match its manifest: {TOP}: missing"):
        compare_archives(sealed, alone)


@pytest.mark.parametrize(
    "name", ["a/b.csv", "a.b/c-d_e/f.json", "a/..b/c", "\u00e9 \u4e2d.csv", "console/com/nul_1", "acon"]
)
def test_plain_paths_have_no_fault(name):
    assert path_fault(name) is None


@pytest.mark.parametrize(
    "name, fault",
    [
        ("a/b\n| `fake.csv` | 1 |", "a control character"),
        ("a\r.csv", "a control character"),
        ("a\x7f.csv", "a control character"),
        ("a\x85.csv", "a control character"),
        ("a\u2028.csv", "a control character"),
        ("a\u202egpj.csv", "a control character"),
        ("a|b.csv", "the character |"),
        ("a?.csv", "the character ?"),
        ("a`b.csv", "a backtick"),
        ("a./b.csv", "ends in a dot or a space"),
        ("a.", "ends in a dot or a space"),
        ("a ", "ends in a dot or a space"),
        ("nul", "the name nul, which is a device"),
        ("b/CON.csv", "the name CON.csv, which is a device"),
        ("Com1/x.csv", "the name Com1, which is a device"),
        ("lpt9 .tar.gz", "the name lpt9 .tar.gz, which is a device"),
    ],
)
def test_names_that_forge_lines_or_mean_something_else_on_windows_are_faults(name, fault):
    assert fault in path_fault(name)


def script(*arguments):
    return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True, check=False)


def test_archive_script(root, tmp_path):
    paths = ",".join(f"results/p2/{MODEL}/{label}" for label in LABELS)
    out, log = tmp_path / "out", tmp_path / "log"
    made = script("make", "--root", root, "--experiments", paths, "--output-dir", out, "--log", log)
    path = out / ARCHIVE
    assert made.returncode == 0
    assert f"SHA-256 {sha256_file(path)}" in log.read_text()
    assert script("verify", path).returncode == 0
    copy = tmp_path / "copy.zip"
    copy.write_bytes(path.read_bytes())
    assert script("compare", path, copy).returncode == 0
    rewrite(copy, drop=[TOP])
    verified = script("verify", copy)
    assert verified.returncode == 1
    assert verified.stdout == f"{TOP}: missing from the archive\n"
    assert "does not match its manifest: 1 found" in verified.stderr
    second_run(root)
    (root / "p2" / MODEL / "analysis" / "overlap.csv").write_text("other")
    script("make", "--root", root, "--experiments", paths, "--output-dir", tmp_path / "b")
    compared = script("compare", path, tmp_path / "b" / ARCHIVE)
    assert compared.returncode == 1
    assert f"UNEXPECTED  p2/{MODEL}/analysis/overlap.csv: differs\n" in compared.stdout
    assert f"allowed     {RUN}/experiment_manifest.json: differs" in compared.stdout
