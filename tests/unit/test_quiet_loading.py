"""What TensorFlow says while it loads: nothing without a GPU, everything where something may be wrong with one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
# Like TensorFlow's CUDA build: chatter at the import, and one error at the first look for GPUs.
TENSORFLOW = """
import os
os.write(2, b"chatter\\n")
class config:
    looked = False
    @classmethod
    def list_physical_devices(cls, kind):
        if not cls.looked:
            os.write(2, b"failed call to cuInit\\n")
        cls.looked = True
        return []
"""
SCRIPT = """
import sys
from bpnet_cli import engine
engine._GPU_FILES = (sys.argv[1],)
engine.load_tensorflow("the test")
import tensorflow
tensorflow.config.list_physical_devices("GPU")
"""


@pytest.mark.parametrize(
    ("driver", "environment", "told"),
    [
        ("nowhere", {}, ""),
        (".", {}, "failed call to cuInit\n"),
        (".", {"CUDA_VISIBLE_DEVICES": "0"}, "failed call to cuInit\n"),
        (".", {"CUDA_VISIBLE_DEVICES": "-1"}, ""),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="GPUs are looked for in /dev")
def test_no_gpu_is_no_error(driver: str, environment: dict[str, str], told: str, tmp_path: Path) -> None:
    (tmp_path / "tensorflow.py").write_text(TENSORFLOW)
    inherited = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, driver],
        env=inherited | {"PYTHONPATH": f"{tmp_path}:{REPOSITORY}"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, told)
