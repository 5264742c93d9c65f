"""The focal factor: errors where a map is far from right count more than the many that are nearly right.

Source: the focal L2 loss of Li et al., Simple Pose: Rethinking and improving a bottom-up approach for multi-person pose
estimation, AAAI 2020. Two things differ from BodyPoseNet's form of it: PAFs have negative values, so what counts as set
is judged by the target's absolute value and progress by the prediction's component along the target's sign; and the
factor scales the squared error, as in the paper, where BodyPoseNet scales the error (its gamma g is 2g here).
"""

from __future__ import annotations

from typing import Any

from keras import ops

from bpnet_cli.plan import Focal


def focal_factor(predicted: Any, target: Any, focal: Focal) -> Any:
    """|1 + alpha - sign(t) p| ** gamma where |t| > threshold, (|p| + beta) ** gamma elsewhere; shape of `predicted`."""
    progress = ops.sign(target) * predicted
    is_set = ops.abs(target) > focal.threshold
    distance = ops.where(is_set, ops.abs(1.0 + focal.alpha - progress), ops.abs(predicted) + focal.beta)
    return ops.power(distance, focal.gamma)
