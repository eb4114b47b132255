"""lm-evaluation-harness on a model in memory: its tasks, its scoring, its standard errors; nothing is scored here.

The harness is optional. It is imported only here, and only when a task is run.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import math
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError, unknown
from ..log import logger

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

log = logger(__name__)

INSTALL = "Run: pip install lm_eval accelerate"


@dataclass(frozen=True)
class Measured:
    """One metric of one task.

    Attributes:
        value: the harness's figure; NaN where its arithmetic overflowed.
        stderr: its standard error over the documents; NaN where the harness has none.
        n: number of documents; 0 where the harness does not tell (groups of tasks).
        better: ``higher``, ``lower``, or empty where the task does not say.
        by_document: each document's own figure, in order, where their mean is the value; else None.

    """

    value: float
    stderr: float
    n: int
    better: str
    by_document: NDArray[np.float64] | None


Results = dict[tuple[str, str, str], Measured]
"""Figures by (task, metric, filter)."""


def require_harness() -> None:
    """Check that the harness is installed.

    Raises:
        ConfigError: it is not, or a package that it needs is not.

    """
    for package in ("lm_eval", "accelerate"):
        if importlib.util.find_spec(package) is None:
            raise ConfigError(
                f"downstream tasks need lm-evaluation-harness, and {package} is not installed", fix=INSTALL
            )
    try:
        with _quiet():
            from lm_eval.models.huggingface import HFLM  # noqa: F401 (whether it can be imported)
    except ImportError as error:
        raise ConfigError(f"lm-evaluation-harness cannot be imported: {error}", fix=INSTALL) from error


def go_offline() -> None:
    """Keep hub and data sets off the network; to be called before either is imported."""
    os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"


class Harness:
    """Some tasks, ready to be run on a model as often as its weights change.

    Args:
        model: in memory, on its device.
        tokenizer: the model's.
        tasks: names of tasks, groups or tags.
        folder: local task files (YAML); a path of data in them is relative to this folder.
        batch_size: documents at a time.
        limit: documents of each task, from the first; None for all.
        bootstrap: draws for standard errors that the harness has no formula for.

    Raises:
        ConfigError: the harness is not installed, a task is unknown, or there is no such folder.

    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        tasks: Sequence[str],
        *,
        folder: Path | None = None,
        batch_size: int = 8,
        limit: int | None = None,
        bootstrap: int = 1000,
    ) -> None:
        require_harness()
        from lm_eval.tasks import TaskManager

        if folder and not folder.is_dir():
            raise ConfigError(f"there is no folder of tasks {folder}")
        self._model, self._tokenizer, self._tasks = model, tokenizer, tuple(tasks)
        self._folder = folder.resolve() if folder else None
        self._settings = {"batch_size": batch_size, "limit": limit, "bootstrap_iters": bootstrap}
        with _quiet():
            # Reading the harness's own fourteen thousand task files takes ten seconds: only where one is wanted.
            manager = TaskManager(include_path=self._folder, include_defaults=False) if folder else None
            if manager is None or set(tasks) - set(manager.all_tasks):
                manager = TaskManager(include_path=self._folder)
        for task in tasks:
            if task not in manager.all_tasks:
                raise unknown("task", task, manager.all_tasks)
        self._manager = manager

    def run(self) -> Results:
        """Run every task and return its figures, in the order of the tasks.

        A figure that overflows (a perplexity of a broken model) is NaN: an outcome, not an error.

        Raises:
            ConfigError: the data of a task cannot be had.

        """
        results: Results = {}
        for task in self._tasks:
            results |= self._run(task)
        return results

    def _run(self, task: str) -> Results:
        from lm_eval import simple_evaluate
        from lm_eval.models.huggingface import HFLM

        batch_size = self._settings["batch_size"]
        with _quiet(), contextlib.chdir(self._folder or Path.cwd()):
            wrapped = HFLM(pretrained=self._model, tokenizer=self._tokenizer, batch_size=batch_size)
            try:
                found = simple_evaluate(model=wrapped, tasks=[task], task_manager=self._manager, **self._settings)
            except OverflowError:
                log.info("%s: a figure is too large for a float; its figures are left empty", task)
                return {}
            except (OSError, ValueError) as error:  # the data sets' own errors are of these kinds
                if not _is_about_data(error):
                    raise
                raise ConfigError(
                    f"the data of task {task} cannot be had: {' '.join(str(error).split())[:200]}",
                    fix="Let them be downloaded (--download), or name local files in the task",
                ) from error
        return _figures(found)


def _is_about_data(error: Exception) -> bool:
    module = type(error).__module__.split(".")[0]
    return isinstance(error, OSError) or module in {"datasets", "huggingface_hub"} or "dataset" in str(error).lower()


def _figures(found: Mapping[str, Any]) -> Results:
    """Return the harness's figures; its keys are ``metric,filter`` and ``metric_stderr,filter``."""
    results: Results = {}
    for task, own in found["results"].items():
        for key, value in own.items():
            metric, comma, chosen = key.partition(",")
            if not comma or metric.endswith("_stderr") or not isinstance(value, int | float):
                continue
            stderr = own.get(f"{metric}_stderr,{chosen}")
            better = {True: "higher", False: "lower"}.get(found["higher_is_better"].get(task, {}).get(metric), "")
            samples = [one for one in found.get("samples", {}).get(task, []) if one.get("filter", chosen) == chosen]
            results[task, metric, "" if chosen == "none" else chosen] = Measured(
                float(value),
                float(stderr) if isinstance(stderr, int | float) else math.nan,
                int(found["n-samples"].get(task, {}).get("effective", 0)),
                better,
                _by_document(samples, metric, float(value)),
            )
    return results


def _by_document(samples: Sequence[Mapping[str, Any]], metric: str, value: float) -> NDArray[np.float64] | None:
    """Return each document's figure, in order, where their plain mean is what the harness reports."""
    figures = [one.get(metric) for one in sorted(samples, key=lambda one: one["doc_id"])]
    if not figures or not all(isinstance(figure, int | float) for figure in figures):
        return None
    array = np.array(figures, np.float64)
    return array if math.isclose(array.mean(), value, rel_tol=1e-9, abs_tol=1e-12) else None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the harness's notes and its packages' warnings off the screen; its progress bars stay."""
    names = ("lm_eval", "datasets", "accelerate")
    before = {name: logging.getLogger(name).level for name in names}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in names:
            logging.getLogger(name).setLevel(logging.ERROR)
        try:
            yield
        finally:
            for name, level in before.items():
                logging.getLogger(name).setLevel(level)
