"""What is gathered from texts, by name: its definition, and the family of scoring pass that yields it.

Notation as in the README: text ``s = 1..N`` with ``T_s`` predicted positions, ``L_s`` the sum of its next-token
negative log-likelihoods in nats, ``g_s = dL_s/dw``.
"""

from __future__ import annotations

from dataclasses import dataclass

FAMILIES = ("static", "forward", "gradient", "curvature")
"""A scoring pass each: no run of the model; forward only; forward and backward; Hessian-vector products."""


@dataclass(frozen=True)
class Statistic:
    """One statistic: its name, the family of pass that gathers it, and its definition."""

    name: str
    family: str
    definition: str


STATISTICS = {
    s.name: s
    for s in (
        Statistic("input_abs", "forward", "mean over tokens of abs(x_j), x the input on the weight's input axis"),
        Statistic("input_sq", "forward", "mean over texts of sum_t x_tj^2"),
        Statistic("grad", "gradient", "g = sum_s g_s / sum_s T_s, the gradient of the mean loss per token"),
        Statistic("grad_sq", "gradient", "(1/N) sum_s (g_s / T_s)^2, the empirical Fisher diagonal by text"),
        Statistic("grad_abs", "gradient", "(1/N) sum_s abs(g_s / T_s)"),
        Statistic("grad_sq_token", "gradient", "sum_s g_s^2 / sum_s T_s, the stand-in for the Hessian's diagonal"),
        Statistic("hessian_diag", "curvature", "(1/K) sum_k v_k * (H v_k), H the Hessian of the mean loss per token"),
        Statistic("hessian_stderr", "curvature", "standard error of hessian_diag over the K probes (n - 1)"),
    )
}
