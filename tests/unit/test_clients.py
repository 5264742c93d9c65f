"""The C++ header and the JavaScript module find the same people as `decode_peaks` and `decode`."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest

from bpnet_cli import BODY_18, DecodeOptions, Person, Skeleton, decode, decode_peaks, render_targets
from bpnet_cli.box import box_onnx
from bpnet_cli.data.images import read_image
from bpnet_cli.inference.backends import OnnxBackend
from bpnet_cli.pose.geometry import cell_to_pixel, letterbox, network_input_size
from bpnet_cli.pose.peaks import find_peaks, sane
from tests.unit.people import FISH, SWIMMING, crowd, hostile, people_at

HERE = Path(__file__).parent / "clients"
REPOSITORY = Path(__file__).parents[2]
USUAL = DecodeOptions()
EAGER = DecodeOptions(person_threshold=0.0, peak_threshold=0.02, limb_threshold=0.0)
HEAD = Skeleton(
    "head", ("nose", "left_eye", "right_eye"), (("nose", "left_eye"), ("nose", "right_eye")), (), (0.03,) * 3
)
POINT = Skeleton("point", ("tip",), (), (), (0.05,))


class Case(NamedTuple):
    """Maps (h, w, C) of one photo, and what is needed to decode them."""

    heatmaps: np.ndarray
    pafs: np.ndarray
    skeleton: Skeleton = BODY_18
    options: DecodeOptions = USUAL
    stride: int = 8

    def peaks(self) -> np.ndarray:
        """(K, P, 3) as the output `peaks` of an exported file."""
        found = find_peaks(sane(self.heatmaps), self.options.peak_threshold, self.options.max_peaks)
        rows = np.zeros((len(found.counts), self.options.max_peaks, 3), np.float32)
        place = np.concatenate([np.arange(count) for count in found.counts])
        pixels = [cell_to_pixel(values, self.stride) for values in (found.points.real, found.points.imag)]
        rows[found.keypoint, place] = np.column_stack([*pixels, found.score])
        return rows

    def packed(self) -> bytes:
        """What `clients/people.*` read."""
        height, width, channels = self.pafs.shape
        options, peaks = self.options, self.peaks()
        sizes = [len(peaks), channels // 2, self.stride, peaks.shape[1], height, width]
        counts = [options.max_peaks, options.limb_samples, options.min_keypoints]
        bounds = [options.peak_threshold, options.limb_threshold, options.merge_distance, options.person_threshold]
        integers = np.array([*sizes, *counts, *self.skeleton.limb_indices.reshape(-1)], np.int32)
        floats = [np.asarray(part, np.float32).tobytes() for part in (bounds, peaks, self.pafs, self.heatmaps)]
        return b"".join([integers.tobytes(), *floats])

    def people(self) -> list[Person]:
        return decode_peaks(self.peaks(), self.pafs, self.skeleton, self.stride, self.options)


def noisy(people: np.ndarray, skeleton: Skeleton, size: tuple[int, int], seed: int, noise: float = 0.1) -> Case:
    """The maps of people, with noise that makes peaks in many places and limbs that are uncertain."""
    maps, rng = render_targets(people, *size, skeleton=skeleton), np.random.default_rng(seed)
    heatmaps, pafs = (one + rng.normal(0, noise, one.shape) for one in maps)
    return Case(heatmaps.astype(np.float32), pafs.astype(np.float32), skeleton)


def head_at(*places: tuple[float, float, float]) -> np.ndarray:
    return people_at(*places, shape=np.array([[0, 0], [12, -10], [-12, -10]], np.float32))


def drawn_cases() -> list[Case]:
    body = people_at((60, 120, 1), (300.3, 201.7, 1.3), (330, 220, 1.1), (600, 120, 0.9))
    fish = people_at((100, 60, 1), (180, 90, 2), (40, 200, 0.7), shape=SWIMMING)
    cases = [
        Case(*render_targets(body, 368, 656)),
        Case(*render_targets(body[:0], 368, 656)),
        Case(*render_targets(crowd(60), 736, 1312)),
        *(noisy(body, BODY_18, (368, 656), seed) for seed in range(4)),
        noisy(crowd(40), BODY_18, (736, 1312), 4, 0.03),
        *(noisy(fish, FISH, (256, 256), seed, 0.05) for seed in range(4)),
        noisy(head_at((40, 40, 1), (90, 60, 1.5)), HEAD, (128, 128), 0),
        noisy(np.array([[[30, 40, 2]], [[90, 70, 2]]], np.float32), POINT, (128, 128), 0, 0.02),
    ]
    cases += [case._replace(options=EAGER) for case in cases[-6:]]
    few = DecodeOptions(max_peaks=3, limb_samples=2, merge_distance=0.0, min_keypoints=4)
    cases += [cases[3]._replace(options=few), cases[4]._replace(options=replace(few, limb_samples=1))]
    for size in ((19, 23), (1, 9), (9, 1), (1, 1), (2, 3), (4, 5)):
        for kind in ("noise", "nan", "infinite", "zero"):
            cases += [Case(*hostile(kind, *size), options=options) for options in (USUAL, EAGER)]
    heatmaps, pafs = hostile("noise", 46, 62)
    return [*cases, Case(heatmaps, 0.3 * pafs + np.float32(0.5))]  # more pairs than are sampled


def alike(found: list[list], expected: list[Person]) -> str:
    """ "" where these are the same people, within a tenth of a pixel; else what differs."""
    if len(found) != len(expected):
        return f"{len(found)} people instead of {len(expected)}"
    left = np.array([points for _, *points in found], np.float32)
    for person in expected:
        # Two keypoints that were not found are the same; one is as far from the other as can be.
        errors = np.abs(left - person.keypoints)
        errors[np.isnan(left) & np.isnan(person.keypoints)] = 0
        errors = np.nan_to_num(errors, nan=np.inf).max(axis=(1, 2))
        nearest = int(errors.argmin())
        if errors[nearest] > 0.1:
            return f"no such person: {person}, the most similar differs by {errors[nearest]}"
        left[nearest] = np.inf
    scores = np.array([[one[0], other.score] for one, other in zip(found, expected, strict=True)]).reshape(-1, 2)
    return "" if np.allclose(*scores.T, rtol=1e-3) else f"scores: {scores}"


@pytest.fixture(scope="module")
def cpp(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    if not shutil.which("g++"):
        pytest.skip("g++ is not installed")
    program = tmp_path_factory.mktemp("cpp") / "people"
    words = ["g++", "-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror", f"-I{REPOSITORY / 'examples/cpp'}"]
    subprocess.run([*words, str(HERE / "people.cpp"), "-o", str(program)], check=True)
    return [str(program)]


@pytest.fixture(scope="module")
def javascript() -> list[str]:
    if not shutil.which("node"):
        pytest.skip("node is not installed")
    return ["node", str(HERE / "people.mjs"), str(REPOSITORY / "bpnet_cli/assets/web/pose.js")]


def answers(words: list[str], cases: list[Case]) -> list[list]:
    data = b"".join(case.packed() for case in cases)
    result = subprocess.run(words, input=data, capture_output=True, check=True)
    return [json.loads(line) for line in result.stdout.decode().splitlines()]


def check_cpp(cpp: list[str], cases: list[Case]) -> None:
    lines = answers(cpp, cases)
    for i, (case, of_peaks, of_maps) in enumerate(zip(cases, lines[::2], lines[1::2], strict=True)):
        assert not (wrong := alike(of_peaks, case.people())), f"case {i}: {wrong}"
        expected = decode(case.heatmaps, case.pafs, case.skeleton, case.stride, case.options)
        assert not (wrong := alike(of_maps, expected)), f"case {i}, from heatmaps: {wrong}"


def check_javascript(javascript: list[str], cases: list[Case]) -> None:
    for i, (case, people) in enumerate(zip(cases, answers(javascript, cases), strict=True)):
        assert not (wrong := alike(people, case.people())), f"case {i}: {wrong}"


def test_cpp_finds_the_same_people_in_drawn_maps(cpp: list[str]) -> None:
    check_cpp(cpp, drawn_cases())


def test_javascript_finds_the_same_people_in_drawn_maps(javascript: list[str]) -> None:
    check_javascript(javascript, drawn_cases())


@pytest.fixture(scope="module")
def photo_cases(shared_data: Path) -> list[Case]:
    """Maps of the model in the box on 50 photos."""
    photos = sorted((shared_data / "coco-dev" / "images").glob("*.jpg"))[:50]
    if len(photos) < 50:
        pytest.skip(f"{shared_data / 'coco-dev'} has no photos")
    network, cases = OnnxBackend(box_onnx()), []
    for path in photos:
        photo = cv2.cvtColor(read_image(path), cv2.COLOR_BGR2RGB)
        image, _ = letterbox(photo, *network_input_size(*photo.shape[:2], 368, None, 8, 4.0))
        cases.append(Case(*(maps[0] for maps in network.maps(image[None]))))
    assert sum(len(case.people()) for case in cases) > 100
    return cases


def test_cpp_finds_the_same_people_in_photos(cpp: list[str], photo_cases: list[Case]) -> None:
    check_cpp(cpp, photo_cases)


def test_javascript_finds_the_same_people_in_photos(javascript: list[str], photo_cases: list[Case]) -> None:
    check_javascript(javascript, photo_cases)


@pytest.mark.parametrize(("height", "width"), [(480, 640), (97, 61), (700, 480), (64, 1000), (368, 368), (3, 2)])
@pytest.mark.parametrize("wanted", [None, 200])
def test_javascript_makes_the_same_input(
    javascript: list[str], tmp_path: Path, height: int, width: int, wanted: int | None
) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (height, width, 4), np.uint8)
    (tmp_path / "pixels").write_bytes(photo.tobytes())
    size = {"input_height": 368, "input_width": wanted, "max_aspect_ratio": 4.0}
    question = {"height": height, "width": width, "about": {"input_multiple": 8, "spec": {"inference": size}}}
    words = ["node", HERE / "input.mjs", REPOSITORY / "bpnet_cli/assets/web/input.js", json.dumps(question)]
    result = subprocess.run([*words, tmp_path / "pixels", tmp_path / "input"], capture_output=True, check=True)
    found = json.loads(result.stdout)
    rows, columns = network_input_size(height, width, 368, wanted, 8, 4.0)
    image, matrix = letterbox(photo[..., :3], rows, columns, (368, wanted or columns))
    assert [found["height"], found["width"]] == [rows, columns]
    np.testing.assert_allclose(found["toPhoto"], 1 / matrix[[0, 1], [0, 1]])
    pixels = np.frombuffer((tmp_path / "input").read_bytes(), np.uint8).reshape(image.shape).astype(int)
    # OpenCV rounds a few sums in another way.
    assert np.abs(pixels - image).max() <= 1
    assert (pixels != image).mean() < 0.03


def test_the_files_are_short() -> None:
    for name, most in (("examples/cpp/bpnet_pose.hpp", 250), ("bpnet_cli/assets/web/pose.js", 200)):
        lines = (REPOSITORY / name).read_text().splitlines()
        assert len(lines) < most
        assert max(map(len, lines)) <= 120
