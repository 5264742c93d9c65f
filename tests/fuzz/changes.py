"""Hypothesis strategies: files that are valid but for a few changes. Random bytes would be refused at the first one."""

from __future__ import annotations

import copy
import io
import json
import zipfile
from collections.abc import Callable, Collection
from typing import Any
from xml.etree import ElementTree

import numpy as np
from hypothesis import strategies as st

Draw = Callable[[st.SearchStrategy[Any]], Any]

NUMBERS = st.one_of(
    st.sampled_from([0, -1, 1, 2, 3, 17, 255, 2**31, -(2**31), 2**32, 2**63, 2**64, 10**18, 10**400, -(10**30)]),
    st.sampled_from([0.0, -0.0, 0.5, -1.5, 1e-300, 1e300, float("nan"), float("inf"), -float("inf")]),
    st.integers(-300, 300),
)
TEXTS = st.one_of(
    st.sampled_from(["", " ", "0", "-1", "1e999", "nan", "null", "..", "../../etc/passwd", "/dev/zero", "/etc", "\0"]),
    st.sampled_from(["\x1b[2Jx", "a\nError: b", "\u202e", "\ud800", "C:\\x", "x" * 5000, "nose", "left_ear", "person"]),
    st.text(max_size=8),
)
ODD = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
    max_leaves=6,
)


def deep(levels: int) -> Any:
    """Lists in lists."""
    value: Any = 0
    for _ in range(levels):
        value = [value]
    return value


@st.composite
def trees(draw: Draw, seeds: Collection[Any]) -> Any:
    """A document of dicts and lists in which up to four places are other values, gone, or there twice."""
    root = [copy.deepcopy(draw(st.sampled_from(list(seeds))))]
    for _ in range(draw(st.integers(1, 4))):
        parent, key = _place(draw, root)
        kind = draw(st.sampled_from(["odd", "odd", "gone", "twice", "other", "deep"]))
        if kind == "gone" and parent is not root:
            del parent[key]
        elif kind == "twice" and isinstance(parent, list) and parent is not root:
            parent.insert(key, copy.deepcopy(parent[key]))
        elif kind == "other":
            other, name = _place(draw, root)
            parent[key] = copy.deepcopy(other[name])
        elif kind == "deep":
            parent[key] = deep(draw(st.sampled_from([3, 30, 300])))
        else:
            parent[key] = draw(ODD)
    return root[0]


def _place(draw: Draw, root: list[Any]) -> tuple[Any, Any]:
    """A place in a document: the container, and the key or index in it."""
    parent: Any = root
    key: Any = 0
    while isinstance(parent[key], (dict, list)) and parent[key] and draw(st.integers(0, 4)):
        parent = parent[key]
        key = draw(st.sampled_from(list(parent))) if isinstance(parent, dict) else draw(st.integers(0, len(parent) - 1))
    return parent, key


def as_json(tree: Any) -> bytes:
    """JSON as Python writes it: with NaN, and with lone surrogates escaped."""
    return json.dumps(tree).encode()


@st.composite
def bytes_of(draw: Draw, seeds: Collection[bytes]) -> bytes:
    """Bytes with up to six changes: other bytes, extreme numbers, parts that are gone or there twice, a cut."""
    data = bytearray(draw(st.sampled_from(list(seeds))))
    for _ in range(draw(st.integers(1, 6))):
        place = draw(st.integers(0, max(len(data) - 1, 0)))
        length = draw(st.integers(1, 16))
        kind = draw(st.sampled_from(["bytes", "number", "gone", "twice", "cut", "insert"]))
        if kind == "bytes":
            new = draw(st.binary(min_size=1, max_size=4))
            data[place : place + len(new)] = new
        elif kind == "number":
            size = draw(st.sampled_from([1, 2, 4, 8]))
            order = draw(st.sampled_from(["little", "big"]))
            top = draw(st.sampled_from([0, 1, 127, 128, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63]))
            data[place : place + size] = (top % 256**size).to_bytes(size, order)
        elif kind == "gone":
            del data[place : place + length]
        elif kind == "twice":
            data[place:place] = data[place : place + 4 * length]
        elif kind == "insert":
            data[place:place] = draw(st.binary(max_size=16))
        elif draw(st.booleans()):
            del data[place:]
    return bytes(data)


@st.composite
def xml_of(draw: Draw, seeds: Collection[bytes]) -> bytes:
    """XML in which up to four attributes, texts or elements are others, gone, or there twice; or other bytes."""
    seed = draw(st.sampled_from(list(seeds)))
    if draw(st.integers(0, 3)) == 0:
        return draw(bytes_of([seed]))
    root = ElementTree.fromstring(seed)
    for _ in range(draw(st.integers(1, 4))):
        every = list(root.iter())
        element = every[draw(st.integers(0, len(every) - 1))]
        kind = draw(st.sampled_from(["attribute", "attribute", "text", "gone", "twice", "tag"]))
        word = draw(st.one_of(NUMBERS.map(str), TEXTS)).encode("ascii", "ignore").decode()
        word = "".join(each for each in word if each.isprintable())
        if kind == "attribute" and element.attrib:
            name = draw(st.sampled_from(sorted(element.attrib)))
            if draw(st.booleans()):
                element.attrib[name] = word
            else:
                del element.attrib[name]
        elif kind == "text":
            element.text = word
        elif kind == "gone" and len(element):
            del element[draw(st.integers(0, len(element) - 1))]
        elif kind == "twice" and len(element):
            element.append(copy.deepcopy(element[draw(st.integers(0, len(element) - 1))]))
        elif kind == "tag":
            element.tag = draw(st.sampled_from(sorted({each.tag for each in every})))
    return ElementTree.tostring(root)


@st.composite
def archives(draw: Draw, seed: bytes) -> bytes:
    """A zip archive with one member changed: as JSON where it is JSON, as an array's header, or as bytes."""
    with zipfile.ZipFile(io.BytesIO(seed)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = draw(st.sampled_from(sorted(members)))
    if name.endswith(".json"):
        members[name] = as_json(draw(trees([json.loads(members[name])])))
    elif draw(st.integers(0, 4)) == 0:
        del members[name]
    else:
        members[name] = draw(bytes_of([members[name]]))
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))) as archive:
        for each, data in members.items():
            archive.writestr(each, data)
    return draw(bytes_of([made.getvalue()])) if draw(st.integers(0, 3)) == 0 else made.getvalue()


@st.composite
def maps(draw: Draw, channels: int) -> np.ndarray:
    """(h, w, channels) float32: noise, with spots of any value."""
    height, width = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    values = np.random.default_rng(draw(st.integers(0, 99))).random((height, width, channels), np.float32)
    values *= draw(st.sampled_from([0.0, 0.1, 1.0, 1e30]))
    for _ in range(draw(st.integers(0, 20))):
        spot = tuple(draw(st.integers(0, size - 1)) for size in values.shape)
        values[spot] = draw(st.sampled_from([0.0, 1.0, -1.0, 0.5, np.nan, np.inf, -np.inf, 3e38, 1e-45]))
    return values
