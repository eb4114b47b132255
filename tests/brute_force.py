"""The slow, obvious twins: every statistic and metric from its definition, one text and one weight at a time.

Every engine is tested against these functions, so nothing here is shared with the library: plain autograd on the
whole model, text by text, without padding, and an own cross-entropy. Notation: text ``s = 1..N`` with ``T_s``
predicted positions, ``L_s`` the sum of its next-token negative log-likelihoods, ``g_s = dL_s/dw``, corpus loss
``L = sum_s L_s / sum_s T_s``. Every function gives a dict from tensor name to a tensor in the weight's shape.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import PreTrainedModel

from brute_activations import input_statistics

Text = Sequence[int]
Named = dict[str, Tensor]


def weights(model: PreTrainedModel) -> Named:
    """Return every parameter tensor, shared storage once."""
    return dict(model.named_parameters())


def text_loss(model: PreTrainedModel, text: Text) -> Tensor:
    """Return L_s: the sum of the text's next-token negative log-likelihoods in nats, twice differentiable.

    Raises:
        ValueError: the text predicts nothing.

    """
    if len(text) < 2:
        raise ValueError(f"a text of {len(text)} tokens predicts nothing")
    with sdpa_kernel(SDPBackend.MATH), _no_padding_token(model):  # the fused kernels have no double backward
        logits = model(input_ids=torch.tensor([text]), use_cache=False).logits[0]
    loss = logits.new_zeros(())
    for position in range(len(text) - 1):
        loss = loss - torch.log_softmax(logits[position], dim=-1)[text[position + 1]]
    return loss


@contextmanager
def _no_padding_token(model: PreTrainedModel) -> Generator[None]:
    """Give every embedding row its gradient inside the block: torch leaves out the one called padding."""
    tables = [(m, m.padding_idx) for m in model.modules() if isinstance(m, torch.nn.Embedding)]
    for table, _ in tables:
        table.padding_idx = None
    try:
        yield
    finally:
        for table, padding in tables:
            table.padding_idx = padding


def predicted(texts: Sequence[Text]) -> int:
    """Return sum_s T_s."""
    return sum(len(text) - 1 for text in texts)


def corpus_loss(model: PreTrainedModel, texts: Sequence[Text]) -> Tensor:
    """Return L: the mean negative log-likelihood per predicted token."""
    return sum(text_loss(model, text) for text in texts) / predicted(texts)


def text_gradients(model: PreTrainedModel, texts: Sequence[Text]) -> list[Named]:
    """Return g_s for each text; zeros where a text does not touch a tensor."""
    gradients = []
    for text in texts:
        found = torch.autograd.grad(
            text_loss(model, text), list(weights(model).values()), allow_unused=True, materialize_grads=True
        )
        gradients.append(dict(zip(weights(model), found, strict=True)))
    return gradients


def gradient_statistics(model: PreTrainedModel, texts: Sequence[Text]) -> dict[str, Named]:
    """Return ``grad``, ``grad_sq``, ``grad_abs`` and ``grad_sq_token``, summed text by text."""
    names = ("grad", "grad_sq", "grad_abs", "grad_sq_token")
    sums = {stat: {name: torch.zeros_like(w) for name, w in weights(model).items()} for stat in names}
    for text, gradients in zip(texts, text_gradients(model, texts), strict=True):
        t_s = len(text) - 1
        for name, g_s in gradients.items():
            sums["grad"][name] += g_s / predicted(texts)
            sums["grad_sq"][name] += (g_s / t_s) ** 2 / len(texts)
            sums["grad_abs"][name] += (g_s / t_s).abs() / len(texts)
            sums["grad_sq_token"][name] += g_s**2 / predicted(texts)
    return sums


def finite_difference(model: PreTrainedModel, texts: Sequence[Text], direction: Named, step: float = 1e-3) -> float:
    """Return the derivative of the corpus loss along ``direction`` (a five-point difference: error in step^4)."""
    start = {name: weights(model)[name].detach().clone() for name in direction}

    def loss_at(distance: float) -> float:
        with torch.no_grad():
            for name, change in direction.items():
                weights(model)[name].copy_(start[name] + distance * change)
            return corpus_loss(model, texts).item()

    near = loss_at(step) - loss_at(-step)
    far = loss_at(2 * step) - loss_at(-2 * step)
    loss_at(0.0)
    return (8 * near - far) / (12 * step)


def hessian_vector_product(model: PreTrainedModel, texts: Sequence[Text], v: Mapping[str, Tensor]) -> Named:
    """Return H v, H the Hessian of the corpus loss over **all** tensors; ``v`` is 0 for those it does not name."""
    product = {name: torch.zeros_like(w) for name, w in weights(model).items()}
    parameters = list(weights(model).values())
    for text in texts:
        first = torch.autograd.grad(text_loss(model, text), parameters, create_graph=True, materialize_grads=True)
        by_name = dict(zip(weights(model), first, strict=True))
        inner = sum((by_name[name] * part).sum() for name, part in v.items())
        second = torch.autograd.grad(inner, parameters, materialize_grads=True)
        for name, part in zip(weights(model), second, strict=True):
            product[name] += part / predicted(texts)
    return product


def hutchinson(
    model: PreTrainedModel, texts: Sequence[Text], probes: Sequence[Mapping[str, Tensor]]
) -> tuple[Named, Named]:
    """Return the mean over probes of v * (H v), and its standard error (n - 1), for the tensors the probes name."""
    single = []
    for v in probes:
        product = hessian_vector_product(model, texts, v)
        single.append({name: v[name] * product[name] for name in v})
    k = len(probes)
    mean = {name: sum(one[name] for one in single) / k for name in single[0]}
    variance = {name: sum((one[name] - mean[name]) ** 2 for one in single) / (k - 1) for name in mean}
    return mean, {name: (variance[name] / k).sqrt() for name in mean}


def hessian_columns(model: PreTrainedModel, texts: Sequence[Text]) -> tuple[Named, Named]:
    """Return diag(H) and the norm of each column of H, one exact Hessian-vector product for each weight.

    For models of some hundred weights.
    """
    diagonal = {name: torch.zeros_like(w) for name, w in weights(model).items()}
    norms = {name: torch.zeros_like(w) for name, w in weights(model).items()}
    for name, weight in weights(model).items():
        for i in range(weight.numel()):
            unit = torch.zeros_like(weight)
            unit.view(-1)[i] = 1.0
            column = hessian_vector_product(model, texts, {name: unit})
            diagonal[name].view(-1)[i] = column[name].view(-1)[i]
            norms[name].view(-1)[i] = sum((part**2).sum() for part in column.values()).sqrt()
    return diagonal, norms


def _by_text(model: PreTrainedModel, texts: Sequence[Text], one: Callable[[Tensor, Tensor, int], Tensor]) -> Named:
    """Return sum over texts of ``one(w, g_s, T_s)``."""
    total = {name: torch.zeros_like(w) for name, w in weights(model).items()}
    for text, gradients in zip(texts, text_gradients(model, texts), strict=True):
        for name, w in weights(model).items():
            total[name] += one(w.detach(), gradients[name], len(text) - 1)
    return total


def scores(
    metric: str,
    model: PreTrainedModel,
    texts: Sequence[Text],
    probes: Sequence[Mapping[str, Tensor]] = (),
) -> Named:
    """Return every weight's score by the metric's full name, for the tensors that have this metric.

    Raises:
        ValueError: there is no twin for the metric.

    """
    w = {name: tensor.detach() for name, tensor in weights(model).items()}
    n, all_predicted = len(texts), predicted(texts)
    if metric == "magnitude":
        return {name: w[name].abs() for name in w}
    if metric == "act_mag":
        return {name: w[name].abs() * x for name, x in input_statistics(model, texts)["input_abs"].items()}
    if metric == "wanda":
        return {name: w[name].abs() * x**0.5 for name, x in input_statistics(model, texts)["input_sq"].items()}
    if metric == "grad_x_weight":
        total = _by_text(model, texts, lambda w, g_s, t_s: w * g_s)
        return {name: total[name].abs() / all_predicted for name in w}
    if metric == "grad_squared":
        return _by_text(model, texts, lambda w, g_s, t_s: (g_s / t_s) ** 2 / n)
    if metric == "taylor_abs":
        return _by_text(model, texts, lambda w, g_s, t_s: (w * g_s / t_s).abs() / n)
    if metric == "obd":
        return _by_text(model, texts, lambda w, g_s, t_s: 0.5 * g_s**2 / all_predicted * w**2)
    if metric == "hutchinson_diag":
        return {name: h.abs() for name, h in hutchinson(model, texts, probes)[0].items()}
    if metric == "obd_hutch":
        saliency = {name: 0.5 * h * w[name] ** 2 for name, h in hutchinson(model, texts, probes)[0].items()}
        return {name: torch.where(s > 0, s, torch.zeros_like(s)) for name, s in saliency.items()}
    raise ValueError(f"no twin for metric {metric}")


def full_sort(scored: Mapping[str, Tensor]) -> list[tuple[float, int, int]]:
    """Return (score, tensor position, flat index) of every weight: score descending, then position, then index."""
    entries = [
        (score, position, index)
        for position, tensor in enumerate(scored.values())
        for index, score in enumerate(tensor.flatten().tolist())
    ]
    return sorted(entries, key=lambda entry: (-entry[0], entry[1], entry[2]))
