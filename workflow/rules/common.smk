"""The config, the experiments, the patterns of wildcards, and what the commands of all stages share."""

import gc
import json
import os
import re
import shlex
import sys
from pathlib import Path

from snakemake.settings.types import DeploymentMethod

WORKFLOW = Path(str(workflow.current_basedir)).parent
sys.path.insert(0, str(WORKFLOW / "scripts"))

from critical_weights import config as configs, result_paths
from critical_weights.texts.dataset_texts import is_folder
from critical_weights.texts.tokenizer_files import TOKENIZER_PATTERNS
from critical_weights.errors import CriticalWeightsError
from critical_weights.files import fingerprint, sha256_file
from critical_weights.metrics import FAMILIES, METRICS_BY_PATH, family_metrics
from critical_weights.names import MODES, Experiment
from critical_weights.stage_code import stage_digest

# Planning makes small objects by the million, nearly all in use to the end: looking for garbage among them each time seven
# hundred are new is a tenth of its time.
gc.set_threshold(300_000)


# A GPU runs one job at a time on this machine; on a cluster each job has its own.
resource_scopes:
    gpu="local",


def stop(*errors):
    """End with a line for each mistake, and without a traceback."""
    for error in errors:
        print(f"error: {error}", file=sys.stderr)
    sys.exit(1)


def load_config(own):
    """Lay the user's settings over the defaults, which Snakemake's own `configfile:` would lose."""
    try:
        merged = configs.merge(configs.read_config(WORKFLOW.parent / "config" / "config.yaml"), own)
    except CriticalWeightsError as error:
        stop(error)
    errors = configs.config_errors(merged)
    if errors:
        stop(*errors)
    return configs.complete(merged)


def near(path):
    """Give a path inside the working directory as a relative one, so that moving the whole reruns nothing."""
    path = Path(path)
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


for folder in ("results", "resources", "logs", "benchmarks", ".snakemake"):
    folder = Path(folder) if Path(folder).exists() else Path.cwd()
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        stop(f"{folder.absolute()} is no folder that can be written. Choose another place with --directory.")

config = load_config(config)
EXPERIMENTS = configs.experiments(config)

ENVIRONMENT = str(WORKFLOW.parent / "envs" / "critical_weights.yaml")

# Raise it by hand when model facts, token ids, scores or interventions would come out differently. The stages that
# run a model carry no digest of their code, so that a changed comment does not cost GPU hours.
SCORING_VERSION = 6
SPIKES_VERSION = 7  # of spikes alone, which take seconds: those of Mamba hybrids were looked for in the wrong matrix


def stage(script):
    """Return how to call a stage's script, as a function for `params`.

    A parameter that is made from `threads` (or input, or output) is none of those whose change reruns a job: where
    Python and the checkout lie changes no result. Jobs run under the Python that runs Snakemake, activated or not; in
    a conda environment, under that one's.
    """
    in_conda = DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method
    python = "python" if in_conda else shlex.quote(near(sys.executable))
    return lambda wildcards, threads: f"{python} {shlex.quote(near(WORKFLOW / 'scripts' / script))}"


def code(script, *data):
    """Return the digest of a stage's own code: as a parameter it reruns the stage when its modules change."""
    files = [path for pattern in data for path in sorted(WORKFLOW.glob(pattern)) if path.is_file()]
    return stage_digest(WORKFLOW / "scripts" / script, files)


def is_small(model):
    """Whether a model is so small that a scoring job needs neither a GPU of its own nor several cores."""
    return config["models"][model]["source"] == "bundled"


def one_of(names):
    return "|".join(re.escape(name) for name in names)


wildcard_constraints:
    phase=one_of(config["phases"]),
    model=one_of(config["models"]),
    metric=one_of(METRICS_BY_PATH),
    metric_full=one_of(metric.name for metric in METRICS_BY_PATH.values()),
    mode=one_of(MODES),
    k="[1-9][0-9]*",
