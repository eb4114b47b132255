"""What the archive is told of the study: no place on this machine, so that moving the whole reruns nothing."""

from critical_weights.archive.config import study_errors, told_settings

ARCHIVED_SETTINGS = json.dumps(told_settings(config, EXPERIMENTS, read_criteria(config)))

# Else the last jobs of the study would fail, after all the others.
if mistakes := study_errors(EXPERIMENTS, ARCHIVED_SETTINGS):
    stop(*mistakes)
