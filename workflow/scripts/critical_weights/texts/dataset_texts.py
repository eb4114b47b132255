"""Texts of a data set, of the hub or saved on disk, by the ``datasets`` library where that is installed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from ..errors import TextError, unknown
from ..log import logger


def is_folder(dataset: str) -> bool:
    """Whether a config's ``dataset`` is a folder: it begins with ``/``, ``.`` or ``~``; else it is an id of the hub."""
    return dataset.startswith(("/", ".", "~"))


def dataset_name(dataset: str) -> str:
    """Return what a data set is called in results: its id, or the last part of its folder."""
    return Path(dataset).name if is_folder(dataset) else dataset


def read_dataset(
    dataset: str,
    *,
    config: str | None = None,
    split: str | None = None,
    revision: str | None = None,
    column: str = "text",
    rows: int | None = None,
    min_characters: int = 1,
) -> tuple[list[str], dict[str, Any]]:
    """Return the texts of a data set and where they come from.

    Args:
        dataset: id of the hub, such as ``Salesforce/wikitext``, or the folder of a saved one.
        config: configuration, such as ``wikitext-2-raw-v1``; for the hub.
        split: such as ``test``; needed where there are several.
        revision: branch, tag or commit; for the hub. It is resolved to a commit.
        column: that holds the texts.
        rows: from the first; None for all. With a number, the rest of a hub data set is not fetched.
        min_characters: rows of fewer, without the blanks around, are left out: headings, empty lines.

    Returns:
        The texts in their order, and their record: data set, configuration, split, commit, and what was left out.

    Raises:
        TextError: ``datasets`` is not installed, or the data set cannot be had or has no such part.

    """
    try:
        import datasets
    except ImportError as error:
        raise TextError(
            f"data set {dataset} needs the library 'datasets', which is not installed",
            fix="pip install datasets, or give the texts as a .txt or .jsonl file",
        ) from error
    datasets.disable_progress_bars()
    folder = is_folder(dataset)
    commit = None if folder else _commit(dataset, revision or "main")
    name = dataset_name(dataset)
    try:
        if folder:
            found = datasets.load_from_disk(str(Path(dataset).expanduser()))
        else:
            found = datasets.load_dataset(
                dataset, config, split=split, revision=commit or revision, streaming=rows is not None
            )
    except Exception as error:  # the library raises its own, the hub's, the system's and plain ones
        raise _unreadable(name, error) from error
    table = _select_split(found, split, name)
    if (columns := table.column_names) is not None and column not in columns:
        raise unknown(f"column of {name}", column, columns, TextError)
    values = _column(_rows(table, rows, name), column, name)
    texts = [value for value in values if len(value.strip()) >= min_characters]
    if not texts:
        raise TextError(f"data set {name} has no text of {min_characters} characters in its {len(values)} rows")
    record = {
        "dataset": name, "config": config, "split": split, "revision": revision or (None if folder else "main"),
        "commit": commit, "column": column, "rows": len(values), "min_characters": min_characters,
        "n_left_out": len(values) - len(texts), "n_texts": len(texts),
    }  # fmt: skip
    logger(__name__).info("%s: %d texts of %d rows", label(record), len(texts), len(values))
    return texts, record


def label(record: dict[str, Any]) -> str:
    """Return a data set's name for people: id, configuration and split."""
    return "/".join(str(record[key]) for key in ("dataset", "config", "split") if record[key])


def _commit(dataset: str, revision: str) -> str | None:
    """Return the commit of a revision; None offline, where the library takes what its cache has."""
    from huggingface_hub import HfApi

    from ..hub.errors import HUB_ERRORS, cannot_be_reached, explain
    from ..hub.listing import COMMIT
    from ..hub.retry import ask

    try:
        commit = ask(lambda: HfApi().dataset_info(dataset, revision=revision, timeout=30)).sha
    except HUB_ERRORS as error:
        if cannot_be_reached(error):
            return revision if COMMIT.fullmatch(revision) else None
        raise TextError(f"data set: {explain(error, dataset, revision)}") from error
    if commit != revision:
        logger(__name__).warning(
            "warning: '%s' of %s is a name that can move; it is %s now. Put that commit into the config as revision",
            revision, dataset, commit,
        )  # fmt: skip
    return commit


def _select_split(found: Any, split: str | None, name: str) -> Any:
    """Return one table of what was loaded: of a data set with several splits the one that is named."""
    if not isinstance(found, dict):
        return found
    if split is None and len(found) > 1:
        raise TextError(f"data set {name} has several splits", got="no split", expected=" or ".join(found))
    if split is not None and split not in found:
        raise unknown(f"split of {name}", split, found, TextError)
    return found[split or next(iter(found))]


def _rows(table: Iterable[dict[str, Any]], count: int | None, name: str) -> Iterator[dict[str, Any]]:
    try:
        yield from islice(table, count)
    except Exception as error:  # with a number of rows the hub is asked only now
        raise _unreadable(name, error) from error


def _column(rows: Iterable[dict[str, Any]], column: str, name: str) -> list[str]:
    values = []
    for number, row in enumerate(rows, 1):
        if not isinstance(row.get(column), str):
            raise TextError(f"row {number} of data set {name} has no text in column '{column}'")
        values.append(row[column])
    return values


def _unreadable(name: str, error: Exception) -> TextError:
    return TextError(f"data set {name} cannot be read: {_first_line(error)}")


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
