"""TAO's spec files and flags on the real commands."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from bpnet_cli.cli import main, tao_table
from bpnet_cli.cli.tao_flags import tao_flags
from tests.cli.conftest import Run

SAMPLES = Path(__file__).parents[1] / "unit" / "tao"
TRAIN_SPEC = SAMPLES / "bpnet_train_m1_coco.yaml"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands run in an empty folder outside of the clone."""
    monkeypatch.chdir(tmp_path)


def test_import_writes_a_spec_and_lists_every_key(bpnet: Run) -> None:
    result = bpnet("spec", "import-tao", TRAIN_SPEC, "--infer-spec", SAMPLES / "infer_spec_strict.yaml", "-o", "a.yaml")
    assert result.exit_code == 0, result.output
    titles = [line for line in result.output.splitlines() if line and not line.startswith(" ")]
    assert [title.split(" (")[0] for title in titles] == [
        "mapped, with the same meaning",
        "dropped, because TAO itself ignores them",
        "changed, with the reason",
        "a.yaml: written",
    ]
    assert "  num_epoch: 100 -> training.epochs: 100\n" in result.output
    assert bpnet("spec", "check", "a.yaml").output.endswith("a.yaml: ok\n")
    shown = bpnet("spec", "show", "a.yaml").output
    assert "input_height: 288\n" in shown
    assert "input_width: 384\n" in shown


def test_import_says_what_is_missing(bpnet: Run, tmp_path: Path) -> None:
    shutil.copy(TRAIN_SPEC, "train.yaml")
    output = bpnet("spec", "import-tao", "train.yaml", "-o", "a.yaml").output
    assert (
        "missing (3):\n  TAO's pose config: /workspace/examples/bpnet/model_pose_config/bpnet_18joints.json" in output
    )
    assert bpnet("spec", "import-tao", "train.yaml", "-o", "a.yaml").exit_code == 1  # it exists
    assert bpnet("spec", "import-tao", "train.yaml", "-o", "a.yaml", "--overwrite").exit_code == 0


def test_a_spec_that_is_refused_writes_nothing(bpnet: Run) -> None:
    Path("train.yaml").write_text(TRAIN_SPEC.read_text().replace("flip_lr_prob", "flip_lr_probs"))
    result = bpnet("spec", "import-tao", "train.yaml", "-o", "a.yaml")
    assert result.exit_code == 1
    assert "train.yaml:50: " in result.output
    assert "unknown key in TAO's train spec, did you mean 'flip_lr_prob'?" in result.output
    assert not Path("a.yaml").exists()


def test_a_skeleton_that_does_not_fit_together_writes_nothing(bpnet: Run) -> None:
    names = ["nose", "nose", "tail"]
    category = {"num_joints": 3, "keypoints": names, "skeleton_edge_names": [["nose", "tail"]]}
    Path("pose.json").write_text(json.dumps({"pose_config_type": "x", "categories": [category]}))
    text = (
        TRAIN_SPEC.read_text().replace("heat_channels: 19", "heat_channels: 4").replace("channels: 38", "channels: 2")
    )
    Path("train.yaml").write_text(text)
    result = bpnet("spec", "import-tao", "train.yaml", "--pose-config", "pose.json", "-o", "a.yaml")
    assert (result.exit_code, Path("a.yaml").exists()) == (1, False)
    assert "pose.json:1: skeleton.keypoints.1: the keypoint 'nose' is there twice" in result.output


def test_taos_train_spec_is_taken_as_it_is(bpnet: Run, keras_loaded: None) -> None:
    result = bpnet("info", "-e", TRAIN_SPEC, "--json")
    assert json.loads(result.stdout)["parameters"] == 16_777_835
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"{TRAIN_SPEC}: this is NVIDIA TAO's train spec, translated while it is read")
    assert f"bpnet spec import-tao {TRAIN_SPEC} -o spec.yaml" in line
    assert bpnet("spec", "check", TRAIN_SPEC).output.endswith("ok\n")


TASKS = {
    "train": "-e quickstart -r run",
    "evaluate": "-m box -r run",
    "inference": "photo.jpg",
    "prune": "-m box -o out.keras",
    "export": "-m box -o out.onnx",
    "dataset_convert": "-e quickstart -o out",
}
ALWAYS = {
    "-k secret": "--key: ignored: files are not encrypted here",
    "--key secret": "--key: ignored: files are not encrypted here",
    "-np 1": "--num_processes: ignored: there are no MPI processes here",
    "--log_file a.log": "--log_file: ignored: messages go to the terminal; `2> FILE` keeps them",
    "--gpus 1": "",
}
LEVELS = "--log_level: ignored: there are no levels of messages here"
ENGINE = "ignored: no TensorRT engine is built here; trtexec --onnx=OUT.onnx builds one"
CALIBRATED = "ignored: int8 is calibrated on all photos of --cal_image_dir, and its ranges are in the file"
# Verb, flags, changes to the spec, parameters of the verb, what is said.
FLAGS = [
    ("train", "-ll INFO", [], {}, LEVELS),
    ("train", "--use_amp", ['training.precision="mixed_float16"'], {}, ""),
    (
        "train",
        "--gpus 4",
        ['training.distribution="devices"'],
        {},
        "--gpus: the GPUs share each batch of training.batch_size; in TAO, each has a batch of its own",
    ),
    ("evaluate", "-ll INFO --dataset coco", [], {}, LEVELS),
    (
        "evaluate",
        f"-d {SAMPLES / 'coco_spec.json'}",
        [],
        {
            "images": "data/coco/val2017",
            "annotations": "data/coco/annotations/person_keypoints_val2017.json",
        },
        "",
    ),
    ("evaluate", f"-d {SAMPLES / 'coco_spec.json'} --images a --annotations b", [], {"images": "a"}, ""),
    (
        "evaluate",
        f"-i {SAMPLES / 'infer_spec_refine.yaml'}",
        ["inference.input_height=368", "inference.input_width=null", "inference.scales=[2.0, 1.5, 1.0, 0.5]"],
        {},
        f"{SAMPLES / 'infer_spec_refine.yaml'}: NVIDIA TAO's inference spec sets inference.input_height=368,"
        " inference.input_width=null, inference.scales=[2.0, 1.5, 1.0, 0.5]",
    ),
    ("inference", "-ll INFO", [], {}, LEVELS),
    ("inference", "--input a.png --input_type image", [], {"inputs": ("photo.jpg", "a.png")}, ""),
    ("inference", "--input photos --input_type dir", [], {"inputs": ("photo.jpg", "photos")}, ""),
    (
        "inference",
        "--dump_visualizations",
        [],
        {},
        "--dump_visualizations: ignored: pictures are always written; --no-annotate: none",
    ),
    ("prune", "-pth 0.2 -n max -eq union", [], {"threshold": 0.2}, ""),
    ("prune", "-pg 16 -nf 32", ["pruning.granularity=16", "pruning.min_channels=32"], {}, ""),
    ("prune", "-el stage1/conv1 b c", ['pruning.excluded_layers=["stage1_conv1", "b", "c"]'], {}, ""),
    (
        "prune",
        "-eq intersection",
        [],
        {},
        "--equalization_criterion: ignored: of channels that stay or go together, the strongest counts (union)",
    ),
    (
        "prune",
        "-r run -v",
        [],
        {},
        "--verbose: ignored: there are no levels of messages here\n"
        "--results_dir: ignored: nothing is written but the file of -o",
    ),
    ("export", "-e a.yaml", [], {}, "--experiment_spec: ignored: the model file has its spec inside"),
    ("export", "-t tfonnx -i channels_last", [], {}, ""),
    ("export", "-d 288,384,3", ["export.height=288", "export.width=384"], {}, ""),
    ("export", "--sdk_compatible_model", ["export.tao_layout=true"], {}, ""),
    ("export", "--sdk_compatible_model -u 1", ["export.tao_layout=true", "export.tao_paf_upsampling=1"], {}, ""),
    ("export", "-u 4", [], {}, "--upsample_ratio: ignored: only with --sdk_compatible_model"),
    (
        "export",
        "--data_type int8 --cal_image_dir photos",
        ['export.precision="int8"'],
        {"calibration": "photos"},
        "",
    ),
    ("export", "--static_batch_size 4", ["export.batch=4"], {}, ""),
    ("export", "--static_batch_size -1", [], {}, ""),
    (
        "export",
        "--engine_file a --max_workspace_size 1 --max_batch_size 2 --opt_batch_size 3 -s",
        [],
        {},
        f"--engine_file, --max_workspace_size, --max_batch_size, --opt_batch_size, --strict_type_constraints: {ENGINE}",
    ),
    (
        "export",
        "--cal_data_file a --cal_cache_file b --batches 1 --batch_size 2",
        [],
        {},
        f"--cal_data_file, --cal_cache_file, --batches, --batch_size: {CALIBRATED}",
    ),
    ("export", "--force_ptq", [], {}, "--force_ptq: ignored: int8 is always computed after training here"),
    ("dataset_convert", "-s 8", [], {"shards": 8}, ""),
    ("dataset_convert", "-s 0", [], {"shards": 1}, ""),
    (
        "dataset_convert",
        "-p 2 --generate_masks --check_files -r run",
        [],
        {},
        "--num_partitions: ignored: the parts of a data set are its shards here (--shards)\n"
        "--generate_masks: ignored: masks are made from the labels, without files\n"
        "--check_files: ignored: files are always checked\n"
        "--results_dir: ignored: everything goes to the folder of -o",
    ),
    *((verb, words, [], {}, said) for verb in TASKS for words, said in ALWAYS.items()),
]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The parameters that a verb's function gets; it doesn't run."""
    got: dict[str, Any] = {}
    for task in TASKS:
        verb = {"inference": "infer"}.get(task, task)
        monkeypatch.setattr(
            main.commands[verb], "callback", tao_flags(verb)(lambda **parameters: got.update(parameters))
        )
    return got


@pytest.mark.parametrize(("verb", "words", "assignments", "parameters", "said"), FLAGS)
def test_a_flag_of_taos(
    bpnet: Run,
    calls: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    verb: str,
    words: str,
    assignments: list[str],
    parameters: dict[str, Any],
    said: str,
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    result = bpnet(verb, *TASKS[verb].split(), *words.split(), "--set", "a=1")
    assert result.exit_code == 0, result.output
    assert result.stderr.strip() == said
    assert calls["overrides"] == (*assignments, "a=1")
    assert {name: calls[name] for name in parameters} == parameters


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("export -m box -o a.onnx -t uff", "--backend uff: only ONNX is written here, which TensorRT reads too"),
        ("export -m box -o a.onnx -i channels_first", "--data_format channels_first: the input has its channels last"),
        ("export -m box -o a.onnx -d 3,288,384", "--input_dims: must be HEIGHT,WIDTH,3 (got '3,288,384')"),
        ("prune -m box -o a.keras -n L2", "--normalizer L2: here, thresholds are shares of the largest weight"),
        ("evaluate -m box -r run --dataset mpii", "'mpii' is not 'coco'"),
        ("inference", "Missing argument 'INPUT...'"),
        ("dataset_convert -o out", "give either -e SPEC, or TAO's dataset spec with -d FILE"),
        (
            f"inference a.jpg -i {SAMPLES / 'infer_spec.yaml'}",
            "its model_path is no file that can be read here; give -m",
        ),
    ],
)
def test_what_would_mean_something_else_is_refused(bpnet: Run, words: str, message: str) -> None:
    result = bpnet(*words.split())
    assert result.exit_code == 2
    assert message in result.output


def test_wrong_values_of_flags_name_the_flag(bpnet: Run) -> None:
    words = "export -m box -o a.onnx --sdk_compatible_model --upsample_ratio 3"
    result = bpnet(*words.split())
    assert result.exit_code == 1
    assert "Error: --upsample_ratio 3: export.tao_paf_upsampling: must be" in result.output


def test_gpus_are_chosen_by_the_variable_of_cuda(
    bpnet: Run, calls: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for words, expected in (("--gpu_index 1 3 --gpus 2", "1,3"), ("--gpus 3", "0,1,2"), ("--gpu_index 2", "2")):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
        assert bpnet("train", "-e", "quickstart", "-r", "run", *words.split()).exit_code == 0
        assert os.environ["CUDA_VISIBLE_DEVICES"] == expected


@pytest.mark.parametrize(
    "listed", [["a.jpg", "b/c.jpg"], {"images": [{"full_image_path": n} for n in ("a.jpg", "b/c.jpg")]}]
)
def test_a_list_of_photos(bpnet: Run, calls: dict[str, Any], listed: object) -> None:
    Path("list.json").write_text(json.dumps(listed))
    words = ("inference", "--input", "list.json", "--input_type", "json")
    assert bpnet(*words).exit_code == 0
    assert calls["inputs"] == ("a.jpg", "b/c.jpg")
    assert bpnet(*words, "--image_root_path", "/photos").exit_code == 0
    assert calls["inputs"] == ("/photos/a.jpg", "/photos/b/c.jpg")


@pytest.mark.parametrize("text", ["", "3", '{"a": 1}', '{"images": ["a.jpg"]}', "[1]"])
def test_a_list_of_another_form_is_refused(bpnet: Run, text: str) -> None:
    Path("list.json").write_text(text)
    result = bpnet("infer", "--input", "list.json", "--input_type", "json")
    assert result.exit_code == 1
    assert "list.json: must be a JSON list of paths" in result.output
    assert "absent.json: can't be read" in bpnet("infer", "--input", "absent.json", "--input_type", "json").output


def test_the_model_of_an_inference_spec_is_taken(bpnet: Run, calls: dict[str, Any]) -> None:
    text = (SAMPLES / "infer_spec.yaml").read_text()
    Path("infer.yaml").write_text(re.sub("model_path: .*", "model_path: own/model.onnx", text))
    assert bpnet("infer", "a.jpg", "-i", "infer.yaml").exit_code == 0
    assert calls["model_path"] == "own/model.onnx"
    assert bpnet("infer", "a.jpg", "-i", "infer.yaml", "-m", "other.onnx").exit_code == 0
    assert calls["model_path"] == "other.onnx"


def test_an_inference_spec_and_a_list_run(bpnet: Run, drawn: Path, keras_loaded: None) -> None:
    photos = sorted((drawn / "images").iterdir())[:2]
    Path("list.json").write_text(json.dumps([str(photo) for photo in photos]))
    words = (
        f"inference -i {SAMPLES / 'infer_spec_strict.yaml'} -m box -k key --input_type json --input list.json -r out"
    )
    result = bpnet(*words.split(), "--set", "inference.min_person_score=0")
    assert result.exit_code == 0, result.output
    images = json.loads(Path("out/detections.json").read_text())["images"]
    assert [image["file"] for image in images] == [photo.name for photo in photos]


@pytest.mark.parametrize(("mode", "name"), [("train", "train"), ("test", "validation")])
def test_a_dataset_spec_is_converted(bpnet: Run, drawn: Path, mode: str, name: str) -> None:
    spec = json.loads((SAMPLES / "coco_spec.json").read_text())
    spec["root_directory_path"] = f"{drawn}/"
    part = {"train": "train_data", "test": "test_data"}[mode]
    spec[part] = {"images_root_dir_path": "images", "annotation_root_dir_path": "annotations/person_keypoints.json"}
    Path("coco_spec.json").write_text(json.dumps(spec))
    result = bpnet("dataset_convert", "-d", "coco_spec.json", "-o", "out", "-m", mode, "-s", "2")
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in Path("out").glob("*.tfrecord")) == [
        f"{name}-00000-of-00002.tfrecord",
        f"{name}-00001-of-00002.tfrecord",
    ]


def test_a_dataset_spec_without_test_data(bpnet: Run) -> None:
    spec = json.loads((SAMPLES / "coco_spec.json").read_text())
    del spec["test_data"]
    Path("coco_spec.json").write_text(json.dumps(spec))
    result = bpnet("dataset_convert", "-d", "coco_spec.json", "-o", "out", "-m", "test")
    assert (result.exit_code, result.output) == (1, "Error: coco_spec.json: has no test_data\n")


def test_the_docs_name_every_flag() -> None:
    words = set(re.findall(r"`(-[\w-]+)", (Path(__file__).parents[2] / "docs" / "tao.md").read_text()))
    for verb, flags in tao_table.FLAGS.items():
        for flag in flags:
            assert words & set(flag.names), (verb, flag.names)


@pytest.mark.parametrize("verb", [*TASKS, "info"])
def test_help_shows_none_of_taos_flags(bpnet: Run, verb: str) -> None:
    text = bpnet(verb, "--help").output
    assert "--key" not in text
    assert "--gpus" not in text
    assert "--inference_spec" not in text


def test_info_takes_a_key(bpnet: Run, keras_loaded: None) -> None:
    result = bpnet("info", "-e", "quickstart", "-k", "key")
    assert result.exit_code == 0
    assert result.stderr == "--key: ignored: files are not encrypted here\n"
