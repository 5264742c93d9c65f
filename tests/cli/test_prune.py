"""bpnet prune, and training on from what it leaves."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Run, write_spec

SMALL = ("--set", "pruning.min_channels=2", "--set", "pruning.granularity=1")


@pytest.fixture(scope="module")
def pruned(trained: Path, bpnet: Run) -> Path:
    """The trained model at half of its MACs."""
    path = trained / "pruned.keras"
    result = bpnet("prune", "-m", trained / "run" / "model.keras", "-o", path, "--target-macs", 0.5, *SMALL)
    assert result.exit_code == 0, result.output
    return path


def gmacs(bpnet: Run, path: Path) -> float:
    from bpnet_cli.models.bodyposenet import count_macs
    from bpnet_cli.models.model_file import load_network

    return count_macs(load_network(path)[0], 64, 64)


def test_the_target_is_met_and_the_table_tells_how(trained: Path, tmp_path: Path, bpnet: Run) -> None:
    whole = trained / "run" / "model.keras"
    result = bpnet("prune", "-m", whole, "-o", tmp_path / "p.keras", "--target-macs", 0.5, *SMALL)
    share = gmacs(bpnet, tmp_path / "p.keras") / gmacs(bpnet, whole)
    assert 0.3 < share <= 0.5
    assert f"({share:.1%}) at 64 x 64" in result.output
    assert "conv3 " in result.output
    assert "stage1_heat_out" not in result.output
    by_threshold = bpnet("prune", "-m", whole, "-o", tmp_path / "t.keras", "--threshold", 0, *SMALL)
    assert "every channel stays" in by_threshold.output


def test_the_ap_is_told_before_and_after(
    trained: Path, tmp_path: Path, bpnet: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bpnet_cli.pruning import measure

    whole, target = trained / "run" / "model.keras", tmp_path / "p.keras"
    easy = ("--set", "inference.decode.peak_threshold=0.001", "--set", "inference.decode.person_threshold=0")
    words = ("prune", "-m", whole, "-o", target, "--target-macs", 0.5, "--overwrite", *SMALL)
    result = bpnet(*words, *easy)
    assert result.exit_code == 0, result.output
    said = re.search(r"AP          (\d\.\d{3}) -> (\d\.\d{3}) on 12 photos, without any training", result.output)
    for model, shown in zip((whole, target), said.groups(), strict=True):
        assert bpnet("evaluate", "-m", model, "-r", tmp_path / "e", *easy).exit_code == 0
        ap = json.loads((tmp_path / "e" / "metrics.json").read_text())["AP"]
        assert f"{ap:.3f}" == shown
    monkeypatch.setattr(measure, "MOST_PHOTOS", 5)
    assert "on 5 of 12 photos, without any training" in bpnet(*words).output
    for gone in ("null", "{images: nowhere, annotations: none.json}", "{records: none-*.tfrecord}"):
        result = bpnet(*words, "--set", f"dataset.validation={gone}")
        assert result.exit_code == 0, result.output
        assert "AP          not measured: the photos of dataset.validation aren't here; --set" in result.output
        assert "expect to train it for as many steps as the first time" in result.output


def test_how_much_training_to_expect() -> None:
    from bpnet_cli.pruning.measure import measured

    assert "most of it is left" in measured(0.46, 0.44, "9 photos", True)[1]
    assert "as many steps as the first time" in measured(0.46, 0.3, "9 photos", True)[1]
    assert "--refit-images" not in measured(0.46, 0.3, "9 photos", True)[1]
    assert "; --refit-images DIR would leave more of it" in measured(0.46, 0.0, "9 photos", False)[1]
    assert "as many steps as the first time" in measured(0.0, 0.0, "9 photos", False)[1]


def test_what_is_pruned_evaluates_and_exports(pruned: Path, tmp_path: Path, bpnet: Run) -> None:
    result = bpnet("export", "-m", pruned, "-o", tmp_path / "p.onnx")
    assert result.exit_code == 0, result.output
    for model in (pruned, tmp_path / "p.onnx"):
        result = bpnet("evaluate", "-m", model, "-r", tmp_path / model.suffix)
        assert result.exit_code == 0, result.output
    ap = [json.loads((tmp_path / s / "metrics.json").read_text())["AP"] for s in (".keras", ".onnx")]
    assert ap[0] == ap[1]


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_training_goes_on_with_the_smaller_graph(
    pruned: Path, drawn: Path, tmp_path: Path, bpnet: Run, precision: str
) -> None:
    from bpnet_cli.models.model_file import load_network

    spec = write_spec(tmp_path, drawn, f"{{epochs: 1, steps_per_epoch: 3, batch_size: 4, precision: {precision}}}")
    more = ("--set", f"model.pretrained={pruned}", "--set", "loss.l2=1.0e-4", "--set", "training.ema_momentum=0.5")
    result = bpnet("train", "-e", spec, "-r", tmp_path / "run", *more)
    assert result.exit_code == 0, result.output
    assert "parameters, pruned" in result.output
    before, _ = load_network(pruned)
    after, metadata = load_network(tmp_path / "run" / "model.keras")
    assert metadata.graph == "pruned"
    assert [v.shape for v in after.variables] == [v.shape for v in before.variables]
    assert {layer.dtype_policy.name for layer in after.layers} == {"float32"}
    assert not any(
        np.array_equal(a, b) for a, b in zip(after.get_weights(), before.get_weights(), strict=True) if a.ndim == 4
    )
    again = bpnet("train", "-e", spec, "-r", tmp_path / "run", *more, "--set", "training.epochs=2")
    assert again.exit_code == 0, again.output
    assert "going on after epoch 1" in again.output


def test_frozen_layers_that_were_pruned_are_warned_of(pruned: Path, drawn: Path, tmp_path: Path, bpnet: Run) -> None:
    spec = write_spec(tmp_path, drawn, "{epochs: 1, steps_per_epoch: 1, batch_size: 2}")
    more = ("--set", f"model.pretrained={pruned}", "--set", "training.frozen_layers=[conv2*]")
    result = bpnet("train", "-e", spec, "-r", tmp_path / "run", *more)
    assert result.exit_code == 0, result.output
    assert "were pruned can't recover; --set training.frozen_layers=[] lets all layers learn" in result.output


def test_a_spec_of_another_network_is_refused(pruned: Path, drawn: Path, tmp_path: Path, bpnet: Run) -> None:
    spec = write_spec(tmp_path, drawn, "{epochs: 1}")
    words = ("train", "-e", spec, "-r", tmp_path / "run", "--set", f"model.pretrained={pruned}")
    result = bpnet(*words, "--set", "model.stages=1")
    assert result.exit_code == 1
    assert "is pruned and trained on as it is" in result.output
    assert "model.stages: 2 -> 1" in result.output
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ((), 2, "give either --threshold or --target-macs"),
        (("--threshold", 0.1, "--target-macs", 0.5), 2, "give either --threshold or --target-macs"),
        (("--target-macs", 0), 2, "0.0 is not in the range"),
        (("--target-macs", 0.001), 1, "can't be reached"),
    ],
)
def test_wrong_wishes_are_refused(
    trained: Path, tmp_path: Path, bpnet: Run, words: tuple, code: int, message: str
) -> None:
    result = bpnet("prune", "-m", trained / "run" / "model.keras", "-o", tmp_path / "p.keras", *words)
    assert result.exit_code == code
    assert message in result.output
    assert not list(tmp_path.iterdir())


def test_files_are_guarded(trained: Path, exported: Path, tmp_path: Path, bpnet: Run) -> None:
    model, there = trained / "run" / "model.keras", tmp_path / "there.keras"
    there.write_text("mine")
    for source, target, message in (
        (model, there, "exists already"),
        (model, tmp_path / "p.onnx", "must end in .keras"),
        (exported, tmp_path / "p.keras", "prune needs a .keras file"),
        (tmp_path / "none.keras", tmp_path / "p.keras", "no such"),
    ):
        result = bpnet("prune", "-m", source, "-o", target, "--threshold", 0.1)
        assert result.exit_code == 1
        assert message in result.output
    assert there.read_text() == "mine"
