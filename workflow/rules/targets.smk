"""Rules named after run folders, and a plain word on targets that are wrong.

A run folder is no output: each file in it belongs to its own stage. Snakemake takes a word on the command line for the
name of a rule first, so a rule that is named after the folder and only has inputs makes the folder a target. The runs
that the config does not list are known from the command line alone.
"""

from snakemake.cli import get_argument_parser

from critical_weights.compare.config import compared_sources
from critical_weights.needs import (
    beyond_candidates,
    missing_intervention_lists,
    missing_lists,
    missing_models,
    missing_tasks,
    missing_texts,
    paths_with_braces,
)
from critical_weights.targets import nothing_configured, target_files


def typed_targets():
    """Return the targets on the command line; None where they are of something else.

    That is a workflow that uses this one as a module, a program that runs Snakemake, or a job that Snakemake starts.
    """
    if len(workflow.modifier_stack) > 1 or Path(sys.argv[0]).name not in ("snakemake", "__main__.py"):
        return None
    arguments, _ = get_argument_parser().parse_known_args(sys.argv[1:])
    return None if arguments.target_jobs else list(arguments.targets)


def checked_targets(words):
    """Return, for each target, the files it asks for; end with a line for each mistake in them."""
    rule_names = {rule.name for rule in workflow.rules}
    asked, errors = {}, []
    for word in words:
        try:
            asked[word] = target_files(word, config, rule_names)
        except CriticalWeightsError as error:
            errors.append(error)
    wanted = [file for files in asked.values() for file in files]
    if not words or "all" in words:
        wanted += [*small_results(), *all_comparisons()]
        errors += [] if EXPERIMENTS or COMPARISONS else [nothing_configured("rule all")]
    wanted += compared_sources(wanted, config)
    errors += [*missing_models(wanted, config), *missing_texts(wanted, config), *missing_lists(wanted, config)]
    errors += [*missing_intervention_lists(wanted, config), *missing_tasks(config), *paths_with_braces(config)]
    if errors:
        stop(*errors)
    for warning in beyond_candidates(wanted, config):
        print(f"warning: {warning}", file=sys.stderr)
    return asked


typed = typed_targets()
folders = {
    f"results/{experiment.path}{end}": target_files(f"results/{experiment.path}", config, ())
    for experiment in EXPERIMENTS
    for end in ("", "/")
}
for word, files in (folders | ({} if typed is None else checked_targets(typed))).items():
    if files and files != [word]:

        rule:
            name:
                word
            input:
                files,
