"""The layers that read removed channels, refitted: most of the accuracy comes back without training.

Source: He, Zhang, Sun: Channel pruning for accelerating very deep neural networks, ICCV 2017, equation 5, with a ridge
that pulls towards the weights as they were.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.log import progress
from bpnet_cli.models.channels import Channels, is_convolution
from bpnet_cli.models.walk import Values, Walk, patches

# Cells of each photo that a layer is fitted on, and the ridge as a share of the mean square of what it reads.
_CELLS, _RIDGE = 200, 1e-4
_SEED = 0


def refit(
    network: Any, pruned: Any, channels: Channels, keep: set[int], photos: Sequence[NDArray[np.uint8]]
) -> list[str]:
    """Fit the convolutions of the pruned network that read fewer channels to what they gave before.

    Returns their names. network: as it was before `shrink`. channels, keep: of it, as `shrink` got them. photos:
    (1, H, W, 3) uint8 inputs. Layer after layer: each reads what the layers before it, fitted already, make of the
    photos, and so makes up for their errors too.
    """
    gone = channels.removable - keep
    rng = np.random.default_rng(_SEED)
    before, after = Walk(network, photos), Walk(pruned, photos)
    fitted = []
    for layer in progress(pruned.layers, len(pruned.layers), "fitting layers"):
        wanted = before.run(layer.name)
        numbers = channels.inputs.get(layer.name)
        if is_convolution(layer) and numbers is not None and gone & set(numbers.tolist()):
            stay = np.flatnonzero([number not in gone for number in channels.outputs[layer.name].tolist()])
            read = [tensors[0] for tensors in after.inputs(layer.name)]
            _fit(layer, read, [values[..., stay] for values in wanted], rng)
            fitted.append(layer.name)
        after.run(layer.name)
    return fitted


def _fit(layer: Any, read: Values, wanted: Values, rng: np.random.Generator) -> None:
    """Least squares for a convolution's kernel and bias: what it reads, and what it should give, (1, h, w, C) each."""
    grids = [values.shape[1:3] for values in wanted]
    chosen = [rng.choice(h * w, min(_CELLS, h * w), replace=False) for h, w in grids]
    kernel, *bias = layer.get_weights()
    start = kernel.reshape(-1, kernel.shape[3]).astype(np.float64)
    if bias:
        start = np.vstack([start, bias[0]])
    gram, target = np.zeros((len(start),) * 2), np.zeros(start.shape)
    for patch, values, cells in zip(patches(layer, read, chosen, grids), wanted, chosen, strict=True):
        x = patch.astype(np.float64)
        if bias:
            x = np.column_stack([x, np.ones(len(x))])
        y = values.reshape(-1, values.shape[3])[cells]
        gram += x.T @ x
        target += x.T @ y
    # The ridge holds the change, not the weights: what the photos don't tell stays as it was.
    error = target - gram @ start
    gram[np.diag_indices_from(gram)] += _RIDGE * max(float(np.trace(gram)) / len(gram), 1e-12)
    solved = start + np.linalg.solve(gram, error)
    weights = [solved[: kernel[..., 0].size].reshape(kernel.shape)]
    layer.set_weights([w.astype(np.float32) for w in ([*weights, solved[-1]] if bias else weights)])
