"""Damage of conditions that leave the weights at the same values, measured by one run for all of them.

Scaling by 0 is setting to zero, scaling by -1 is a sign flip, scaling by 1 is no change, and metrics that agree on
their first weights name the same sets.
"""

from __future__ import annotations

from hashlib import blake2b

import numpy as np

from ..evaluation.damage import Damage, Evaluation
from ..interventions.apply import Applied, Places, bits

_NO_CHANGE = blake2b().digest()


class MeasuredOnce:
    """Runs the model only for values that it has not had before.

    Args:
        evaluation: of the unchanged model.

    Attributes:
        unchanged: of no change.
        spared: runs that were not needed.

    """

    def __init__(self, evaluation: Evaluation) -> None:
        self._evaluation = evaluation
        self.unchanged = evaluation.measure([])
        self._known = {_NO_CHANGE: self.unchanged}
        self.spared = 0

    def __call__(self, places: Places, done: Applied) -> Damage:
        """Return what a change does, while it is made.

        Args:
            places: the selected weights.
            done: what became of them.

        """
        key = _key(places, done)
        if key in self._known:
            self.spared += 1
        else:
            self._known[key] = self._evaluation.measure(places)
        return self._known[key]


def _key(places: Places, done: Applied) -> bytes:
    """Return a digest of the changed weights and their values; the two zeros count as one."""
    digest = blake2b()
    for name in sorted(places):
        moved = done.after[name] != done.before[name]
        if moved.any():
            digest.update(f"{name} {int(moved.sum())} ".encode())
            digest.update(np.ascontiguousarray(places[name][moved.cpu().numpy()], np.int64).tobytes())
            digest.update(bits(done.after[name][moved] + 0.0).cpu().numpy().tobytes())
    return digest.digest()
