"""Unpacking an archive: checked first, into a new folder, whole or not at all; and what its README tells."""

import hashlib
import io
import json
import os
import zipfile
from pathlib import Path

import pytest

from critical_weights.archive import extract as archive_extract
from critical_weights.archive.build import make_archive, zip_info
from critical_weights.archive.config import study_config, told_settings
from critical_weights.archive.extract import extract_archive
from critical_weights.archive.verify import check_opened
from critical_weights.config import complete, config_errors, merge, read_config
from critical_weights.config import experiments as configured
from critical_weights.criteria.config import read_criteria
from critical_weights.errors import ArchiveError
from script_call import call_script
from stage_jobs import CONFIG as STUDY
from stage_jobs import planned_jobs, write_study
from synthetic_results import MODEL, experiments, finish, make_results

LABELS = ["gradsq_perlayer_k3", "mag_global_k20"]
RUNS = experiments(LABELS)
TOP = f"{RUNS[0].path}/top_weights.csv"
CONFIG = Path(__file__).parents[1] / "config" / "config.yaml"
SETTINGS = {
    "models": {MODEL: {"source": "hub", "repo": "someone/tiny", "revision": "main"}, "other": {"source": "bundled"}},
    "phases": {"p2": {"texts": "/home/me/mine.txt", "evaluation": "default", "seed": 1}, "p9": {"texts": "default"}},
    "scoring": {"device": "cuda", "placement": "auto", "processes": 2, "probes": 10},
    "experiments": [run.path for run in RUNS],
    "compare": {"two": ["/home/me/a.csv", "/home/me/b.csv"]},
    "downstream": {"tasks": ["own"], "include_path": "/home/me/tasks"},
    "criteria": "/home/me/criteria.yaml",
}
CRITERIA = [{"name": "one", "statement": "As written before", "table": "overlap", "column": "share", "test": ">",
             "threshold": 0.3}]  # fmt: skip


def told(settings, runs=RUNS):
    return told_settings(settings, runs, CRITERIA)


@pytest.fixture(scope="module")
def sealed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sealed")
    root = make_results(folder / "results", LABELS)
    finish(root, LABELS)
    return make_archive(root, RUNS, folder / "archive", told(SETTINGS))


@pytest.fixture
def copy(sealed, tmp_path):
    path = tmp_path / "copy.zip"
    path.write_bytes(sealed.read_bytes())
    return path


def inside(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewrite(path, change=None, drop=(), add=()):
    files = {name: content for name, content in inside(path).items() if name not in drop}
    files |= change or {}
    entries = [(zip_info(name), content) for name, content in files.items()]
    entries += [(zip_info(item) if isinstance(item, str) else item, b"x") for item in add]
    with zipfile.ZipFile(path, "w") as new:
        for info, content in sorted(entries, key=lambda entry: entry[0].filename):
            new.writestr(info, content)


def on_disk(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def nothing_but(folder, *names):
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)


def test_what_is_unpacked_is_what_is_inside(copy, tmp_path):
    folder = extract_archive(copy, tmp_path / "new" / "out")
    assert on_disk(folder) == inside(copy)
    nothing_but(tmp_path / "new", "out")
    umask = os.umask(0)
    os.umask(umask)
    assert folder.stat().st_mode & 0o777 == 0o777 & ~umask


@pytest.mark.parametrize("there", ["file", "folder", "link"])
def test_nothing_is_written_over(copy, tmp_path, there):
    out = tmp_path / "out"
    if there == "link":
        out.symlink_to(tmp_path / "nowhere")
    else:
        out.mkdir() if there == "folder" else out.write_text("mine")
    with pytest.raises(ArchiveError, match="out is there already, and nothing is written over it"):
        extract_archive(copy, out)
    nothing_but(tmp_path, "copy.zip", "out")


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def link():
    info = zip_info("p2/link")
    info.external_attr = 0o120777 << 16
    return info


@pytest.mark.parametrize(
    "harm, told",
    [
        (flip, "(damaged|changed|header|packed form)"),
        (lambda path: rewrite(path, change={TOP: b"other"}), f"{TOP}: has 5 bytes, the manifest says"),
        (lambda path: rewrite(path, drop=[TOP]), f"{TOP}: missing from the archive"),
        (lambda path: rewrite(path, add=["p2/extra.txt"]), "p2/extra.txt: added, the manifest does not list it"),
        (lambda path: rewrite(path, add=["../evil.sh"]), r"\.\./evil.sh: has a path that climbs out"),
        (lambda path: rewrite(path, add=["/tmp/evil.sh"]), "/tmp/evil.sh: has an absolute path"),
        (lambda path: rewrite(path, add=[link()]), "p2/link: is a symbolic link"),
        (lambda path: rewrite(path, add=[TOP.upper()]), "is the same file as .* where capitals do not count"),
    ],
    ids=["flipped byte", "changed", "missing", "added", "climbs out", "absolute", "link", "capitals"],
)
def test_a_faulty_archive_is_not_unpacked(copy, tmp_path, harm, told):
    harm(copy)
    with pytest.raises(ArchiveError, match=f"nothing was unpacked: .*{told}"):
        extract_archive(copy, tmp_path / "out")
    nothing_but(tmp_path, "copy.zip")


def after_the_check(monkeypatch, act):
    """Let something happen to the archive between its check and its unpacking."""

    def check(archive, file, path):
        faults, listed = check_opened(archive, file, path)
        return act(path, faults, listed) or (faults, listed)

    monkeypatch.setattr(archive_extract, "check_opened", check)


def test_an_archive_that_changes_after_the_check_leaves_nothing(copy, tmp_path, monkeypatch):
    after_the_check(monkeypatch, lambda path, *_: rewrite(path, change={TOP: inside(path)[TOP][:-1] + b"?"}))
    with pytest.raises(ArchiveError, match=r"(changed while the archive was unpacked|could not be unpacked)"):
        extract_archive(copy, tmp_path / "out")
    nothing_but(tmp_path, "copy.zip")


@pytest.mark.parametrize("name", ["../../owned.txt", "OWNED"])
def test_an_archive_that_takes_its_place_after_the_check_is_not_read(copy, tmp_path, monkeypatch, name):
    """A path that leads out, or one to a file of its own; the manifest of the other one vouches for it."""
    name = str(tmp_path / "owned.txt") if name == "OWNED" else name
    listed = {"path": name, "bytes": 1, "sha256": hashlib.sha256(b"x").hexdigest()}
    other = tmp_path / "other.zip"
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr(name, b"x")
        archive.writestr("manifest.json", json.dumps({"schema_version": "1", "files": [listed]}))
    checked = inside(copy)
    after_the_check(monkeypatch, lambda path, *_: other.replace(path) and None)
    folder = extract_archive(copy, tmp_path / "a" / "b" / "out")
    assert on_disk(folder) == checked
    nothing_but(tmp_path, "a", "copy.zip")
    nothing_but(tmp_path / "a", "b")


def test_a_path_that_the_check_let_through_is_not_unpacked(tmp_path, monkeypatch):
    path = tmp_path / "copy.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../owned.txt", b"x")
        archive.writestr("manifest.json", b"{}")
    listed = {"../owned.txt": {"bytes": 1, "sha256": hashlib.sha256(b"x").hexdigest()}}
    monkeypatch.setattr(archive_extract, "check_opened", lambda *_: ([], listed))
    with pytest.raises(
        ArchiveError, match=r"\.\./owned\.txt has a path that climbs out with \.\., and is not unpacked"
    ):
        extract_archive(path, tmp_path / "a" / "out")
    nothing_but(tmp_path, "a", "copy.zip")
    nothing_but(tmp_path / "a")


def test_of_a_file_no_more_is_written_than_the_manifest_lists(copy, tmp_path, monkeypatch):
    rewrite(copy, change={TOP: b"\0" * (64 << 20)})
    after_the_check(monkeypatch, lambda path, faults, listed: ([], listed))
    written = []
    monkeypatch.setattr(archive_extract.shutil, "rmtree", lambda part, **_: written.append(on_disk(Path(part))))
    with pytest.raises(ArchiveError, match=f"{TOP} changed"):
        extract_archive(copy, tmp_path / "out")
    assert len(written[0][TOP]) < 1 << 20


def test_an_archive_larger_than_the_disk_is_refused(copy, tmp_path, monkeypatch):
    free = type("Usage", (), {"free": 10})
    monkeypatch.setattr(archive_extract.shutil, "disk_usage", lambda place: free)
    with pytest.raises(ArchiveError, match=r"does not fit on the disk; got 10 free bytes; expected [0-9,]+"):
        extract_archive(copy, tmp_path / "out")
    nothing_but(tmp_path, "copy.zip")


def test_the_script_unpacks_and_refuses_in_one_line(copy, tmp_path, capsys):
    assert call_script("archive", "extract", copy, tmp_path / "out") == 0
    assert (tmp_path / "out" / TOP).is_file()
    capsys.readouterr()
    rewrite(copy, drop=[TOP])
    assert call_script("archive", "extract", copy, tmp_path / "again") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"nothing was unpacked: {TOP}: missing from the archive" in line


# ------------------------------------------------------------------------------------------- what it tells a stranger


def test_readme_says_what_made_it_and_the_commands(sealed):
    files = inside(sealed)
    text = files["README.md"].decode()
    model = json.loads(files[f"p2/{MODEL}/model.json"])
    texts = json.loads(files[f"p2/{MODEL}/calibration.json"])
    manifest = json.loads(files[f"{RUNS[0].path}/experiment_manifest.json"])
    for fact in (model["sha256"], texts["sha256"], manifest["git"]["commit"] or "no git checkout", *LABELS,
                 manifest["versions"]["manifest"]["numpy"]):  # fmt: skip
        assert fact in text
    assert "archive.py verify critical_weight_analysis_complete.zip" in text
    assert "--configfile first/config.json" in text
    assert "uncommitted changes" in text or not manifest["git"]["commit"]
    tables = {Path(name).name for name in files if name.endswith(".csv") and "/plots/" not in name}
    assert all(f"| `{table}` |" in text for table in tables)
    assert "| `downstream.csv` |" not in text


def test_citation_is_the_projects_own(sealed):
    assert inside(sealed)["CITATION.cff"] == (CONFIG.parents[1] / "CITATION.cff").read_bytes()
    assert "`CITATION.cff`" in inside(sealed)["MANIFEST.md"].decode()


def test_config_of_the_archive_has_no_place_on_a_machine_and_only_what_is_used(sealed):
    config = json.loads(inside(sealed)["config.json"])
    assert config["experiments"] == [run.path for run in RUNS]
    assert list(config["models"]) == [MODEL]
    assert config["phases"] == {"p2": {"texts": "mine.txt", "evaluation": "default", "seed": 1}}
    assert config["scoring"] == {"probes": 10}
    assert config["criteria"] == CRITERIA
    assert not {"compare", "downstream"} & set(config), "no archive holds what they ask for"
    assert b"/home" not in b"".join(inside(sealed).values())


def computed_in(dtype, folder):
    """Make results whose experiments were computed in a dtype."""
    root = make_results(folder, LABELS)
    for run in RUNS:
        (root / run.path / "experiment_manifest.json").write_text(json.dumps({"dtypes": {"model": dtype}}))
    return root


def test_a_model_of_the_hub_is_pinned_to_its_commit(tmp_path):
    root = computed_in("bfloat16", tmp_path)
    path = root / "p2" / MODEL / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"revision": "c0ffee"}))
    assert study_config(told(SETTINGS), RUNS, root)["models"][MODEL]["revision"] == "c0ffee"


@pytest.mark.parametrize(
    "checkpoint, setting, entry, dtype",
    [
        ("bfloat16", "auto", {}, "float32"),
        ("bfloat16", "auto", {"dtype": "auto"}, "float32"),
        ("float32", "auto", {}, None),
        ("float32", "auto", {"dtype": "auto"}, "auto"),
        ("bfloat16", "auto", {"dtype": "float16"}, "float16"),
        ("bfloat16", "float64", {}, None),
    ],
)
def test_a_chosen_dtype_that_is_not_the_checkpoints_is_told_as_what_it_was(tmp_path, checkpoint, setting, entry, dtype):
    """Else ``auto`` remains: the experiments' own settings say so, and are compared with those made again."""
    root = computed_in("float32", tmp_path)
    facts = root / "p2" / MODEL / "model.json"
    facts.write_text(json.dumps(json.loads(facts.read_text()) | {"checkpoint_dtype": checkpoint}))
    settings = SETTINGS | {"scoring": {"dtype": setting}, "models": {MODEL: SETTINGS["models"][MODEL] | entry}}
    assert study_config(told(settings), RUNS, root)["models"][MODEL].get("dtype") == dtype


def test_the_default_study_is_told_as_a_config_that_is_accepted(tmp_path):
    config = complete(read_config(CONFIG))
    runs = configured(config)
    given = json.loads(json.dumps(told_settings(config, runs, read_criteria(config))))
    for run in runs:
        (tmp_path / run.path).mkdir(parents=True)
        (tmp_path / run.path / "experiment_manifest.json").write_text('{"dtypes": {"model": "float32"}}')
        (tmp_path / run.phase / run.model / "model.json").write_text("{}")
    archived = study_config(given, runs, tmp_path)
    again = complete(merge(read_config(CONFIG), archived))
    assert config_errors(merge(read_config(CONFIG), archived)) == []
    for key in ("experiments", "interventions", "criteria", "stability", "superweights", "figures"):
        assert again[key] == config[key], key


def own_study(place):
    """Settings of a study whose files of one name lie in several folders, one of them in two ways."""
    texts = {"texts": f"{place}/calib/t.txt", "evaluation": f"{place}/eval/t.txt", "max_samples": 9}
    return {
        "models": {
            name: {"source": "local", "path": path}
            for name, path in (("unused", f"{place}/c/model"), ("mine", f"{place}/a/model"), ("two", "b/model"))
        },
        "phases": {
            "unused": {"texts": f"{place}/before/t.txt", "evaluation": "default"},
            "p": texts,
            "q": {"texts": f"{place}/eval/../calib/t.txt", "evaluation": {"dataset": f"{place}/s/set", "column": "c"}},
            "r": {"texts": "default", "evaluation": {"dataset": "./set", "split": "x"}},
            "s": {"texts": {"dataset": "Salesforce/wikitext", "split": "x"}, "evaluation": "t.txt"},
        },
        "experiments": [f"{phase}/{model}/mag_global_k3" for phase in "pqrs" for model in ("mine", "two")],
        "interventions": {"lists": [f"{place}/x/l.csv", "./results/p/two/mag_global_k3/top_weights.csv",
                                    f"{place}/y/l.csv"]},
        "scoring": {"dtype": "auto"},
        "criteria": [],
    }  # fmt: skip


def test_two_own_files_of_one_name_are_told_apart():
    settings = own_study("/home/me")
    given = told(settings, configured(settings))
    assert {name: entry["path"] for name, entry in given["models"].items()} == {"mine": "model", "two": "2/model"}
    assert {phase: (entry["texts"], entry["evaluation"]) for phase, entry in given["phases"].items()} == {
        "p": ("t.txt", "2/t.txt"),
        "q": ("t.txt", {"dataset": "./set", "column": "c"}),
        "r": ("default", {"dataset": "./2/set", "split": "x"}),
        "s": ({"dataset": "Salesforce/wikitext", "split": "x"}, "3/t.txt"),
    }
    assert given["interventions"]["lists"] == ["l.csv", "results/p/two/mag_global_k3/top_weights.csv", "2/l.csv"]
    assert "/home" not in json.dumps(given)


def test_what_is_told_of_a_study_made_again_from_what_is_told_is_the_same():
    settings = own_study("/home/me")
    runs = configured(settings)
    given = told(settings, runs)
    # A config laid over the defaults has its models and phases in another order.
    mixed = {key: dict(reversed(given[key].items())) for key in ("models", "phases")}
    assert told({**given, **mixed, "experiments": settings["experiments"]}, runs) == given
    assert told(own_study("./elsewhere"), runs) == given


def test_criteria_of_a_file_are_told_with_their_content(tmp_path):
    write_study(tmp_path)
    (tmp_path / "mine.yaml").write_text(json.dumps({"criteria": CRITERIA}))
    config = json.loads(json.dumps(STUDY)) | {"criteria": "mine.yaml"}
    (tmp_path / "own.yaml").write_text(json.dumps(config))
    (archive,) = (job for job in planned_jobs(tmp_path) if job.rule == "archive")
    settings = json.loads(archive.words[archive.words.index("--settings") + 1])
    assert settings["criteria"] == CRITERIA
    assert settings["phases"]["a"]["texts"] == "texts.txt"
    # Once: a word of a command line is not endless.
    assert sum(word.count(STUDY["experiments"][0]) for word in archive.words) == 1


def test_readme_says_where_what_is_not_inside_belongs(sealed):
    text = inside(sealed)["README.md"].decode()
    assert "text files, saved data sets, local models and lists of one's own" in text
    assert "put them, under these names, into the folder `again`" in text
    assert "criteria" not in text.split("## Make it again")[1]


def test_without_settings_the_readme_points_to_those_of_the_experiments(tmp_path):
    root = make_results(tmp_path / "results", LABELS)
    finish(root, LABELS)
    files = inside(make_archive(root, RUNS, tmp_path / "archive"))
    assert "config.json" not in files
    assert "The settings of each experiment are in its `config.json`." in files["README.md"].decode()


def test_zip_readers_other_than_this_one_can_unpack_it(sealed, tmp_path):
    zipfile.ZipFile(io.BytesIO(sealed.read_bytes())).extractall(tmp_path)
    assert on_disk(tmp_path) == inside(sealed)
