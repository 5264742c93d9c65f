"""The training pipeline: an endless, reproducible stream of batches.

Sample number p of the stream is a pure function of (seed, p): epoch p // n visits every sample once in an order of its
own, and a sample's augmentation depends on (seed, epoch, sample). So any run can start at any position, and the number
of parallel workers changes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bpnet_cli.data.augment import Augmentation, draw_colour, draw_geometry, move_keypoints, warp_image
from bpnet_cli.data.masks import warp_mask
from bpnet_cli.data.memory import BatchMemory
from bpnet_cli.data.photos import Photo
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
# Maps (rows, columns, channels) that another network makes of an image (height, width, 3) uint8 RGB.
Teacher = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
# A bilinear warp that shrinks more than this leaves pixels out, which makes it sharper than shrinking by area.
_SMOOTH_BELOW, _SMOOTH_SIGMA = 0.75, 0.5
# More would fight for the interpreter's lock, which a sample holds for a tenth of its time.
MOST_WORKERS = 16
# Keep the random numbers of the order apart from those of the samples.
_ORDER_STREAM, _SAMPLE_STREAM = 0, 1


@dataclass(frozen=True, eq=False)
class SampleLoader:
    """Loads sample number `position` of the endless stream.

    samples: what to look at. height, width: network input in pixels. stride: input pixels per map cell.
    max_people: people per sample after padding; the stream never drops one, so it is the most in any photo.
    teacher: makes maps to learn from, of every image as it is augmented; None where labels are all.
    failures: errors met by workers, kept here because tf.data turns exceptions into text.
    memory: where batches of images are written. seed: below 2 ** 32.
    """

    samples: Sequence[Sample]
    skeleton: Skeleton
    augmentation: Augmentation
    height: int
    width: int
    stride: int
    seed: int
    max_people: int
    teacher: Teacher | None = None
    failures: list[BpnetError] = field(default_factory=list)
    memory: BatchMemory = field(default_factory=BatchMemory)

    def load(self, position: int) -> tuple[NDArray[Any], ...]:
        """Image (height, width, 3) uint8 RGB; keypoints (max_people, K, 3); mask (rows, columns); labelled (K,).

        With a teacher, also its maps (rows, columns, K + 1 + 2L), heatmaps first. All but the image float32.
        """
        images = np.empty((1, self.height, self.width, 3), np.uint8)
        return tuple(array[0] for array in self._load([position], images))

    def locate(self, position: int) -> tuple[int, int]:
        """Epoch and index of the sample at a position of the stream."""
        epoch, offset = divmod(int(position), len(self.samples))
        return epoch, int(_epoch_order(self.seed, epoch, len(self.samples))[offset])

    def load_batch(self, batch_size: int, start: int) -> tuple[NDArray[Any], ...]:
        """The arrays of `load` for positions start .. start + batch_size - 1, stacked along a first axis.

        Keeps a user-facing error in `failures` on its way out; after one, every call fails at once. So the workers are
        idle when the process ends: one that outlives the interpreter would abort it.
        """
        images = self.memory.lend((batch_size, self.height, self.width, 3))
        try:
            return self._load(self._unless_failed(range(start, start + batch_size)), images)
        except BpnetError as error:
            if error not in self.failures:
                self.failures.append(error)
            raise

    def _unless_failed(self, positions: Iterable[int]) -> Iterator[int]:
        for position in positions:
            if self.failures:
                raise self.failures[0]
            yield position

    def _load(self, positions: Iterable[int], images: NDArray[np.uint8]) -> tuple[NDArray[Any], ...]:
        """Load as many positions as `images` (B, height, width, 3) has room for, into it."""
        photos, matrices, mirrored, taught = [], [], [], []
        for image, position in zip(images, positions, strict=True):
            epoch, index = self.locate(position)
            sample = self.samples[index]
            # The same numbers as from a list, which takes twice as long.
            rng = np.random.default_rng(np.array([_SAMPLE_STREAM, self.seed, epoch, index], np.uint32))
            matrix, flip = draw_geometry(rng, self.augmentation, sample, self.height, self.width)
            colour = draw_colour(rng, self.augmentation)
            read_warped(sample.photo, matrix, self.height, self.width, colour, image)
            if self.teacher:
                taught.append(self.teacher(image))
            photos.append(sample.photo)
            matrices.append(matrix)
            mirrored.append(flip)
        labels = self._labels(photos, np.stack(matrices), np.array(mirrored))
        return (images, *labels, np.stack(taught)) if self.teacher else (images, *labels)

    def _labels(
        self, photos: Sequence[Photo], matrices: NDArray[np.float64], mirrored: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Keypoints, masks and labelled of a batch: numpy's calls cost the same for one sample as for all."""
        permutation = self.skeleton.flip_permutation
        counts = np.array([len(photo.keypoints) for photo in photos])
        people = np.concatenate([photo.keypoints for photo in photos])
        people = move_keypoints(people, matrices.repeat(counts, axis=0), mirrored.repeat(counts), permutation)
        keypoints = np.zeros((len(photos), self.max_people, *people.shape[1:]), np.float32)
        keypoints[np.arange(self.max_people) < counts[:, None]] = people

        to_cells = resize_affine(1 / self.stride, 1 / self.stride)
        masks = np.ones((len(photos), self.height // self.stride, self.width // self.stride), np.float32)
        for mask, photo, matrix in zip(masks, photos, matrices, strict=True):
            if photo.ignore is not None:
                mask[:] = warp_mask(photo.ignore, compose_affine(to_cells, matrix), *mask.shape)

        labelled = np.array([photo.labelled for photo in photos], np.float32)
        return keypoints, masks, np.where(mirrored[:, None], labelled[:, permutation], labelled)


def make_loader(
    samples: Sequence[Sample],
    skeleton: Skeleton,
    augmentation: Augmentation,
    *,
    height: int,
    width: int,
    stride: int,
    seed: int,
    teacher: Teacher | None = None,
) -> SampleLoader:
    """A loader padded to the most people that any photo holds."""
    most = max(len(sample.photo.keypoints) for sample in samples)
    return SampleLoader(samples, skeleton, augmentation, height, width, stride, seed, max(1, most), teacher)


def make_pipeline(
    loader: SampleLoader, batch_size: int, *, start: int = 0, step: int | None = None, workers: int | None = None
) -> Any:
    """An endless tf.data.Dataset of (images, labels) from stream position `start` on.

    images: (B, height, width, 3) uint8 RGB. labels: keypoints (B, P, K, 3) float32 x, y, visibility in input pixels;
    mask (B, rows, columns) float32, 1 counts in the loss; labelled (B, K) float32, 0 where the data set does not label
    a keypoint; with a teacher, teacher (B, rows, columns, K + 1 + 2L) float32. step: positions from one batch to the
    next, `batch_size` by default; more where others take the positions between. workers: batches loaded at once, by
    default one per core, 16 at most.
    """
    import tensorflow as tf

    keypoints = len(loader.skeleton.keypoints)
    grid = (loader.height // loader.stride, loader.width // loader.stride)
    channels = loader.skeleton.heatmap_channels + loader.skeleton.paf_channels
    shapes = [(loader.max_people, keypoints, 3), grid, (keypoints,), (*grid, channels)]
    labels = dict(zip(label_names(loader), shapes, strict=False))
    outputs: list[Any] = [(tf.uint8, (batch_size, loader.height, loader.width, 3))]
    outputs += [(tf.float32, (batch_size, *shape)) for shape in labels.values()]

    def named(image: Any, *arrays: Any) -> Any:
        return image, dict(zip(labels, arrays, strict=True))

    load = partial(loader.load_batch, batch_size)
    return map_batches(load, outputs, step or batch_size, start=start, workers=workers).map(named)


def label_names(loader: SampleLoader) -> tuple[str, ...]:
    """Names of the arrays that `SampleLoader.load_batch` gives after the images."""
    names = ("keypoints", "mask", "labelled")
    return (*names, "teacher") if loader.teacher else names


def map_batches(
    work: Callable[[Any], Any], outputs: Sequence[Any], step: int, *, start: int = 0, workers: int | None = None
) -> Any:
    """An endless tf.data.Dataset of work(p) for the stream positions p = start, start + step, ... in order.

    outputs: (type, shape) of each array that `work` returns. workers: calls at once. A call makes a whole batch:
    handing samples over one by one takes a tenth of the time.
    """
    import tensorflow as tf

    def call(position: Any) -> Any:
        arrays = tf.numpy_function(work, [position], [kind for kind, _ in outputs])
        for array, (_, shape) in zip(arrays, outputs, strict=True):
            array.set_shape(shape)
        return tuple(arrays)

    # The workers fill the cores; OpenCV's own threads would only fight with them.
    cv2.setNumThreads(1)
    positions = tf.data.Dataset.range(start, np.iinfo(np.int64).max, step)
    calls = workers or min(os.cpu_count() or 1, MOST_WORKERS)
    return positions.map(call, num_parallel_calls=calls, deterministic=True).prefetch(2)


def read_warped(
    photo: Photo,
    matrix: NDArray[np.float64],
    height: int,
    width: int,
    colour: NDArray[np.float32] | None = None,
    out: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]:
    """Read a photo and warp it; decodes at a reduced size where the warp shrinks anyway. Raises DataError.

    colour: 3 x 4 map of RGB to RGB, applied last. out: (height, width, 3) to write into.

    A little blur before the warp, where it shrinks much, gives crops the sharpness that `letterbox`'s shrinking by area
    has at inference. Shrinking by area and then warping would blur twice, and take longer.
    """
    (a, b), (c, d) = matrix[:, :2].tolist()
    shrink = abs(a * d - b * c) ** 0.5
    factor, flag = next((f, flag) for f, flag in _REDUCED_READS if f * shrink <= 1 or f == 1)
    image = photo.image.decode(flag)
    to_photo = resize_affine(*_decoded_scale(photo, image.shape[1], image.shape[0], factor))
    if factor * shrink < _SMOOTH_BELOW:
        image = cv2.GaussianBlur(image, (3, 3), _SMOOTH_SIGMA)
    # OpenCV warps four channels in two thirds of the time that three take.
    rgba = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGBA), np.uint8)
    warped = warp_image(rgba, compose_affine(matrix, to_photo), height, width)
    if colour is None:
        return np.asarray(cv2.cvtColor(warped, cv2.COLOR_RGBA2RGB, out), np.uint8)
    plain = cv2.cvtColor(warped, cv2.COLOR_RGBA2RGB)
    return np.asarray(cv2.transform(plain, colour, out), np.uint8)


def _decoded_scale(photo: Photo, width: int, height: int, factor: int) -> tuple[float, float]:
    """Photo pixels per pixel of its decoding at 1/factor, along x and y.

    JPEGs shrink by exactly the factor, their last row and column being partly padding; for other formats OpenCV resizes
    the whole photo to the size rounded down.
    """
    if (width, height) == (-(-photo.width // factor), -(-photo.height // factor)):
        return float(factor), float(factor)
    if (width, height) == (photo.width // factor, photo.height // factor):
        return photo.width / width, photo.height / height
    raise DataError(
        f"{photo.image.name}: decodes to {width} x {height} at 1/{factor}, but the labels are for"
        f" {photo.width} x {photo.height} (is it rotated by its EXIF entry?)"
    )


@lru_cache(maxsize=4)
def _epoch_order(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    return np.random.default_rng([_ORDER_STREAM, seed, epoch]).permutation(count)
