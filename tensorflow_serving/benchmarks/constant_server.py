"""Reads the body of each request of HTTP, and answers with a constant.

Usage: constant_server --port=0 BODY_FILE

The least that a server of REST in Python does: uvicorn with httptools and
uvloop, and an application that does nothing else. For server_comparison.
"""

import socket
from collections.abc import Sequence
from typing import Any

import uvicorn
from absl import app, flags

from tensorflow_serving.util import program

_PORT = flags.DEFINE_integer("port", 0, "Where to listen.", lower_bound=0)


class _Constant:
    """The application."""

    def __init__(self, body: bytes) -> None:
        self._start = {
            "type": "http.response.start",
            "status": 200,
            "headers": [
                (b"content-type", b"application/json"),
                (b"content-length", b"%d" % len(body)),
            ],
        }
        self._end = {"type": "http.response.body", "body": body}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answers a request."""
        del scope
        while (await receive()).get("more_body"):
            pass
        await send(self._start)
        await send(self._end)


def main(argv: Sequence[str]) -> None:
    """Runs the program; see the module docstring."""
    if len(argv) != 2:
        raise app.UsageError(f"BODY_FILE must be the argument; got {argv[1:]}")
    with open(argv[1], "rb") as file:
        body = file.read()
    with socket.create_server(("127.0.0.1", _PORT.value)) as listener:
        port = listener.getsockname()[1]
        print(f"listening on 127.0.0.1:{port}", flush=True)
        config = uvicorn.Config(
            _Constant(body),
            lifespan="off",
            access_log=False,
            log_level="error",
        )
        uvicorn.Server(config).run([listener])


if __name__ == "__main__":
    program.run(main)
