"""What an archive holds: which files of the results, what made each, and the manifest that lists them."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

from ..errors import ArchiveError
from ..files import read_json
from ..names import Experiment
from ..plots import INTERVENTION_FIGURES
from ..result_paths import EXPORTS, FORMATS, INTERVENTION_FILES
from ..run_manifest import NAME as RUN_MANIFEST
from ..run_manifest import describe

ARCHIVE = "critical_weight_analysis_complete.zip"
MANIFEST, MANIFEST_MD = "manifest.json", "MANIFEST.md"
README, CITATION, CONFIG = "README.md", "CITATION.cff", "config.json"
"""What is written for the archive, beside its manifests."""
SCHEMA_VERSION = "1"
FOLDERS = ("analysis", "report")
INTERVENTIONS = "interventions"
_OF_INTERVENTIONS = frozenset([
    *(f"{name}.csv" for name in INTERVENTION_FILES),
    *(f"plots/{figure}.{ending}" for figure in INTERVENTION_FIGURES for ending in FORMATS),
    "plots",  # so that a link in its place is told
])  # fmt: skip
MODEL_FACTS = "model.json"
FILES = (MODEL_FACTS, "calibration.json")
_REDO = "Run the workflow again"


@dataclass(frozen=True)
class Kind:
    """A kind of file by its path: the stage that makes it, and what it holds."""

    pattern: str
    stage: str
    meaning: str


_RUN = r"[^/]+/[^/]+/[^/_]+_[^/_]+_k\d+"
KINDS = tuple(
    Kind(pattern.replace("RUN", _RUN).replace("PM", r"[^/]+/[^/]+"), stage, meaning)
    for pattern, stage, meaning in (
        (r"PM/model\.json", "describe_model", "facts on the model: tensors, shapes, hashes"),
        (r"PM/calibration\.json", "evaluation_texts", "facts on the texts: counts and hashes"),
        (r"RUN/config\.json", "record_config", "settings of the experiment"),
        (r"RUN/experiment_manifest\.json", "manifest", "provenance, times and hashes of the experiment"),
        (r"RUN/sensitivity_stats\.json", "summarise", "statistics over all weights, and of the selection"),
        (r"RUN/top_weights\.csv", "rank", "the selected weights"),
        (r"RUN/plots/[^/]+", "plot", "figure, or its numbers"),
        (r"PM/analysis/plots/[^/]+", "plot_analysis", "figure over the metrics, or its numbers"),
        (r"PM/analysis/overlap\.csv", "overlap", "overlap between metrics"),
        (r"PM/analysis/concentration\.csv", "concentration", "how the score is spread over the weights"),
        (r"PM/analysis/.+", "analyse", "analysis over the metrics"),
        (r"PM/interventions/.+", "validate", "losses after changing the selected weights"),
        (r"PM/report/[^/]+", "report", "the report, its pages and its figures as JSON"),
        (r"report/[^/]+\.csv", "across", "a table over models, phases, checkpoints or text sets"),
        (r"report/[^/]+", "report", "the report over models and phases"),
        (r"MANIFEST\.md", "archive", "this list, for people"),
        (r"README\.md", "archive", "what is inside, how it was made, how to make it again"),
        (r"CITATION\.cff", "archive", "how to cite the software"),
        (r"config\.json", "archive", "the settings of the study, for --configfile"),
    )
)


def kind_of(path: str) -> Kind:
    """Return a file's kind; one of no known kind is said to be no work of this workflow's."""
    known = (kind for kind in KINDS if re.fullmatch(kind.pattern, path))
    return next(known, Kind(re.escape(path), "unknown", "not made by this workflow"))


def on_request(path: PurePath) -> bool:
    """Say whether a file, by its path below the results, is one that is made only when it is asked for.

    Reports and archives leave these out: nothing makes them again when what they were made from changes. In the folder
    of the interventions these are all that no report is made from: ``downstream.csv``, and what older code left.
    """
    inside = path.parts[3:] if path.parts[2:3] == (INTERVENTIONS,) else ()
    return path.name in EXPORTS.values() or (bool(inside) and "/".join(inside) not in _OF_INTERVENTIONS)


def collect(root: Path, experiments: Iterable[Experiment], *, interventions: bool = True) -> list[Path]:
    """Return the files of the archive, sorted by their path below ``root``.

    Score stores, token ids, what is made on request and hidden files (still being written) are left out; without
    ``interventions`` also what an earlier run with them left.

    Raises:
        ArchiveError: no experiment is configured, one is not complete or does not match its manifest, a link lies
            among the files (its target would not be what the archive says it is), or a file has a name that an
            archive cannot hold.
        CriticalWeightsError: a JSON file is damaged, or a file is empty.

    """
    experiments = list(experiments)
    if not experiments:
        raise ArchiveError("no experiment is configured, so there is nothing to archive",
                           fix="Add one to experiments, for example p2/bundled/gradsq_perlayer_k100")  # fmt: skip
    for place in dict.fromkeys(root / e.phase / e.model for e in experiments):
        for name in FILES:
            if not (place / name).is_file():
                raise ArchiveError(f"there is no {place / name}", fix=_REDO)
    for experiment in experiments:
        check_run(root, experiment)
    folders = [root / experiment.path for experiment in experiments] + [root / "report"]
    files: list[Path] = []
    for place in dict.fromkeys(root / e.phase / e.model for e in experiments):
        folders += [place / name for name in (*FOLDERS, *([INTERVENTIONS] if interventions else []))]
        files += [place / name for name in FILES]
    for folder in folders:
        files += [path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()]
    below = [(path.relative_to(root), path) for path in files]
    kept = {name.as_posix(): path for name, path in below if not on_request(name) and not _hidden(name)}
    _check_names(kept)
    for name, path in kept.items():
        if path.is_symlink() or not path.is_file():
            raise ArchiveError(f"{name} is a link or no ordinary file", fix="Put the file itself in its place")
        if not path.stat().st_size:
            raise ArchiveError(f"{name} is empty", fix=f"Delete it. {_REDO}")
        if path.suffix == ".json":
            read_json(path)
    return [kept[name] for name in sorted(kept)]


def _check_names(names: Iterable[str]) -> None:
    """Refuse names that the check of an archive would refuse, before an archive is made in vain."""
    names = list(names)
    for name in names:
        fault = path_fault(name)
        if not _is_utf8(name):
            fault = "a name that is not UTF-8"
        if fault:
            raise ArchiveError(f"{shown(name)} has {fault}; no archive can hold it", fix="Rename or delete it")
    for name, clash in clashes([*names, MANIFEST, MANIFEST_MD, README, CITATION, CONFIG]):
        raise ArchiveError(f"{shown(name)} {clash}; no archive can hold both", fix="Rename or delete one of them")


def _is_utf8(name: str) -> bool:
    """Say whether a name's bytes on the disk are UTF-8; Python keeps others as unpaired surrogates."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def check_run(root: Path, experiment: Experiment) -> None:
    """Check that a run folder is complete and that its files are those of its manifest.

    Raises:
        ArchiveError: it has no manifest, or a file is missing or was changed since.

    """
    folder = root / experiment.path
    if not (folder / RUN_MANIFEST).is_file():
        raise ArchiveError(f"experiment {experiment.path} is not complete: it has no {RUN_MANIFEST}",
                           fix=f"Run snakemake --cores 1 results/{experiment.path}")  # fmt: skip
    manifest, facts = read_json(folder / RUN_MANIFEST), read_json(folder.parent / MODEL_FACTS)
    if manifest["model"]["sha256"] != facts["sha256"]:
        raise ArchiveError(f"experiment {experiment.path} was made with another model than its {MODEL_FACTS} says",
                           got=manifest["model"]["sha256"], expected=facts["sha256"], fix=_REDO)  # fmt: skip
    for output in manifest["outputs"]:
        path = folder / output["path"]
        if not path.is_file():
            raise ArchiveError(f"experiment {experiment.path} has lost {output['path']}", fix=_REDO)
        if describe(path, folder) != output:
            raise ArchiveError(f"{output['path']} of experiment {experiment.path} was changed after its manifest",
                               fix=_REDO)  # fmt: skip


def entry(path: Path, root: Path) -> dict[str, Any]:
    """Return a file's line of the manifest: path, bytes, sha256, the stage that made it and what it holds."""
    return _with_kind(describe(path, root))


def describe_bytes(name: str, content: bytes) -> dict[str, Any]:
    """Return the line of the manifest of a file that is made for the archive only."""
    return _with_kind({"path": name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()})


def _with_kind(described: dict[str, Any]) -> dict[str, Any]:
    kind = kind_of(described["path"])
    return described | {"stage": kind.stage, "meaning": kind.meaning}


def path_fault(name: str) -> str | None:
    """Say what is wrong with a path inside an archive; None for a plain relative one.

    A path that leaves the folder it is unpacked into, or means something else on another system, is a fault.
    """
    if not name or "\0" in name:
        return "an empty name or one with a null character"
    if "\\" in name:
        return "a backslash, which is a folder on Windows"
    if name.startswith("/") or re.match(r"[A-Za-z]:", name):
        return "an absolute path"
    if ":" in name:
        return "a colon, which Windows gives another meaning"
    if ".." in name.split("/"):
        return "a path that climbs out with .."
    if PurePosixPath(name).as_posix() != name:
        return "a path that is not written plainly"
    return None


def clashes(names: Iterable[str]) -> list[tuple[str, str]]:
    """Return the names that mean the same file as another one, or a folder of another one, on some systems.

    Where capitals do not count, or letters with accents are spelled in two ways, one file would take the other's
    place.
    """
    first: dict[str, str] = {}
    faults = []
    names = sorted(names)
    for name in names:
        other = first.setdefault(_plain(name), name)
        if other != name:
            faults.append((name, f"is the same file as {shown(other)} where capitals do not count"))
    for name in names:
        above = next((first[_plain(str(p))] for p in PurePosixPath(name).parents if _plain(str(p)) in first), None)
        if above is not None:
            faults.append((name, f"lies in a folder that is a file too, {shown(above)}"))
    return faults


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def shown(name: str) -> str:
    """Return a name fit for a terminal."""
    return name if name.isprintable() else ascii(name)
