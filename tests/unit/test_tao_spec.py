"""TAO's spec files: every key has a rule, and the right one; what they say is what the translation says."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from bpnet_cli import BODY_18
from bpnet_cli.build import network_of, skeleton_of
from bpnet_cli.errors import SpecError
from bpnet_cli.spec import tao
from bpnet_cli.spec.loader import load_spec, load_spec_text
from bpnet_cli.spec.tao_file import DATASET, INFERENCE, POSE, TRAIN, Translation

SAMPLES = Path(__file__).parent / "tao"
TRAIN_SPEC = SAMPLES / "bpnet_train_m1_coco.yaml"
PARAMS = "dataloader.augmentation_config.spatial_aug_params"
RATE = "optimizer.learning_rate_schedule"
DECAY = {
    "__class_name__": "BpNetExponentialDecayLRSchedule",
    "learning_rate": 2e-5,
    "decay_epochs": 17,
    "decay_rate": 0.333,
    "min_learning_rate": 8.18938e-8,
    "staircase": True,
}
FOCAL = {"use_focal_loss": True, "alpha": 0.2, "beta": 0.03, "bkg_thresh": 0.05, "gamma": 1.5}


@pytest.fixture
def specs(tmp_path: Path) -> Path:
    """A folder with copies of TAO's files."""
    return Path(shutil.copytree(SAMPLES, tmp_path / "specs"))


def write(path: Path, **changes: Any) -> Path:
    """Change keys of a YAML file, such as `model.stages`; `...` removes one."""
    data = yaml.safe_load(path.read_text())
    for key, value in changes.items():
        *above, last = key.split(".")
        holder = data
        for part in above:
            holder = holder[part]
        if value is ...:
            del holder[last]
        else:
            holder[last] = value
    path.write_text(yaml.safe_dump(data, sort_keys=False))
    return path


def train_spec(specs: Path, **changes: Any) -> Path:
    return write(specs / TRAIN_SPEC.name, **changes)


def value_of(result: Translation, key: str) -> Any:
    holder: Any = result.document.data
    for part in key.split("."):
        holder = holder[part]
    return holder


def the_list_with(result: Translation, key: str) -> str:
    """The name of the one list that has a line for a key."""
    lists = {"mapped": result.mapped, "dropped": result.dropped, "changed": result.changed}
    found = [name for name, lines in lists.items() for line in lines if line.startswith((f"{key}:", f"{key} "))]
    assert len(found) == 1, (key, found)
    return found[0]


def leaves(data: Any, path: str = "") -> list[str]:
    """The keys that hold no section, and sections that are values."""
    whole = {"dataloader.dataset_config.dataset_specs", "visibility_flags.value", "visibility_flags.mapping"}
    if not isinstance(data, dict) or path in whole:
        return [path]
    return [leaf for key, value in data.items() for leaf in leaves(value, f"{path}.{key}".removeprefix("."))]


def test_the_shipped_spec_is_our_spec_of_the_same_network() -> None:
    ours = load_spec("bodyposenet_vgg19_coco")
    theirs = load_spec(TRAIN_SPEC)
    assert theirs.name == "bpnet_train_m1_coco"
    assert theirs.model_copy(update={"name": ours.name}) == ours


def test_every_key_is_in_one_of_the_lists() -> None:
    result = tao.translate_train(TRAIN_SPEC)
    files = {"": TRAIN_SPEC, "dataset spec: ": "coco_spec.json", "inference spec: ": "infer_spec.yaml"}
    files["pose config: "] = "bpnet_18joints.json"
    count = 0
    for prefix, name in files.items():
        for key in leaves(yaml.safe_load((SAMPLES / name).read_text())):
            the_list_with(result, prefix + key)
            count += 1
    own = [line for line in result.mapped if line.startswith("(TAO's own value")]
    assert count == len(result.mapped) - len(own) + len(result.dropped) + len(result.changed) > 120
    assert sorted(line.split("-> ")[1] for line in own) == [
        "augmentation.brightness: 0",
        "augmentation.contrast: 0",
        "augmentation.hue_deg: 0",
        "augmentation.saturation: 0",
    ]
    assert not result.missing


@pytest.mark.parametrize(
    ("key", "value", "which", "ours"),
    [
        ("num_epoch", 120, "mapped", {"training.epochs": 120}),
        ("validation_every_n_epoch", 7, "changed", {"training.validate_every_epochs": 7}),
        ("random_seed", 3, "mapped", {"training.seed": 3}),
        ("pretrained_weights", "a/start.keras", "mapped", {"model.pretrained": "a/start.keras"}),
        ("pretrained_weights", None, "mapped", {"model.pretrained": "none"}),
        ("use_stagewise_lr_multipliers", False, "mapped", {"optimizer.layer_multipliers": "none"}),
        ("finetuning_config.is_finetune_exp", True, "changed", {}),
        ("load_graph", True, "changed", {}),
        ("evaluator", {"a": 1}, "changed", {}),
        ("dataloader.batch_size", 4, "changed", {"training.batch_size": 4}),
        ("dataloader.dataset_config.root_data_path", "/d/", "mapped", {"dataset.train.images": "/d/train2017"}),
        ("dataloader.normalization_params.image_scale", [255, 255, 255], "changed", {}),
        ("dataloader.normalization_params.image_offset", [0, 0, 0], "changed", {}),
        ("dataloader.label_processor_config.heatmap_gaussian_sigma", 9, "mapped", {"targets.heatmap_sigma_px": 9}),
        ("dataloader.label_processor_config.paf_ortho_dist_thresh", 1.5, "mapped", {"targets.paf_half_width_px": 12}),
        (
            "dataloader.augmentation_config.spatial_augmentation_mode",
            "standard",
            "mapped",
            {"augmentation.crop": "photo"},
        ),
        (
            "dataloader.augmentation_config.spatial_augmentation_mode",
            "standard_with_fixed_aspect_ratio",
            "changed",
            {"augmentation.crop": "photo"},
        ),
        ("dataloader.augmentation_config.identity_spatial_aug_params", {"a": 1}, "changed", {}),
        (f"{PARAMS}.flip_lr_prob", 0.25, "mapped", {"augmentation.flip_probability": 0.25}),
        (f"{PARAMS}.flip_tb_prob", 0.25, "changed", {}),
        (f"{PARAMS}.rotate_deg_min", -20, "changed", {"augmentation.rotation_deg": 40}),
        (f"{PARAMS}.rotate_deg_min", None, "mapped", {"augmentation.rotation_deg": 40}),
        (f"{PARAMS}.translate_min_y", -60, "changed", {"augmentation.translation_px": 60}),
        (f"{PARAMS}.target_person_scale", 0.7, "mapped", {"augmentation.person_height": 0.7}),
        ("model.__class_name__", "BpNetModel", "mapped", {"model.branches": "separate"}),
        ("model.backbone_attributes.use_bias", True, "changed", {}),
        ("model.backbone_attributes.use_batch_norm", False, "changed", {}),
        ("model.stages", 2, "mapped", {"model.stages": 2}),
        ("model.stage1_kernel_sizes", [3, 5], "mapped", {"model.initial_stage.kernel_sizes": [3, 5]}),
        ("model.stageT_kernel_sizes", [9], "mapped", {"model.refinement_stage.kernel_sizes": [9]}),
        ("model.use_self_attention", True, "changed", {}),
        ("model.data_format", "channels_first", "changed", {}),
        ("model.use_bias", False, "changed", {}),
        ("model.kernel_regularization_factor", 1e-4, "mapped", {"loss.l1": 1e-4}),
        ("model.regularization_type", "l1_l2", "mapped", {"loss.l1": 5e-4, "loss.l2": 5e-4}),
        ("model.bias_regularization_factor", 0.1, "changed", {}),
        ("model.kernel_initializer", "xavier", "changed", {"model.initializer": "he_normal"}),
        ("optimizer.momentum", 0.8, "mapped", {"optimizer.momentum": 0.8}),
        ("optimizer.use_nesterov", True, "mapped", {"optimizer.nesterov": True}),
        ("optimizer.grad_weights_dict", {"stage1": 2}, "changed", {}),
        ("optimizer.weight_default_value", 2.0, "changed", {}),
        (f"{RATE}.soft_start", 0.1, "mapped", {"optimizer.schedule.soft_start": 0.1}),
        (f"{RATE}.annealing", 0.6, "mapped", {"optimizer.schedule.annealing": 0.6}),
        (f"{RATE}.base_learning_rate", 8e-5, "mapped", {"optimizer.learning_rate": 8e-5}),
        (f"{RATE}.min_learning_rate", 1e-7, "mapped", {"optimizer.schedule.min_learning_rate": 1e-7}),
    ],
)
def test_a_key_of_the_train_spec(specs: Path, key: str, value: Any, which: str, ours: dict[str, Any]) -> None:
    result = tao.translate_train(train_spec(specs, **{key: value}))
    assert the_list_with(result, key) == which
    for name, expected in ours.items():
        assert value_of(result, name) == expected
    load_spec_text(tao.text_of(result, "TAO's")[0], "translated")


@pytest.mark.parametrize("word", ["yes", "On", "no", "OFF"])
def test_words_that_taos_reader_takes_for_truth_values(specs: Path, word: str) -> None:
    path = specs / TRAIN_SPEC.name
    key = "use_stagewise_lr_multipliers"
    path.write_text(path.read_text().replace(f"{key}: True", f"{key}: {word}"))
    expected = "bodyposenet" if word in ("yes", "On") else "none"
    assert load_spec(path).optimizer.layer_multipliers == expected


def test_several_data_sets_are_named(specs: Path) -> None:
    sets = {"coco": str(specs / "coco_spec.json"), "own": "own_spec.json"}
    result = tao.translate_train(train_spec(specs, **{"dataloader.dataset_config.dataset_specs": sets}))
    assert result.missing == ["TAO's dataset spec: own_spec.json: not read; add its photos to section dataset"]


def test_l2_alone(specs: Path) -> None:
    loss = load_spec(train_spec(specs, **{"model.regularization_type": "l2"})).loss
    assert (loss.l1, loss.l2) == (0, 5e-4)


def test_zoom_makes_people_smaller(specs: Path) -> None:
    zoom = {f"{PARAMS}.zoom_prob": 0.5, f"{PARAMS}.zoom_ratio_min": 0.8, f"{PARAMS}.zoom_ratio_max": 2.0}
    result = tao.translate_train(train_spec(specs, **zoom))
    assert value_of(result, "augmentation.scale") == [0.5, 1.25]
    assert {the_list_with(result, key) for key in zoom} == {"changed"}
    assert "50% of the crops there" in "".join(result.changed)


def test_translation_by_shares_of_the_image(specs: Path) -> None:
    shares = {f"{PARAMS}.use_translate_ratio": True, f"{PARAMS}.translate_ratio_min": -0.25}
    result = tao.translate_train(train_spec(specs, **shares))
    assert value_of(result, "augmentation.translation_px") == 64
    assert the_list_with(result, f"{PARAMS}.translate_max_x") == "dropped"
    assert the_list_with(result, f"{PARAMS}.translate_ratio_max") == "changed"


def test_what_a_file_leaves_out_is_what_tao_then_does(specs: Path) -> None:
    keys = ("flip_lr_prob", "rotate_deg_min", "rotate_deg_max", "zoom_prob", "target_person_scale")
    keys += ("translate_max_x", "translate_min_x", "translate_max_y", "translate_min_y")
    path = train_spec(specs, **{f"{PARAMS}.{key}": ... for key in keys}, **{"model.stages": ...})
    spec = load_spec(path)
    crops = spec.augmentation
    assert (crops.flip_probability, crops.rotation_deg, crops.scale, crops.translation_px) == (0, 0, (1, 1), 0)
    assert spec.model.stages == 6


def test_exponential_decay_becomes_steps(specs: Path) -> None:
    result = tao.translate_train(train_spec(specs, **{RATE: DECAY}))
    assert value_of(result, "optimizer.schedule") == {
        "name": "step",
        "boundaries": [0.17, 0.34, 0.51, 0.68, 0.85],
        "factor": 0.333,
    }
    assert load_spec(specs / TRAIN_SPEC.name).optimizer.learning_rate == 2e-5
    for key in ("decay_epochs", "min_learning_rate", "__class_name__"):
        assert the_list_with(result, f"{RATE}.{key}") == "changed"


def test_steps_end_at_the_minimum_and_with_the_run(specs: Path) -> None:
    low = tao.translate_train(train_spec(specs, **{RATE: {**DECAY, "min_learning_rate": 1e-6}}))
    assert value_of(low, "optimizer.schedule.boundaries") == [0.17, 0.34]
    short = tao.translate_train(train_spec(specs, **{RATE: DECAY, "num_epoch": 15, "checkpoint_n_epoch": 5}))
    assert value_of(short, "optimizer.schedule") == {"name": "constant"}


def test_other_spellings_of_the_schedule(specs: Path) -> None:
    schedule = {"__class_name__": "SoftstartAnnealingLearningRateSchedule", "base": 3e-5, "min": 2e-7}
    optimizer = load_spec(train_spec(specs, **{RATE: schedule})).optimizer
    assert (optimizer.learning_rate, optimizer.schedule.min_learning_rate) == (3e-5, 2e-7)  # type: ignore[union-attr]


def test_focal_loss_scales_squares_here(specs: Path) -> None:
    focal = load_spec(train_spec(specs, **{"loss.focal_loss_params": FOCAL})).loss.focal
    assert focal is not None
    assert (focal.alpha, focal.beta, focal.threshold, focal.gamma) == (0.2, 0.03, 0.05, 3.0)


def test_focal_loss_with_nothing_but_the_switch(specs: Path) -> None:
    focal = load_spec(train_spec(specs, **{"loss.focal_loss_params": {"use_focal_loss": True}})).loss.focal
    assert focal is not None
    assert focal.gamma == 2  # TAO's 1


def test_a_graph_of_a_file_needs_no_keys_of_the_network(specs: Path) -> None:
    path = train_spec(specs, load_graph=True, pretrained_weights="pruned.keras")
    result = tao.translate_train(path)
    for key in ("load_graph", "model.stages", "model.kernel_initializer", "model.stage1_kernel_sizes"):
        assert the_list_with(result, key) == "changed"
    spec = load_spec(path)
    assert (spec.model.graph, spec.model.pretrained, spec.model.input_height) == ("file", "pruned.keras", 256)


@pytest.mark.parametrize(
    ("changes", "count"),
    [
        ({}, 16_777_835),
        ({"model.stages": 1}, 7_952_633),
        ({"model.__class_name__": "BpNetModel"}, 25_965_035),
        ({"model.__class_name__": "BpNetModel", "model.stages": 6, "model.stageT_kernel_sizes": [3]}, 52_319_510),
    ],
)
def test_the_network_has_as_many_parameters_as_nvidias(
    specs: Path, changes: dict, count: int, keras_loaded: None
) -> None:
    spec = load_spec(train_spec(specs, **changes))
    assert network_of(spec, skeleton_of(spec)).count_params() == count


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("infer_spec.yaml", {"input_height": 368, "input_width": None, "scales": [1.0]}),
        ("infer_spec_refine.yaml", {"input_height": 368, "input_width": None, "scales": [2.0, 1.5, 1.0, 0.5]}),
        ("infer_spec_strict.yaml", {"input_height": 288, "input_width": 384, "scales": [1.0]}),
    ],
)
def test_inference_specs(name: str, expected: dict[str, Any]) -> None:
    assert tao.translate_train(TRAIN_SPEC, {INFERENCE: str(SAMPLES / name)}).document.data["inference"] == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"keep_aspect_ratio_mode": None}, {"input_height": 368, "input_width": 368, "scales": [1.0]}),
        ({"input_shape": ..., "keep_aspect_ratio_mode": ...}, {"input_height": 256, "scales": [1.0]}),
        ({"output_stage_to_use": 2}, {"input_height": 368, "input_width": None, "scales": [1.0]}),
    ],
)
def test_inference_specs_of_other_kinds(specs: Path, changes: dict[str, Any], expected: dict[str, Any]) -> None:
    write(specs / "infer_spec.yaml", **changes)
    assert tao.translate_train(specs / TRAIN_SPEC.name).document.data["inference"] == expected


@pytest.mark.parametrize(
    ("key", "value", "which", "ours"),
    [
        ("data_filtering_params.min_acceptable_height", 20, "mapped", {"dataset.min_area_px": 640}),
        ("data_filtering_params.min_acceptable_width", 10, "mapped", {"dataset.min_area_px": 320}),
        ("data_filtering_params.min_acceptable_kpts", 3, "mapped", {"dataset.min_keypoints": 3}),
        (
            "data_filtering_params.min_acceptable_interperson_dist_ratio",
            0.1,
            "mapped",
            {"dataset.min_distance_ratio": 0.1},
        ),
        ("test_data.images_root_dir_path", "own", "mapped", {"dataset.validation.images": "data/coco/own"}),
        ("train_data.annotation_root_dir_path", "a.json", "mapped", {"dataset.train.annotations": "data/coco/a.json"}),
        (
            "root_directory_path",
            "/r/",
            "mapped",
            {"dataset.train.annotations": "/r/annotations/person_keypoints_train2017.json"},
        ),
        ("duplicate_data_with_each_person_as_center", False, "changed", {}),
        ("visibility_flags.mapping", {"visible": "occluded"}, "changed", {}),
        ("visibility_flags.value", {"visible": 1}, "changed", {}),
    ],
)
def test_a_key_of_the_dataset_spec(specs: Path, key: str, value: Any, which: str, ours: dict[str, Any]) -> None:
    write(specs / "coco_spec.json", **{key: value})
    result = tao.translate_train(specs / TRAIN_SPEC.name)
    assert the_list_with(result, f"dataset spec: {key}") == which
    assert {name: value_of(result, name) for name in ours} == ours


def test_a_root_without_its_slash_is_joined_where_that_exists(specs: Path) -> None:
    (specs / "photos" / "train2017").mkdir(parents=True)
    root = {"dataloader.dataset_config.root_data_path": str(specs / "photos")}
    result = tao.translate_train(train_spec(specs, **root))
    assert value_of(result, "dataset.train.images") == str(specs / "photos" / "train2017")
    root = {"dataloader.dataset_config.root_data_path": str(specs / "prefix_")}
    assert value_of(tao.translate_train(train_spec(specs, **root)), "dataset.train.images").endswith("prefix_train2017")


def test_the_body_of_tao_is_ours() -> None:
    result = tao.translate(tao.load_yaml(SAMPLES / "bpnet_18joints.json"), POSE)
    assert result.document.data == {"skeleton": "body_18"}
    category = yaml.safe_load((SAMPLES / "bpnet_18joints.json").read_text())["categories"][0]
    assert category["keypoints"] == list(BODY_18.keypoints)
    assert category["skeleton_edge_names"] == [list(limb) for limb in BODY_18.limbs]


@pytest.mark.parametrize("limbs", [[[1, 2], [2, 3]], [[0, 1], [1, 2]]])
def test_another_body_becomes_a_skeleton_in_the_spec(specs: Path, limbs: list[list[int]]) -> None:
    names = ["left_shoulder", "neck", "right_shoulder"]
    category = {"name": "bust", "num_joints": 3, "keypoints": names, "skeleton": limbs}
    write(specs / "bpnet_18joints.json", pose_config_type="bust", categories=[category])
    skeleton = skeleton_of(load_spec(train_spec(specs, **{"model.heat_channels": 4, "model.paf_channels": 4})))
    assert (skeleton.name, skeleton.keypoints) == ("bust", tuple(names))
    assert skeleton.limbs == (("left_shoulder", "neck"), ("neck", "right_shoulder"))
    assert skeleton.flip_pairs == (("left_shoulder", "right_shoulder"),)
    assert skeleton.midpoints == (("neck", "left_shoulder", "right_shoulder"),)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model.heat_channels": 20}, "model.heat_channels: must be 19 for the skeleton body_18 (got 20)"),
        ({"model.paf_channels": 36}, "model.paf_channels: must be 38 for the skeleton body_18 (got 36)"),
        (
            {"dataloader.pose_config.target_shape": [64, 64]},
            "dataloader.pose_config.target_shape: must be [32, 32], image_dims by 8: other strides don't exist here"
            " (got [64, 64])",
        ),
        ({"model.stage": 3}, "model.stage: unknown key in TAO's train spec, did you mean 'stages'?"),
        ({"batch_size": 3}, "batch_size: unknown key in TAO's train spec, did you mean 'dataloader.batch_size'?"),
        ({"model.stages": 2.5}, "model.stages: must be a whole number (got 2.5)"),
        ({"dataloader.batch_size": 0}, "training.batch_size: must be at least 1 (got 0)"),
        ({"model": 3}, "model: must be a section of keys (got 3)"),
        ({"optimizer.momentum": "high"}, "optimizer.momentum: must be a number (got 'high')"),
        (
            {f"{PARAMS}.rotate_deg_max": "far"},
            f"{PARAMS}.rotate_deg_max: must be a number (got 'far')",
        ),
        (
            {"model.backbone_attributes.architecture": "helnet"},
            "model.backbone_attributes.architecture: only TAO's 'vgg' exists here; write a spec with another"
            " model.backbone instead (got 'helnet')",
        ),
        ({"load_graph": "maybe"}, "load_graph: must be True or False (got 'maybe')"),
        (
            {"model.kernel_initializer": "he"},
            "model.kernel_initializer: must be 'random_normal' or 'xavier' (got 'he')",
        ),
        ({"model.__class_name__": "Net"}, "model.__class_name__: must be 'BpNetLiteModel' or 'BpNetModel' (got 'Net')"),
    ],
)
def test_what_is_refused_has_its_line(specs: Path, changes: dict[str, Any], message: str) -> None:
    path = train_spec(specs, **changes)
    key = next(iter(changes)).split(".")[-1]
    lines = path.read_text().splitlines()
    with pytest.raises(SpecError) as caught:
        load_spec(path)
    shown = str(caught.value).split("\n")
    matching = [number for number, line in enumerate(lines, start=1) if line.strip().startswith(f"{key}:")]
    assert any(f"{path}:{number}: {message}" in shown for number in matching), shown


@pytest.mark.parametrize(
    ("category", "message"),
    [
        (3, "must be a list of one category with keypoints and skeleton"),
        ({"keypoints": [[1]]}, "needs keypoints: a list of names"),
        ({"keypoints": ["a", "b"], "num_joints": 3}, "num_joints must be 2, the number of its keypoints"),
        ({"keypoints": ["a", "b"], "skeleton_edge_names": 3}, "skeleton_edge_names must be pairs of its keypoints"),
        ({"keypoints": ["a", "b"], "skeleton_edge_names": [["a", ["b"]]]}, "skeleton_edge_names must be pairs"),
        ({"keypoints": ["a", "b"]}, "needs skeleton: a list of pairs of keypoints"),
        ({"keypoints": ["a", "b"], "skeleton": [["a", "b"]]}, "skeleton must be numbers of its 2 keypoints"),
        ({"keypoints": ["a", "b"], "skeleton": [[1, 3]]}, "skeleton must be numbers of its 2 keypoints"),
    ],
)
def test_a_pose_config_that_is_wrong(specs: Path, category: Any, message: str) -> None:
    write(specs / "bpnet_18joints.json", categories=[category])
    with pytest.raises(SpecError, match=f"bpnet_18joints.json:2: categories: {message}"):
        load_spec(specs / TRAIN_SPEC.name)


@pytest.mark.parametrize("value", [[1], {"a": 1}, "x", 2.5])
@pytest.mark.parametrize(
    "key",
    [
        "model.__class_name__",
        "model.regularization_type",
        "optimizer.__class_name__",
        f"{RATE}.__class_name__",
        "dataloader.image_config.image_dims.channels",
        "dataloader.augmentation_config.spatial_augmentation_mode",
        "use_stagewise_lr_multipliers",
    ],
)
def test_values_of_other_types_are_refused(specs: Path, key: str, value: Any) -> None:
    with pytest.raises(SpecError, match=f"{key.split('.')[-1]}.* must be "):
        load_spec(train_spec(specs, **{key: value}))


def test_absent_files_are_named_with_what_is_assumed(tmp_path: Path) -> None:
    path = Path(shutil.copy(TRAIN_SPEC, tmp_path))
    result = tao.translate_train(path)
    assert [line.split(": there is no such file: ")[1] for line in result.missing] == [
        "skeleton body_18 is assumed; give it with --pose-config",
        "the spec names no photos; give it with --dataset-spec",
        "photos are scaled to a height of 368; give it with --infer-spec",
    ]
    assert "dataset" not in result.document.data


@pytest.mark.parametrize(
    ("name", "kind"),
    [("coco_spec.json", DATASET), ("infer_spec.yaml", INFERENCE), ("bpnet_18joints.json", POSE)],
)
def test_another_file_of_taos_is_no_spec(name: str, kind: str) -> None:
    with pytest.raises(SpecError, match=f"{name}: is NVIDIA TAO's {kind}, not a spec; .*import-tao"):
        load_spec(SAMPLES / name)
    with pytest.raises(SpecError, match=f"{name}: is not TAO's train spec, but its {kind}"):
        tao.translate_train(SAMPLES / name)
    wrong = POSE if kind == INFERENCE else INFERENCE
    with pytest.raises(SpecError, match=f"{name}:1: is not TAO's {wrong}, but its {kind}"):
        tao.translate_train(TRAIN_SPEC, {wrong: str(SAMPLES / name)})


def test_json_may_be_indented_with_tabs(specs: Path) -> None:
    path = specs / "coco_spec.json"
    path.write_text(path.read_text().replace("    ", "\t"))
    assert load_spec(specs / TRAIN_SPEC.name) == load_spec(TRAIN_SPEC)


def test_our_own_specs_are_not_taken_for_taos() -> None:
    for path in (Path(__file__).parents[2] / "specs").glob("*.yaml"):
        assert tao.kind_of_tao(tao.load_yaml(path)) is None
    assert tao.kind_of_tao(tao.load_yaml(TRAIN_SPEC)) == TRAIN


def test_the_written_spec_says_what_changed(specs: Path) -> None:
    text, spec = tao.text_of(tao.translate_train(TRAIN_SPEC), str(TRAIN_SPEC))
    assert load_spec_text(text, "written") == spec == load_spec(TRAIN_SPEC)
    assert "# checkpoint_dir: '/workspace/tao-experiments/bpnet/models/exp_m1_unpruned' (give it to" in text
