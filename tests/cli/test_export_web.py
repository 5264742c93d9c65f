"""`export --web` and `--metadata-json`: the page in a browser finds the people that `infer` finds."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from bpnet_cli.data.images import read_image
from bpnet_cli.inference.load import load_predictor
from bpnet_cli.models.metadata import ONNX_KEY
from bpnet_cli.pose.person import Person
from tests.cli.conftest import Run
from tests.conftest import REPOSITORY
from tests.unit.clients.browser import Page, browser, served

onnx = pytest.importorskip("onnx")
PHOTO = REPOSITORY / "examples" / "photos" / "astronaut.jpg"
FILES = ["index.html", "input.js", "model.json", "model.onnx", "package.json", "page.js", "pose.js"]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def metadata_in(path: Path) -> dict:
    return json.loads({entry.key: entry.value for entry in onnx.load(str(path)).metadata_props}[ONNX_KEY])


def test_it_writes_a_page(trained: Path, tmp_path: Path, bpnet: Run) -> None:
    words = ("export", "-m", trained / "run" / "model.keras", "--web", tmp_path / "page")
    result = bpnet(*words)
    assert result.exit_code == 0, result.output
    assert f"cd {tmp_path / 'page'} && npm install && python3 -m http.server" in result.output
    assert sorted(path.name for path in (tmp_path / "page").iterdir()) == FILES
    about = json.loads((tmp_path / "page" / "model.json").read_text())
    assert about == metadata_in(tmp_path / "page" / "model.onnx")
    assert [value.name for value in onnx.load(str(tmp_path / "page" / "model.onnx")).graph.output][2] == "peaks"
    again = bpnet(*words)
    assert again.exit_code == 1
    assert f"{tmp_path / 'page'}: exists already; give --overwrite" in again.output
    (tmp_path / "page" / "node_modules").mkdir()
    (tmp_path / "page" / "page.js").write_text("old")
    assert bpnet(*words, "--overwrite").exit_code == 0
    assert sorted(path.name for path in (tmp_path / "page").iterdir()) == sorted([*FILES, "node_modules"])
    assert "decodePeaks" in (tmp_path / "page" / "page.js").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["page"]


def test_what_can_not_be_written_is_one_message(
    trained: Path, tmp_path: Path, bpnet: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = ("export", "-m", trained / "run" / "model.keras")
    (tmp_path / "file").write_text("")
    for words, message in (
        (("--web", tmp_path / "file"), "file: is a file, not a folder for results"),
        (("--web", tmp_path / "file" / "page"), "page: can't be written: Not a directory"),
        (("--web", "/proc/nothing/page"), "page: can't be written"),
        (("--web", tmp_path / "page", "--tao-layout"), "with_peaks and tao_layout can't be used together"),
        (("--metadata-json", "--web", tmp_path / "page"), "--metadata-json needs -o OUT"),
        ((), "give -o OUT, --triton DIR, --web DIR or --deepstream DIR"),
    ):
        result = bpnet(*model, *words)
        assert result.exit_code in (1, 2)
        assert message in result.output
    monkeypatch.setattr("bpnet_cli.export.web._PAGE", tmp_path / "missing")
    result = bpnet(*model, "--web", tmp_path / "page")
    assert result.exit_code == 1
    assert "page: can't be written: No such file or directory" in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_metadata_beside_the_model(trained: Path, tmp_path: Path, bpnet: Run) -> None:
    words = ("export", "-m", trained / "run" / "model.keras", "-o", tmp_path / "m.onnx", "--metadata-json")
    assert bpnet(*words, "--set", "inference.decode.max_peaks=9").exit_code == 0
    about = json.loads((tmp_path / "m.json").read_text())
    assert about == metadata_in(tmp_path / "m.onnx")
    assert about["spec"]["inference"]["decode"]["max_peaks"] == 9
    (tmp_path / "m.onnx").unlink()
    again = bpnet(*words)
    assert again.exit_code == 1
    assert "m.json: exists already; give --overwrite" in again.output
    assert [path.name for path in tmp_path.iterdir()] == ["m.json"]
    assert bpnet(*words, "--overwrite").exit_code == 0


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    if not CHROMIUM:
        pytest.skip("Chromium is not installed")
    flags = ("--disable-gpu", "--use-fake-device-for-media-stream")
    with browser(CHROMIUM, tmp_path_factory.mktemp("browser"), *flags) as tab:
        yield tab


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder node_modules of the page, from npm's cache: tests download nothing."""
    if not shutil.which("npm"):
        pytest.skip("npm is not installed")
    folder = tmp_path_factory.mktemp("npm")
    shutil.copy(REPOSITORY / "bpnet_cli/assets/web/package.json", folder)
    words = ["npm", "install", "--offline", "--ignore-scripts", "--no-audit", "--no-fund"]
    if subprocess.run(words, cwd=folder, capture_output=True).returncode:
        pytest.skip("onnxruntime-web is not in npm's cache: run `npm install` once in a folder of `bpnet export --web`")
    return folder / "node_modules"


def shown(page: Page, url: str, photo: str) -> list[dict]:
    """The people that the page finds in a photo beside it."""
    page.open(f"{url}/index.html?device=wasm&photo={photo}")
    status = "document.getElementById('status')"
    page.wait(f"{status}?.className === 'bad' || {status}?.textContent === '{photo}: done.'")
    assert page.status() == f"{photo}: done."
    return page.people()


def errors(found: list[dict], expected: list[Person]) -> list[float]:
    """How far each keypoint is from that of the most similar person, in pixels; infinite where only one has it."""
    people = [np.array([[k["x"], k["y"]] if k else [np.nan] * 2 for k in one["keypoints"]]) for one in found]
    result: list[float] = []
    for person in expected:
        apart = [
            np.abs(one - person.keypoints[:, :2]).max(axis=1)[np.isfinite(one[:, 0]) | person.found] for one in people
        ]
        apart = [np.nan_to_num(one, nan=np.inf) for one in apart]
        result += min(apart, key=lambda one: float(np.sort(one)[len(one) // 2])).tolist()
    return result


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_the_page_finds_the_people_that_infer_finds(
    page: Page, runtime: Path, tmp_path: Path, bpnet: Run, precision: str
) -> None:
    """In photos that are made smaller, and larger; and in real ones where they are here.

    INT8 networks differ by as much between ONNX Runtime's own ways of computing them.
    """
    folder, photos = tmp_path / "page", tmp_path / "photos"
    photos.mkdir()
    people = cv2.imread(str(PHOTO))
    for i, width in enumerate([None, 500, 1500]):
        size = (width, round(people.shape[0] * width / people.shape[1])) if width else people.shape[1::-1]
        cv2.imwrite(str(photos / f"{i}.png"), cv2.resize(people, size))
    for path in sorted((REPOSITORY.parent / "shared" / "data" / "coco-dev" / "images").glob("*.jpg"))[:4]:
        shutil.copy(path, photos)
    calibration = ("--calibration-images", photos) if precision == "int8" else ()
    result = bpnet("export", "-m", "box", "--web", folder, "--precision", precision, *calibration)
    assert result.exit_code == 0, result.output
    (folder / "node_modules").symlink_to(runtime)
    predictor, apart = load_predictor(str(folder / "model.onnx")), []
    with served(folder) as url:
        for photo in sorted(photos.iterdir()):
            shutil.copy(photo, folder)
            expected = predictor.predict(cv2.cvtColor(read_image(photo), cv2.COLOR_BGR2RGB))
            found = shown(page, url, photo.name)
            assert len(found) == len(expected)
            apart += errors(found, expected)
    assert len(apart) > 30
    assert np.mean(np.array(apart) <= 1) >= (1 if precision == "fp32" else 0.7)


def test_films_the_camera_and_what_is_missing(
    page: Page, runtime: Path, trained: Path, tmp_path: Path, bpnet: Run
) -> None:
    folder = tmp_path / "page"
    assert bpnet("export", "-m", trained / "run" / "model.keras", "--web", folder).exit_code == 0
    film = tmp_path / "film.webm"
    with av.open(str(film), "w") as file:
        stream = file.add_stream("libvpx", rate=10, width=64, height=64, pix_fmt="yuv420p")
        pictures = [av.VideoFrame.from_ndarray(np.full((64, 64, 3), 8 * i, np.uint8)) for i in range(10)]
        for picture in (*pictures, None):
            file.mux(stream.encode(picture))
    status = "(document.getElementById('status')?.textContent ?? '')"
    with served(folder) as url:
        page.open(f"{url}/index.html?device=wasm")
        page.wait(f"{status}.includes('npm install')")
        (folder / "node_modules").symlink_to(runtime)
        page.open(f"{url}/index.html?device=wasm&photo=none.jpg")
        page.wait(f"{status}.startsWith('none.jpg is not beside this page')")
        root = page.send("DOM.getDocument")["root"]["nodeId"]
        chooser = page.send("DOM.querySelector", nodeId=root, selector="#file")["nodeId"]
        unreadable = "test_export_web.py can't be read as a photo or film by this browser."
        for path, message in (
            (PHOTO, f"{PHOTO.name}: done."),
            (film, "film.webm: done."),
            (Path(__file__), unreadable),
        ):
            page.send("DOM.setFileInputFiles", nodeId=chooser, files=[str(path)])
            page.wait(f"{status}.includes({json.dumps(message)})")
        page.value("document.getElementById('camera').click()")
        page.wait(f"{status} === 'The camera is running.' && !document.getElementById('stop').disabled")
        page.value("document.getElementById('stop').click()")
        page.wait(f"{status} === 'The camera: done.'")
        none = "Promise.reject(new DOMException('none', 'NotFoundError'))"
        page.value(f"void (navigator.mediaDevices.getUserMedia = () => {none})")
        page.value("document.getElementById('camera').click()")
        page.wait(f"{status} === 'No camera can be used (none).'")
        (folder / "model.onnx").unlink()
        page.open(f"{url}/index.html?device=wasm")
        page.wait(f"{status}.startsWith('model.onnx is not beside this page')")
