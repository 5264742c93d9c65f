"""The fixture that keeps the commands of all tests from other machines sees what it should see."""

from __future__ import annotations

import socket

import pytest


def test_attempts_are_seen(no_network: list[object]) -> None:
    with socket.socket() as one, pytest.raises(OSError, match="the tests have no network"):
        one.connect(("192.0.2.1", 80))
    with pytest.raises(OSError, match="the tests have no network"):
        socket.create_connection(("statistics.example", 80), 1)
    assert no_network == [("192.0.2.1", 80), "statistics.example"]
    no_network.clear()


def test_this_machine_may_be_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname(), 5):
        pass
