"""TAO's spec files and flags on the real commands."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

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


def test_taos_train_spec_is_taken_as_it_is(bpnet: Run, keras_loaded: None) -> None:
    result = bpnet("info", "-e", TRAIN_SPEC, "--json")
    assert json.loads(result.stdout)["parameters"] == 16_777_835
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"{TRAIN_SPEC}: this is NVIDIA TAO's train spec, translated while it is read")
    assert f"bpnet spec import-tao {TRAIN_SPEC} -o spec.yaml" in line
    assert bpnet("spec", "check", TRAIN_SPEC).output.endswith("ok\n")
