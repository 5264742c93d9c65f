"""The size of people in training, compared with their size in inference."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bpnet_cli.data.augment import Augmentation, zoom_of
from bpnet_cli.data.samples import Sample

# A size that is outside of the training sizes by less than this share does too little harm for a hint.
_SLACK = 0.05


def size_hint(
    samples: Sequence[Sample],
    augmentation: Augmentation,
    training_size: tuple[int, int],
    inference_size: tuple[int, int | None],
) -> str:
    """A hint if the median person has a size in inference that no training crop gives the median person, else "".

    Then the network meets people of a size that it hasn't learnt. Sizes are box heights in input pixels.
    training_size, inference_size: (height, width) of the network's input in pixels; a width of None follows the shape
    of the photo.
    """
    learnt, met = [], []
    for sample in samples:
        photo = sample.photo
        boxes = photo.boxes if sample.person is None else photo.boxes[[sample.person]]
        if not len(boxes):
            continue
        learnt.append(boxes[:, 3] * zoom_of(sample, augmentation, *training_size))
        height, width = inference_size
        met.append(boxes[:, 3] * min(height / photo.height, (width or np.inf) / photo.width))
    if not learnt:
        return ""
    middle = float(np.median(np.concatenate(learnt)))
    low, high = (middle * scale for scale in augmentation.scale)
    usual = float(np.median(np.concatenate(met)))
    if low * (1 - _SLACK) <= usual <= high * (1 + _SLACK):
        return ""
    sizes = f"{low:.0f}" if round(low) == round(high) else f"{low:.0f} to {high:.0f}"
    return (
        f"the median person is {sizes} pixels high in training, but {usual:.0f} in inference and validation: this"
        f" lowers AP; change inference.input_height ({inference_size[0]}), model.input_height ({training_size[0]}) or"
        " augmentation.scale"
    )
