"""The training pipeline: an endless, reproducible stream of batches.

Sample number p of the stream is a pure function of (seed, p): epoch p // n visits every sample once in an order of its
own, and a sample's augmentation depends on (seed, epoch, sample). So any run can start at any position, and the number
of parallel workers changes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bpnet_cli.data.augment import Augmentation, draw_colour, draw_geometry, move_keypoints, warp_image
from bpnet_cli.data.coco import Photo
from bpnet_cli.data.masks import warp_mask
from bpnet_cli.data.samples import Sample
from bpnet_cli.errors import BpnetError, DataError
from bpnet_cli.pose.geometry import compose_affine, resize_affine
from bpnet_cli.pose.skeleton import Skeleton

# OpenCV decodes JPEGs at these fractions for a fraction of the time.
_REDUCED_READS = (
    (8, cv2.IMREAD_REDUCED_COLOR_8),
    (4, cv2.IMREAD_REDUCED_COLOR_4),
    (2, cv2.IMREAD_REDUCED_COLOR_2),
    (1, cv2.IMREAD_COLOR),
)
# Keep the random numbers of the order apart from those of the samples.
_ORDER_STREAM, _SAMPLE_STREAM = 0, 1


@dataclass(frozen=True, eq=False)
class SampleLoader:
    """Loads sample number `position` of the endless stream.

    samples: what to look at. height, width: network input in pixels. stride: input pixels per map cell.
    max_people: people per sample after padding; the stream never drops one, so it is the most in any photo.
    failures: errors met by workers, kept here because tf.data turns exceptions into text.
    """

    samples: Sequence[Sample]
    skeleton: Skeleton
    augmentation: Augmentation
    height: int
    width: int
    stride: int
    seed: int
    max_people: int
    failures: list[BpnetError] = field(default_factory=list)

    def load(
        self, position: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Image (height, width, 3) uint8 RGB; keypoints (max_people, K, 3); mask (rows, columns); labelled (K,)."""
        epoch, offset = divmod(int(position), len(self.samples))
        index = int(_epoch_order(self.seed, epoch, len(self.samples))[offset])
        rng = np.random.default_rng([_SAMPLE_STREAM, self.seed, epoch, index])
        sample = self.samples[index]
        matrix, mirrored = draw_geometry(rng, self.augmentation, sample, self.height, self.width)
        image = read_warped(sample.photo, matrix, self.height, self.width)
        colour = draw_colour(rng, self.augmentation)
        if colour is not None:
            image = np.asarray(cv2.transform(image, colour), np.uint8)
        keypoints = move_keypoints(sample.photo.keypoints, matrix, mirrored, self.skeleton.flip_permutation)
        people = np.zeros((self.max_people, *keypoints.shape[1:]), np.float32)
        people[: len(keypoints)] = keypoints
        labelled = sample.photo.labelled[self.skeleton.flip_permutation] if mirrored else sample.photo.labelled
        to_cells = compose_affine(resize_affine(1 / self.stride, 1 / self.stride), matrix)
        mask = warp_mask(sample.photo.ignore, to_cells, self.height // self.stride, self.width // self.stride)
        return image, people, mask, labelled.astype(np.float32)

    def load_or_record(self, position: int) -> tuple[NDArray[Any], ...]:
        """`load`, keeping a user-facing error in `failures` on its way out."""
        try:
            return self.load(position)
        except BpnetError as error:
            self.failures.append(error)
            raise


def make_loader(
    samples: Sequence[Sample],
    skeleton: Skeleton,
    augmentation: Augmentation,
    *,
    height: int,
    width: int,
    stride: int,
    seed: int,
) -> SampleLoader:
    """A loader padded to the most people that any photo holds."""
    most = max(len(sample.photo.keypoints) for sample in samples)
    return SampleLoader(samples, skeleton, augmentation, height, width, stride, seed, max(1, most))


def make_pipeline(loader: SampleLoader, batch_size: int, *, start: int = 0, workers: int | None = None) -> Any:
    """An endless tf.data.Dataset of (images, labels) from stream position `start` on.

    images: (B, height, width, 3) uint8 RGB. labels: keypoints (B, P, K, 3) float32 x, y, visibility in input pixels;
    mask (B, rows, columns) float32, 1 counts in the loss; labelled (B, K) float32, 0 where the data set does not label
    a keypoint. workers: photos loaded at once, by default one per core.
    """
    import tensorflow as tf

    keypoints = len(loader.skeleton.keypoints)
    rows, columns = loader.height // loader.stride, loader.width // loader.stride

    def load(position: Any) -> Any:
        image, people, mask, labelled = tf.numpy_function(
            loader.load_or_record, [position], (tf.uint8, tf.float32, tf.float32, tf.float32)
        )
        image.set_shape((loader.height, loader.width, 3))
        people.set_shape((loader.max_people, keypoints, 3))
        mask.set_shape((rows, columns))
        labelled.set_shape((keypoints,))
        return image, {"keypoints": people, "mask": mask, "labelled": labelled}

    positions = tf.data.Dataset.range(start, np.iinfo(np.int64).max)
    loaded = positions.map(load, num_parallel_calls=workers or os.cpu_count(), deterministic=True)
    return loaded.batch(batch_size, drop_remainder=True).prefetch(2)


def read_warped(photo: Photo, matrix: NDArray[np.float64], height: int, width: int) -> NDArray[np.uint8]:
    """Read a photo and warp it; decodes at a reduced size where the warp shrinks anyway. Raises DataError.

    Shrinks by area first, as `letterbox` does at inference, so that a network sees the same pixels in both.
    """
    shrink = np.sqrt(abs(np.linalg.det(matrix[:, :2])))
    factor, flag = next((f, flag) for f, flag in _REDUCED_READS if f * shrink <= 1 or f == 1)
    image = photo.image.decode(flag)
    to_photo = resize_affine(*_decoded_scale(photo, image.shape[1], image.shape[0], factor))
    size = (max(1, round(photo.width * shrink)), max(1, round(photo.height * shrink)))
    if size[0] < image.shape[1] and size[1] < image.shape[0]:
        to_decoded = resize_affine(image.shape[1] / size[0], image.shape[0] / size[1])
        to_photo = compose_affine(to_photo, to_decoded)
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    warped = warp_image(np.asarray(image, np.uint8), compose_affine(matrix, to_photo), height, width)
    return np.asarray(cv2.cvtColor(warped, cv2.COLOR_BGR2RGB), np.uint8)


def _decoded_scale(photo: Photo, width: int, height: int, factor: int) -> tuple[float, float]:
    """Photo pixels per pixel of its decoding at 1/factor, along x and y.

    JPEGs shrink by exactly the factor, their last row and column being partly padding; for other formats OpenCV resizes
    the whole photo to the size rounded down.
    """
    full = (photo.width, photo.height)
    if (width, height) == tuple(-(-side // factor) for side in full):
        return float(factor), float(factor)
    if (width, height) == tuple(side // factor for side in full):
        return full[0] / width, full[1] / height
    raise DataError(
        f"{photo.image.name}: decodes to {width} x {height} at 1/{factor}, but the labels are for"
        f" {photo.width} x {photo.height} (is it rotated by its EXIF entry?)"
    )


@lru_cache(maxsize=4)
def _epoch_order(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    return np.random.default_rng([_ORDER_STREAM, seed, epoch]).permutation(count)
