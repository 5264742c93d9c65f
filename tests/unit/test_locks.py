"""The lock files hold what setup.cfg asks for, each package with its checksums."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PINNED = re.compile(r"^([A-Za-z0-9._-]+)(\[[a-z,-]+\])?==([^ ;\\]+)")
LINES = re.findall(r"^(?:\w+='[^']*' )?lock (\S+)\.txt (.*)$", (ROOT / "requirements" / "lock.sh").read_text(), re.M)
EXTRAS = {name: re.findall(r"--extra (\S+)", words) for name, words in LINES}


def locked(name: str) -> dict[str, tuple[str, int]]:
    """By package: the version and the number of checksums."""
    found: dict[str, tuple[str, int]] = {}
    last = ""
    for line in (ROOT / "requirements" / f"{name}.txt").read_text().splitlines():
        if match := PINNED.match(line):
            last = canonicalize_name(match[1])
            found[last] = match[3], 0
        elif "--hash=sha256:" in line:
            found[last] = found[last][0], found[last][1] + 1
    return found


def test_there_is_a_lock_for_each_container() -> None:
    assert {path.stem for path in (ROOT / "requirements").glob("*.txt")} == EXTRAS.keys()


@pytest.mark.parametrize("name", EXTRAS)
def test_a_lock_holds_all_requirements_with_checksums(name: str) -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    lines = setup["options"]["install_requires"].splitlines()
    lines += [line for extra in EXTRAS[name] for line in setup["options.extras_require"][extra].splitlines()]
    packages = locked(name)
    assert len(packages) > 15
    assert all(count > 0 for _, count in packages.values())
    for requirement in (Requirement(line) for line in lines if line and not line.startswith("#")):
        version, _ = packages[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{name}: {requirement} but {version} is locked"
