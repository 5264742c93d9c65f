"""The focal factor: large errors of a map count more than the many small errors.

Source: the focal L2 loss of Li et al., Simple Pose: Rethinking and improving a bottom-up approach for multi-person pose
estimation, AAAI 2020. Two things differ from BodyPoseNet's form:
- PAFs have negative values. So a cell counts as set by the absolute value of the target, and the prediction is
  multiplied by the target's sign.
- The factor scales the squared error, as in the paper. BodyPoseNet scales the error; its gamma g is 2g here.
"""

from __future__ import annotations

from typing import Any

from keras import ops

from bpnet_cli.plan import Focal


def focal_factor(predicted: Any, target: Any, focal: Focal) -> Any:
    """|1 + alpha - sign(t) p| ** gamma where |t| > threshold, (|p| + beta) ** gamma elsewhere.

    p: predicted maps, t: target maps of the same shape, which is also the shape of the result.
    """
    progress = ops.sign(target) * predicted
    is_set = ops.abs(target) > focal.threshold
    distance = ops.where(is_set, ops.abs(1.0 + focal.alpha - progress), ops.abs(predicted) + focal.beta)
    return ops.power(distance, focal.gamma)
