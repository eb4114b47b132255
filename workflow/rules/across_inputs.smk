"""What the rules of across.smk read and are told."""

from critical_weights.tables.across import ACROSS_TABLES


from critical_weights.across.training_runs import as_option, training_runs


def all_stores(wildcards):
    """Return the score stores of all configured experiments, by phase and model as the config has them."""
    return [
        result_paths.store_file(phase, model, metric)
        for phase, model in phases_and_models()
        for metric in METRICS_BY_PATH
        if metric in {e.metric for e in configured(phase, model)}
    ]


def all_facts(wildcards):
    return [f"results/{phase}/{model}/model.json" for phase, model in phases_and_models()]


def checkpoint_options(wildcards):
    """Return the configured checkpoints of training runs, for the one table that reads them."""
    if wildcards.across_table != "checkpoints":
        return []
    models = {e.model for e in EXPERIMENTS}
    return [as_option(one) for one in training_runs({m: config["models"][m] for m in config["models"] if m in models})]
