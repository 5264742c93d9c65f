"""Headless Chromium, driven over a pipe by the DevTools protocol; and a web server for a folder."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--use-fake-ui-for-media-stream",
    "--remote-debugging-pipe",
)


class Page:
    """A tab. `send` gives a command of the protocol and returns its result."""

    def __init__(self, to_browser: int, from_browser: BinaryIO) -> None:
        self.to, self.source, self.number, self.session = to_browser, from_browser, 0, None
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def send(self, method: str, **params: Any) -> Any:
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return answer["result"]

    def _read(self) -> dict:
        data = bytearray()
        while (byte := self.source.read(1)) != b"\0":
            assert byte, "the browser has ended"
            data += byte
        return json.loads(data)

    def value(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        answer = self.send("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def open(self, url: str) -> None:
        self.send("Page.navigate", url=url)

    def wait(self, expression: str, seconds: float = 120) -> None:
        """Until a JavaScript expression is true."""
        end = time.monotonic() + seconds
        while not self.value(f"Boolean({expression})"):
            assert time.monotonic() < end, self.value("document.body.innerText")
            time.sleep(0.1)

    def status(self) -> str:
        return self.value("document.getElementById('status')?.textContent ?? ''")

    def people(self) -> list[dict]:
        return json.loads(self.value("document.getElementById('people').textContent"))


@contextmanager
def browser(program: str, folder: Path, *flags: str) -> Iterator[Page]:
    """A page of a new browser. folder: for its files."""
    commands, answers = os.pipe(), os.pipe()
    words = [program, *FLAGS, *flags, f"--user-data-dir={folder}"]
    # The browser reads from descriptor 3 and writes to descriptor 4.
    shell = ["bash", "-c", f'exec "$@" 3<&{commands[0]} 4>&{answers[1]}', "bash", *words]
    with open(folder / "log.txt", "wb") as log:
        process = subprocess.Popen(shell, pass_fds=(commands[0], answers[1]), stdout=log, stderr=log)
    os.close(commands[0])
    os.close(answers[1])
    try:
        with os.fdopen(answers[0], "rb") as source:
            yield Page(commands[1], source)
    finally:
        os.close(commands[1])
        process.terminate()
        process.wait(30)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address at which a folder's files can be read."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
