"""The interventions: small elementwise changes of selected weights, one file each, found here by name.

Adding one: write a file with one decorated function and name the file in ``_FILES``. Names, meanings and strengths
can be read without importing torch; :mod:`.apply` puts one into a model and takes it out again.
"""

from __future__ import annotations

from importlib import import_module

from ..errors import unknown
from .registry import INTERVENTIONS, Intervention, Setting

_FILES = ("zero", "tensor_mean", "sign_flip", "scale", "noise", "round_bits", "bit_flip")
for _file in _FILES:
    import_module(f".{_file}", __name__)


def find_intervention(name: str) -> Intervention:
    """Return an intervention by name.

    Raises:
        ConfigError: there is none of this name; the message has the near ones.

    """
    if name not in INTERVENTIONS:
        raise unknown("intervention", name, INTERVENTIONS)
    return INTERVENTIONS[name]


__all__ = ["INTERVENTIONS", "Intervention", "Setting", "find_intervention"]
