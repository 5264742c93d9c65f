"""Addresses of streams, such as rtsp://camera.lan/live."""

from __future__ import annotations

import os
import re

from bpnet_cli.storage import is_stored, without_password

_ADDRESS = re.compile(r"^[a-z][a-z0-9+.-]+://", re.IGNORECASE)
# The part of an address that may hold a name and a password.
_LOGIN = re.compile(r"(?<=://)[^/@]*@")


def is_address(word: str) -> bool:
    """Whether a word is an address such as http://... or rtsp://..., and not the path or URL of a file."""
    return bool(_ADDRESS.match(word)) and not os.path.exists(word) and not is_stored(word)


def without_login(address: str) -> str:
    """An address without a name and password in it, for messages and results; a path stays as it is."""
    return _LOGIN.sub("", address) if is_address(address) else without_password(address)
