"""What the rules of downstream.smk read and are told."""

from critical_weights.validation.conditions import downstream_errors

if mistakes := downstream_errors(config):
    stop(*mistakes)


def downstream_settings(wildcards):
    """Return the configured tasks and settings as options of the script; end where no task is configured."""
    settings = dict(config["downstream"])
    if not settings["tasks"]:
        stop("downstream.tasks is empty: name tasks of lm-evaluation-harness there, and 'include_path' for own files")
    dtype = configs.resolve(config, wildcards.phase, wildcards.model, "forward")["scoring"]["dtype"]
    options = ["--tasks", *settings.pop("tasks"), f"--dtype={dtype}"]
    options += ["--download"] if settings.pop("download") else []
    options.append(f"--seed={config['phases'][wildcards.phase]['seed']}")
    return options + [f"--{key.replace('_', '-')}={value}" for key, value in settings.items()]


def task_files(wildcards):
    """Return the local task files and their data: an edited one runs the tasks again."""
    folder = config["downstream"].get("include_path")
    return sorted(str(path) for path in Path(folder).expanduser().rglob("*") if path.is_file()) if folder else []
