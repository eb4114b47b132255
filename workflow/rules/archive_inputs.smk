"""What the archive is told of the study: no place on this machine, so that moving the whole reruns nothing."""

from critical_weights.archive.config import told_settings

ARCHIVED_SETTINGS = json.dumps(told_settings(config))
