"""Run tiny models of every architecture through the whole workflow and write docs/architectures.md.

One plain Snakemake run over one config with all of them: some 450 jobs.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from architectures import ARCHITECTURES, METRICS, outcome, run_study, targets, to_markdown, write_study  # noqa: E402

DOCS = HERE.parents[1] / "docs" / "architectures.md"
TEXT = """# Architectures

What the whole workflow made of a tiny, randomly drawn model of each architecture: an ordinary folder (`source: local`),
{models} of them in one config, one run of plain `snakemake` from the model facts to the archive, in float64. Made by
`python tests/benchmarks/architectures.py`; the last run was on
{machine}.

* **Tensors, weights**: the analysed set, which is all matrices (and stacks of experts); norms and biases are left out.
* **Unmapped**: analysed tensors of which it is not known what they are, by their module or by their component's name.
  Such a tensor is scored and ranked all the same, with its axes as they are stored, and the log names it.
* **Tied**: further names of a tensor, such as a head's that is the embedding. It is scored once.
* **Fused attention tensors**: those that hold more than one of q, k and v, and the heads they are split into, in the
  order of storage, as `analysis/sensitivity_table.csv` has them.
* **Largest error**: of all {metrics} metrics and all tensors the largest norm(scores - twin) / norm(twin). The twin
  computes each metric from its definition with plain autograd in float64, text by text. Stores hold float32, which
  alone makes 3e-8. Gemma-2's and BLOOM's attention take their softmax in float32 in either.
* **Jobs**: of the model in that run. **Seconds**: of scoring, all four families together, each on one thread: reading
  the model, statistics of the texts, scores and stores, with the self-checks. The machine did other work beside.

{table}
Another architecture that transformers loads as a causal language model goes the same way: its blocks are the largest
list of modules, its components the names of its tensors. What is not known of it is told: an unmapped tensor in the log
of `describe_model`, a fused tensor in an unknown order as `not split` in `analysis/sensitivity_table.csv`, a
conservation law that does not hold by construction as `not applicable` in the report. What would come out wrong is
refused, in a line: a model that sees later tokens anywhere, and block by block one whose blocks share weights (Zamba),
run several times (HRM) or hand on more than hidden states (Gemma-3n). `tests/test_odd_models.py` holds these.
"""


def main() -> None:
    """Run all architectures and write the page."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--cores", type=int, default=os.cpu_count())
    p.add_argument("--folder", type=Path, help="where to work, and go on from an earlier run; else a temporary one")
    p.add_argument("--output", type=Path, default=DOCS)
    a = p.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = a.folder or Path(temporary)
        if not (folder / "own.yaml").is_file():
            write_study(folder, list(ARCHITECTURES))
        run_study(folder, targets(list(ARCHITECTURES)), cores=a.cores)
        outcomes = [outcome(folder, title) for title in ARCHITECTURES]
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "snakemake"))
    machine = f"{platform.machine()}, Python {platform.python_version()}, {packages}"
    text = TEXT.format(models=len(outcomes), machine=machine, metrics=len(METRICS), table=to_markdown(outcomes))
    a.output.write_text(text, encoding="utf-8")
    print(to_markdown(outcomes), end="")


if __name__ == "__main__":
    main()
