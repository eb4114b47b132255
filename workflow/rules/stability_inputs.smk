"""What the rules of stability.smk read and are told."""


def stores_of_other_seeds(wildcards):
    """Return the stores, of the same metrics, of configured phases that differ in the seed alone."""
    phases, model = config["phases"], wildcards.model
    own = phases[wildcards.phase]
    metrics = {e.metric for e in configured(wildcards.phase, model)}
    return [
        result_paths.store_file(phase, model, metric)
        for phase, settings in phases.items()
        if settings["seed"] != own["seed"] and settings | {"seed": own["seed"]} == own
        for metric in METRICS_BY_PATH
        if metric in metrics & {e.metric for e in configured(phase, model)}
    ]
