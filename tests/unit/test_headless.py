"""OpenCV without windows (opencv-python-headless) is enough: no module names a function of its GUI."""

from __future__ import annotations

import ast
from pathlib import Path

import bpnet_cli

GUI = {"imshow", "namedWindow", "waitKey", "waitKeyEx", "pollKey", "destroyWindow", "destroyAllWindows", "selectROI"}


def names_of_gui(text: str) -> set[str]:
    """Functions of OpenCV's GUI that a module's text names, as cv2.NAME or imported from cv2."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "cv2":
            found.add(node.attr)
        if isinstance(node, ast.ImportFrom) and node.module == "cv2":
            found |= {alias.name for alias in node.names}
    return found & GUI


def test_such_names_are_found() -> None:
    assert names_of_gui("import cv2\nx = cv2.resize\ncv2.imshow('a', b)") == {"imshow"}
    assert names_of_gui("def f():\n    from cv2 import waitKey, resize") == {"waitKey"}


def test_no_module_needs_a_window_but_that_of_show() -> None:
    modules = sorted(Path(bpnet_cli.__file__).parent.rglob("*.py"))
    found = {path.name: names for path in modules if (names := names_of_gui(path.read_text(encoding="utf-8")))}
    assert len(modules) > 100
    assert found.keys() == {"window.py"}
