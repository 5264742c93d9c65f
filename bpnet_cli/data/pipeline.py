"""The training pipeline: an endless, reproducible stream of batches.

Sample number p of the stream is a pure function of (seed, p). With n samples, epoch p // n visits every sample once, in
a new order for each epoch. The augmentation of a sample depends on (seed, epoch, sample). So a run can start at any
position, and the number of parallel workers changes nothing.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bpnet_cli.data.augment import Augmentation, draw_colour, draw_geometry, warp_image
from bpnet_cli.data.masks import warp_mask
from bpnet_cli.data.memory import BatchMemory
from bpnet_cli.data.padding import pad, people_near, places_for
from bpnet_cli.data.photos import Photo
from bpnet_cli.data.samples import Sample
from bpnet_cli.errors import BpnetError, DataError
from bpnet_cli.pose.geometry import compose_affine, resize_affine
from bpnet_cli.pose.skeleton import Skeleton

# OpenCV can decode a JPEG at 1/8, 1/4 or 1/2 of its size, which is much faster.
_REDUCED_READS = (
    (8, cv2.IMREAD_REDUCED_COLOR_8),
    (4, cv2.IMREAD_REDUCED_COLOR_4),
    (2, cv2.IMREAD_REDUCED_COLOR_2),
    (1, cv2.IMREAD_COLOR),
)
# A function from an image (height, width, 3) uint8 RGB to another network's maps (rows, columns, channels) float32.
Teacher = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
# A bilinear warp to a scale below the first value skips pixels, so its result is sharper than after shrinking by area.
# A Gaussian blur with the second value as sigma, in pixels, evens this out.
_SMOOTH_BELOW, _SMOOTH_SIGMA = 0.75, 0.5
# More workers would wait for the interpreter's lock: loading a sample holds the lock for a tenth of its time.
MOST_WORKERS = 16
# The first part of a seed. So the order and the samples have independent random numbers.
_ORDER_STREAM, _SAMPLE_STREAM = 0, 1


@dataclass(frozen=True, eq=False)
class SampleLoader:
    """Loads sample number `position` of the endless stream.

    height, width: network input in pixels. stride: input pixels per map cell. seed: below 2 ** 32.
    max_people: the largest number of people in a photo. reach_px: how far from a keypoint or limb the maps are marked,
        see `pose.targets.reach_px`; people who are farther outside of a crop are left out of its labels.
    teacher: makes maps to learn from, from every augmented image; None: the network learns from labels only.
    failures: errors of workers, kept here because tf.data turns exceptions into text.
    memory: buffers for batches of images. in_work: the first positions of the batches that workers are loading.
    """

    samples: Sequence[Sample]
    skeleton: Skeleton
    augmentation: Augmentation
    height: int
    width: int
    stride: int
    seed: int
    max_people: int
    reach_px: float = math.inf
    teacher: Teacher | None = None
    failures: list[BpnetError] = field(default_factory=list)
    memory: BatchMemory = field(default_factory=BatchMemory)
    in_work: set[int] = field(default_factory=set)

    def load(self, position: int) -> tuple[NDArray[Any], ...]:
        """Image (height, width, 3) uint8 RGB; keypoints (P, K, 3); mask (rows, columns), 1: counts; labelled (K,).

        P comes from `places_for`. With a teacher, also its maps (rows, columns, K + 1 + 2L), heatmaps first. All
        arrays except the image are float32. Raises BpnetError.
        """
        images = np.empty((1, self.height, self.width, 3), np.uint8)
        return tuple(array[0] for array in self._load([position], images))

    def locate(self, position: int) -> tuple[int, int]:
        """The epoch, and the index in `samples`, that belong to a position of the stream."""
        epoch, offset = divmod(int(position), len(self.samples))
        return epoch, int(_epoch_order(self.seed, epoch, len(self.samples))[offset])

    def load_batch(self, batch_size: int, start: int, step: int | None = None) -> tuple[NDArray[Any], ...]:
        """The arrays of `load` for positions start .. start + batch_size - 1, stacked along a new first axis.

        step: length of the whole batch if several hosts share it; the batch begins at a multiple of `step`. All hosts
        pad the keypoints to the same size.
        A BpnetError is kept in `failures` and raised. After the first one, every call fails at once. So no worker is
        busy when the process ends: a worker that outlives the interpreter would abort the process.
        """
        images = self.memory.lend((batch_size, self.height, self.width, 3))
        try:
            self.in_work.add(start)
            own = range(start, start + batch_size)
            first = start - start % step if step and step > batch_size else start
            others = [position for position in range(first, first + (step or 0)) if position not in own]
            return self._load(self._unless_failed(own), images, others)
        except BpnetError as error:
            if error not in self.failures:
                self.failures.append(error)
            raise
        finally:
            self.in_work.discard(start)

    def _unless_failed(self, positions: Iterable[int]) -> Iterator[int]:
        for position in positions:
            if self.failures:
                raise self.failures[0]
            yield position

    def _load(
        self, positions: Iterable[int], images: NDArray[np.uint8], others: Sequence[int] = ()
    ) -> tuple[NDArray[Any], ...]:
        """Load B positions; write the images into `images` (B, height, width, 3) and return all arrays.

        others: positions of other hosts; the padding is large enough for their people too.
        """
        placed, taught = [], []
        for image, position in zip(images, positions, strict=True):
            photo, matrix, mirrored, rng = self._place(position)
            colour = draw_colour(rng, self.augmentation)
            read_warped(photo, matrix, self.height, self.width, colour, image)
            if self.teacher:
                taught.append(self.teacher(image))
            placed.append((photo, matrix, mirrored))
        labels = self._labels(placed, others)
        return (images, *labels, np.stack(taught)) if self.teacher else (images, *labels)

    def _place(self, position: int) -> tuple[Photo, NDArray[np.float64], bool, np.random.Generator]:
        """The photo, its map to the input, whether the map mirrors, and the random generator for the colours."""
        epoch, index = self.locate(position)
        sample = self.samples[index]
        # A list would give the same random numbers, but takes twice as long.
        rng = np.random.default_rng(np.array([_SAMPLE_STREAM, self.seed, epoch, index], np.uint32))
        return sample.photo, *draw_geometry(rng, self.augmentation, sample, self.height, self.width), rng

    def _people(self, placed: Iterable[tuple[Any, ...]]) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
        """See `people_near`."""
        photos, matrices, mirrored, *_ = zip(*placed, strict=True)
        size, flip = (self.height, self.width), self.skeleton.flip_permutation
        return people_near(photos, np.stack(matrices), np.array(mirrored), flip, size, self.reach_px)

    def _labels(
        self, placed: Sequence[tuple[Photo, NDArray[np.float64], bool]], others: Sequence[int]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Keypoints, masks and labelled of a whole batch: a numpy call costs the same for one as for all samples."""
        people, counts = self._people(placed)
        elsewhere = self._people(map(self._place, others))[1] if others else counts
        keypoints = pad(people, counts, places_for(int(max(counts.max(), elsewhere.max())), self.max_people))

        to_cells = resize_affine(1 / self.stride, 1 / self.stride)
        masks = np.ones((len(placed), self.height // self.stride, self.width // self.stride), np.float32)
        for mask, (photo, matrix, _) in zip(masks, placed, strict=True):
            if photo.ignore is not None:
                mask[:] = warp_mask(photo.ignore, compose_affine(to_cells, matrix), *mask.shape)

        flip = self.skeleton.flip_permutation
        labelled = [photo.labelled[flip] if mirrored else photo.labelled for photo, _, mirrored in placed]
        return keypoints, masks, np.array(labelled, np.float32)


def make_loader(
    samples: Sequence[Sample],
    skeleton: Skeleton,
    augmentation: Augmentation,
    *,
    height: int,
    width: int,
    stride: int,
    seed: int,
    reach_px: float = math.inf,
    teacher: Teacher | None = None,
) -> SampleLoader:
    """A loader of these samples; `SampleLoader` describes the arguments."""
    most = max(1, *(len(sample.photo.keypoints) for sample in samples))
    return SampleLoader(samples, skeleton, augmentation, height, width, stride, seed, most, reach_px, teacher)


def make_pipeline(
    loader: SampleLoader, batch_size: int, *, start: int = 0, step: int | None = None, workers: int | None = None
) -> Any:
    """An endless tf.data.Dataset of (images, labels) from stream position `start` on.

    images: (B, height, width, 3) uint8 RGB. labels: a mapping of float32 arrays:
    - keypoints (B, P, K, 3): x, y, visibility in input pixels; `places_for` sets P for each batch,
    - mask (B, rows, columns): 1 counts in the loss, 0 is ignored,
    - labelled (B, K): 0 if the data set doesn't label this keypoint,
    - with a teacher, teacher (B, rows, columns, K + 1 + 2L): the teacher's maps.

    step: positions from one batch to the next, by default `batch_size`; larger if other hosts take the positions in
    between, see `load_batch`. workers: batches loaded at once, by default one per core, at most 16.
    """
    import tensorflow as tf

    keypoints = len(loader.skeleton.keypoints)
    grid = (loader.height // loader.stride, loader.width // loader.stride)
    channels = loader.skeleton.heatmap_channels + loader.skeleton.paf_channels
    shapes: list[tuple[int | None, ...]] = [(None, keypoints, 3), grid, (keypoints,), (*grid, channels)]
    labels = dict(zip(label_names(loader), shapes, strict=False))
    outputs: list[Any] = [(tf.uint8, (batch_size, loader.height, loader.width, 3))]
    outputs += [(tf.float32, (batch_size, *shape)) for shape in labels.values()]

    def named(image: Any, *arrays: Any) -> Any:
        return image, dict(zip(labels, arrays, strict=True))

    step = step or batch_size
    load = partial(loader.load_batch, batch_size, step=step)
    return map_batches(load, outputs, step, start=start, workers=workers).map(named)


def label_names(loader: SampleLoader) -> tuple[str, ...]:
    """Names of the arrays that `SampleLoader.load_batch` returns after the images."""
    names = ("keypoints", "mask", "labelled")
    return (*names, "teacher") if loader.teacher else names


def map_batches(
    work: Callable[[Any], Any], outputs: Sequence[Any], step: int, *, start: int = 0, workers: int | None = None
) -> Any:
    """An endless tf.data.Dataset of work(p) for the stream positions p = start, start + step, ... in order.

    outputs: (type, shape) of each array that `work` returns. workers: parallel calls, by default one per core, at most
    16. Each call makes a whole batch: passing samples to tf.data one by one would take a tenth of the time.
    """
    import tensorflow as tf

    def call(position: Any) -> Any:
        arrays = tf.numpy_function(work, [position], [kind for kind, _ in outputs])
        for array, (_, shape) in zip(arrays, outputs, strict=True):
            array.set_shape(shape)
        return tuple(arrays)

    # The workers use all cores, so OpenCV's own threads would only compete with them.
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
    """Read a photo and warp it; return (height, width, 3) uint8 RGB. Raises DataError.

    matrix: 2 x 3, photo pixels to result pixels. colour: 3 x 4 map of RGB to RGB, applied last. out: (height, width, 3)
    uint8 to write into. If the warp shrinks enough, the photo is decoded at a reduced size.

    Before a warp that shrinks much, the photo is blurred a little. So crops are as sharp as at inference, where
    `letterbox` shrinks by area. Shrinking by area before the warp would blur twice, and take longer.
    """
    (a, b), (c, d) = matrix[:, :2].tolist()
    shrink = abs(a * d - b * c) ** 0.5
    factor, flag = next((f, flag) for f, flag in _REDUCED_READS if f * shrink <= 1 or f == 1)
    image = photo.image.decode(flag)
    to_photo = resize_affine(*_decoded_scale(photo, image.shape[1], image.shape[0], factor))
    if factor * shrink < _SMOOTH_BELOW:
        image = cv2.GaussianBlur(image, (3, 3), _SMOOTH_SIGMA)
    # OpenCV warps four channels in two thirds of the time that it needs for three.
    rgba = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGBA), np.uint8)
    warped = warp_image(rgba, compose_affine(matrix, to_photo), height, width)
    if colour is None:
        return np.asarray(cv2.cvtColor(warped, cv2.COLOR_RGBA2RGB, out), np.uint8)
    plain = cv2.cvtColor(warped, cv2.COLOR_RGBA2RGB)
    return np.asarray(cv2.transform(plain, colour, out), np.uint8)


def _decoded_scale(photo: Photo, width: int, height: int, factor: int) -> tuple[float, float]:
    """Photo pixels per pixel of the photo decoded at 1/factor, along x and y. Raises DataError for another size.

    JPEGs shrink by exactly the factor; their last row and column may be partly padding. Photos of other formats are
    resized by OpenCV as a whole, to the size rounded down.
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
