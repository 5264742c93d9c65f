from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bpnet_cli import BODY_18, BpnetError, Person, Predictor, render_targets
from bpnet_cli.inference.predictor import InputSize
from bpnet_cli.models.metadata import ModelMetadata
from bpnet_cli.pose.geometry import apply_affine, letterbox


class PerfectBackend:
    """Answers with rendered targets of people known in photo pixels."""

    def __init__(self, keypoints: np.ndarray, photo: np.ndarray, multiple: int = 8) -> None:
        self.metadata = ModelMetadata({}, BODY_18, 8, multiple, 1.0, (0.0, 0.0, 0.0), "test")
        self.keypoints, self.photo = keypoints, photo
        self.shapes: list[tuple[int, ...]] = []

    def maps(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.shapes.append(images.shape)
        height, width = images.shape[1:3]
        size = self.sizes if hasattr(self, "sizes") else (height, width)
        _, matrix = letterbox(self.photo, height, width, size)
        moved = self.keypoints.copy()
        moved[..., :2] = apply_affine(matrix, moved[..., :2])
        heatmaps, pafs = render_targets(moved, height, width)
        return heatmaps[None], pafs[None]


def standing_person(x: float, y: float, height: float) -> np.ndarray:
    """(18, 3) keypoints of an upright person whose head is at x, y."""
    shape = {
        "nose": (0, 0.05), "neck": (0, 0.18), "right_shoulder": (-0.12, 0.18), "right_elbow": (-0.2, 0.33),
        "right_wrist": (-0.24, 0.47), "left_shoulder": (0.12, 0.18), "left_elbow": (0.2, 0.33),
        "left_wrist": (0.24, 0.47), "right_hip": (-0.08, 0.5), "right_knee": (-0.1, 0.74),
        "right_ankle": (-0.11, 0.97), "left_hip": (0.08, 0.5), "left_knee": (0.1, 0.74), "left_ankle": (0.11, 0.97),
        "right_eye": (-0.03, 0.02), "left_eye": (0.03, 0.02), "right_ear": (-0.07, 0.04), "left_ear": (0.07, 0.04),
    }  # fmt: skip
    return np.array([(x + shape[n][0] * height, y + shape[n][1] * height, 2) for n in BODY_18.keypoints])


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((480, 640), InputSize(368)),
        ((640, 427), InputSize(368)),
        ((123, 457), InputSize(256, 256)),
        ((1080, 1920), InputSize(368, 656)),
        ((300, 2400), InputSize(368, None, 4.0)),
        ((480, 641), InputSize(372)),
    ],
)
@pytest.mark.parametrize("multiple", [8, 16])
def test_people_come_back_in_photo_pixels(shape: tuple[int, int], size: InputSize, multiple: int) -> None:
    height, width = shape
    people = np.stack(
        [standing_person(width * f, height * 0.06, min(height * 0.85, width * 0.9)) for f in (0.25, 0.75)]
    )
    photo = np.zeros((*shape, 3), np.uint8)
    backend = PerfectBackend(people, photo, multiple)
    predictor = Predictor(backend, size)
    canvas, matrix = predictor.prepare(photo)
    backend.sizes = (size.height, size.width or canvas.shape[1])
    assert canvas.shape[0] % multiple == canvas.shape[1] % multiple == 0
    found = predictor.predict(photo)
    assert len(found) == 2
    for person in found:
        expected = min(people, key=lambda p: abs(p[0, 0] - person.keypoints[0, 0]))
        error = np.linalg.norm(person.keypoints[:, :2] - expected[:, :2], axis=1)
        assert (error * matrix[0, 0] < 1).all()  # one pixel of the network's input
    assert found[0].score >= found[1].score


def test_keypoints_stay_inside_the_photo() -> None:
    photo = np.zeros((300, 200, 3), np.uint8)
    person = standing_person(195, 10, 280)
    predictor = Predictor(PerfectBackend(person[None], photo), InputSize(256, 512))
    (found,) = predictor.predict(photo)
    x, y = found.keypoints[found.found, 0], found.keypoints[found.found, 1]
    assert x.min() >= 0
    assert x.max() == 199
    assert 0 <= y.min() <= y.max() <= 299


def test_weak_people_are_left_out_on_request() -> None:
    photo = np.zeros((480, 640, 3), np.uint8)
    people = np.stack([standing_person(150, 20, 400), standing_person(450, 300, 60)])
    predictor = Predictor(PerfectBackend(people, photo), InputSize(368))
    strong, weak = (person.score for person in predictor.predict(photo))
    assert strong > weak
    picky = replace(predictor, min_person_score=(strong + weak) / 2)
    assert [person.score for person in picky.predict(photo)] == [strong]


@pytest.mark.parametrize("height", [184, 736])
def test_scores_mean_the_same_at_any_input_height(height: int) -> None:
    photo = np.zeros((480, 640, 3), np.uint8)
    backend = PerfectBackend(np.stack([standing_person(150, 20, 400), standing_person(450, 100, 200)]), photo)
    scores = [[p.score for p in Predictor(backend, InputSize(size)).predict(photo)] for size in (368, height)]
    np.testing.assert_allclose(scores[1], scores[0], rtol=0.04)


def test_weak_keypoints_are_not_shown() -> None:
    rows = np.array([(1, 2, 0.9), (3, 4, 0.1), (np.nan,) * 3, (5, 6, 0.15)], np.float32)
    predictor = Predictor(PerfectBackend(rows[None], np.zeros((8, 8, 3), np.uint8)), min_drawn_score=0.15)
    person = Person(rows, 3.0)
    (shown,) = predictor.shown([person])
    np.testing.assert_array_equal(shown.found, [True, False, False, True])
    np.testing.assert_array_equal(shown.keypoints[[0, 3]], rows[[0, 3]])
    assert np.isnan(shown.keypoints[1]).all()
    np.testing.assert_array_equal(person.found, [True, True, False, True])


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4), np.uint8), r"uint8 RGB array of shape \(height, width, 3\), got uint8 \(4, 4\)"),
        (np.zeros((4, 4, 3), np.float32), r"got float32 \(4, 4, 3\)"),
        (np.zeros((0, 4, 3), np.uint8), "the image is empty"),
        ([[1]], "got list"),
    ],
)
def test_refuses_what_is_no_photo(image: object, message: str) -> None:
    predictor = Predictor(PerfectBackend(np.zeros((0, 18, 3)), np.zeros((8, 8, 3), np.uint8)))
    with pytest.raises(BpnetError, match=message):
        predictor.predict(image)


def test_load_predictor_names_what_is_wrong(tmp_path: Path) -> None:
    from bpnet_cli import load_predictor

    with pytest.raises(BpnetError, match="no such model file"):
        load_predictor(tmp_path / "none.onnx")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model.keras").write_text("")
    with pytest.raises(BpnetError, match=r"run: is a folder of a training run; its model is .*model\.keras$"):
        load_predictor(tmp_path / "run")
    (tmp_path / "m.txt").write_text("")
    with pytest.raises(BpnetError, match="must be a .keras file, an .onnx file, an .xml file"):
        load_predictor(tmp_path / "m.txt")
    (tmp_path / "m.onnx").write_text("nonsense")
    with pytest.raises(BpnetError, match="ONNX Runtime can't load it"):
        load_predictor(tmp_path / "m.onnx")
