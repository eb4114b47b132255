"""What the rules of validate.smk read and are told."""

from critical_weights.validation.conditions import intervention_errors

if mistakes := intervention_errors(config):
    stop(*mistakes)


VALIDATION_TABLES = ("interventions", "texts", "single_weights", "single_scores")


# As Snakemake takes them: it knows no ~, and ./results/x is another file to it than the results/x that a rule makes.
INTERVENTION_LISTS = [str(Path(path).expanduser()) for path in config["interventions"]["lists"]]


def validation_lists(wildcards):
    """Return the user's lists in their order, since inputs are compared sorted, and what tells their files apart."""
    return [*INTERVENTION_LISTS, own_files_told(INTERVENTION_LISTS)]


# A parameter more measures everything again that was measured without it: only where there are lists. The version of the
# code is none, since facts, tokens and scores, which all have it, are inputs.
LISTS_TOLD = {"lists_told": validation_lists} if INTERVENTION_LISTS else {}


def validation_threads(wildcards):
    """Return the threads of a validation: for a small model half the cores, so that other jobs run beside it.

    It is the longest job of a study; its results do not depend on them. A cluster is not asked for more than one.
    """
    if not is_small(wildcards.model):
        return 8
    return max(1, min(4, (workflow.resource_settings.cores or 1) // 2))


def validation_options(wildcards):
    """Return what decides the results of the interventions, as options of the script."""
    dtype = configs.resolve(config, wildcards.phase, wildcards.model, "forward")["scoring"]["dtype"]
    given = {"dtype": dtype, "seed": config["phases"][wildcards.phase]["seed"], **config["interventions"]}
    options = []
    for key, value in sorted(given.items()):
        if key not in ("enabled", "lists"):  # lists are input files
            # A negative number of a list would be taken for an option: each list is one word.
            words = ",".join(map(str, value)) if isinstance(value, list) else value
            options.append(f"--{key.replace('_', '-')}={words}")
    return options
