"""What the rules of compare.smk read and are told."""

from critical_weights.compare.config import comparison_errors, comparisons, facts_file

if mistakes := comparison_errors(config):
    stop(*mistakes)


COMPARISONS = comparisons(config)


def compared_lists(wildcards):
    return COMPARISONS[wildcards.comparison].lists


def compared_facts(wildcards):
    file = facts_file(config, COMPARISONS[wildcards.comparison].model)
    return [file] if file else []


def compared_model(wildcards):
    """Return what tells the script the model's shapes: its facts, or the name of one whose sizes are known."""
    model = COMPARISONS[wildcards.comparison].model
    facts = compared_facts(wildcards)
    return [f"--facts={file}" for file in facts] or ([f"--shape={model}"] if model else [])


def all_comparisons():
    return [file for name in COMPARISONS for file in result_paths.compare_files(name)]
