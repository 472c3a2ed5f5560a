r"""The terminal sessions of a Markdown page, so that a test can run them.

A session is indented, and shows commands and their output:

    $ cat > /tmp/numbers <<'END'
    1
    END
    $ cat /tmp/numbers | \
        wc -l
    1

A line of output may leave out a part of itself as "...", or whole lines as a
line with nothing else. Output that a page does not show may be anything. Python
examples between the sessions are run as well; see markdown_code.

Commands run as if in the root of the workspace after a build: `bazel build`
only checks that the test has the program in its data. A command whose output
has "listening on" is a gRPC server, which runs to the end of the page and then
gets SIGTERM. Ports and /tmp stand for free ports, or sockets, and a folder of
the test.
"""

import contextlib
import dataclasses
import enum
import os
import pathlib
import re
import shlex
import subprocess
import tempfile
import types
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tensorflow_serving.test_util import (
    held_port,
    markdown_code,
)
from tensorflow_serving.util import errors, server_process

_INDENT: Final = "    "
_PROMPT: Final = "$ "
_HERE_DOCUMENT: Final = re.compile(r"<<\s*'?(\w+)'?")
_BUILD: Final = re.compile(r"bazel build (//\S*:\S+(?: //\S*:\S+)*)")
_PORT_FLAG: Final = re.compile(r"--port=(\d+)")
_REST_PORT_FLAG: Final = re.compile(r"--rest_api_port=(\d+)")
_LISTENING: Final = "listening on"
# Longer than any server takes to load its models.
_START_SECONDS: Final = 60
_MODEL_SERVER: Final = "tensorflow_model_server"


@dataclasses.dataclass(frozen=True)
class Command:
    """A command of a session, as the page shows it."""

    # The number of its first line in the page, from 1.
    line: int
    text: str
    # The lines that it prints; empty if the page does not show any.
    output: tuple[str, ...]


class Kind(enum.Enum):
    """The kinds of lines that a session shows."""

    COMMAND = "command"
    OUTPUT = "output"
    # A line that a server wrote to its standard error.
    LOG = "log"


def _ignore(kind: Kind, text: str) -> None:
    del kind, text


def commands(page: str | os.PathLike[str]) -> Sequence[Command]:
    """Returns the commands of a page, in their order."""
    lines = pathlib.Path(page).read_text(encoding="utf-8").splitlines()
    found = []
    number = 0
    while number < len(lines):
        if not lines[number].startswith(_INDENT + _PROMPT):
            number += 1
            continue
        first = number
        text, number = _command_text(lines, first)
        output = []
        while number < len(lines) and _is_output(lines[number]):
            output.append(lines[number].removeprefix(_INDENT))
            number += 1
        found.append(Command(first + 1, text, tuple(output)))
    return found


def run(
    page: str | os.PathLike[str],
    workspace: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    sections: Collection[str] = (),
    meanings: Mapping[str, str] | None = None,
    on_text: Callable[[Kind, str], None] = _ignore,
) -> None:
    """Runs the commands and the Python examples of a page.

    Args:
      page: The page.
      workspace: The folder with tensorflow_serving, where the programs are.
      folder: Stands for /tmp.
      sections: The headings of the sections to run; all if empty.
      meanings: Texts of the page that the test has others for.
      on_text: Called with each command before it runs, and with what is printed
        and logged; with the places that the page shows. Logs come on threads of
        their own, and only if this is given.

    Raises:
      FailedPreconditionError: A command failed, or printed something else than
        the page shows; the text has the line of the page.
      InvalidArgumentError: The page has no commands, or an example without an
        end.
    """
    path = pathlib.Path(page)
    parts: list[Command | markdown_code.Block] = [
        *commands(path),
        *markdown_code.python_blocks(path),
    ]
    if sections:
        headings = _headings(path)
        parts = [part for part in parts if headings[part.line - 1] in sections]
    if not any(isinstance(part, Command) for part in parts):
        raise errors.InvalidArgumentError(
            f"page must have a command after {_PROMPT!r}; got none: {page}"
        )
    with (
        contextlib.ExitStack() as servers,
        markdown_code.module_of(path) as module,
    ):
        session = _Session(
            path, os.fspath(workspace), os.fspath(folder), on_text
        )
        session.add_meanings(meanings or {})
        for part in sorted(parts, key=lambda part: part.line):
            session.run(part, module, servers)


class _Session:
    """Runs the parts of a page, and knows where its servers listen."""

    def __init__(
        self,
        page: pathlib.Path,
        workspace: str,
        folder: str,
        on_text: Callable[[Kind, str], None],
    ) -> None:
        self._page = page
        self._on_text = on_text
        self._workspace = workspace
        self._folder = folder
        # The places on this machine by those that the page shows.
        self._meanings = {"bazel-bin/": f"{workspace}/", "/tmp/": f"{folder}/"}

    def add_meanings(self, meanings: Mapping[str, str]) -> None:
        """Takes texts in the place of those that the page shows."""
        self._meanings |= meanings

    def run(
        self,
        part: Command | markdown_code.Block,
        module: types.ModuleType,
        servers: contextlib.ExitStack,
    ) -> None:
        """Runs a command, or an example."""
        if isinstance(part, markdown_code.Block):
            code = self._actual(part.code)
            markdown_code.execute(
                dataclasses.replace(part, code=code), self._page, module
            )
            return
        self._on_text(Kind.COMMAND, part.text)
        if match := _BUILD.fullmatch(part.text):
            self._require_programs(part, match[1].split())
        elif any(_LISTENING in line for line in part.output):
            self._start_server(part, servers)
        else:
            self._run_command(part)

    def _require_programs(
        self, command: Command, labels: Sequence[str]
    ) -> None:
        for label in labels:
            path = label.removeprefix("//").replace(":", "/").lstrip("/")
            if not os.path.exists(os.path.join(self._workspace, path)):
                raise self._error(command, f"no {path} in the data of the test")

    def _start_server(
        self, command: Command, servers: contextlib.ExitStack
    ) -> None:
        if match := _REST_PORT_FLAG.search(command.text):
            port = servers.enter_context(held_port.hold())
            for place in ("localhost:", "--rest_api_port="):
                self._meanings[f"{place}{match[1]}"] = f"{place}{port}"
        actual = self._actual(command.text)
        if _MODEL_SERVER in command.text:  # takes port 0 for none
            # The path of a socket has at most 107 bytes.
            short = servers.enter_context(
                tempfile.TemporaryDirectory(dir="/tmp")
            )
            actual += f" --grpc_socket_path={short}/socket"
        server = servers.enter_context(
            server_process.ServerProcess(
                shlex.split(_PORT_FLAG.sub("--port=0", actual)),
                collects_log=self._on_text is not _ignore,
                on_log_line=lambda line: self._show(Kind.LOG, line),
            )
        )
        servers.callback(server.stop)
        self._on_text(Kind.OUTPUT, "\n".join(command.output))
        if match := _PORT_FLAG.search(command.text):
            self._meanings[f"localhost:{match[1]}"] = server.address
            _wait_until_serving(server.address)

    def _run_command(self, command: Command) -> None:
        done = subprocess.run(
            ["bash", "-c", self._actual(command.text)],
            cwd=self._folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        printed = self._show(Kind.OUTPUT, done.stdout)
        if done.returncode:
            raise self._error(
                command, f"exit code {done.returncode}: {printed}"
            )
        if command.output and not _matches(printed, command.output):
            raise self._error(command, f"other output: {printed}")

    def _show(self, kind: Kind, text: str) -> str:
        """Returns a text with the places that the page shows."""
        shown = text.replace(f"{self._folder}/", "/tmp/")
        self._on_text(kind, shown.rstrip("\n"))
        return shown

    def _actual(self, text: str) -> str:
        """Returns a text of the page with what its names stand for."""
        names = re.compile("|".join(map(re.escape, self._meanings)))
        return names.sub(lambda match: self._meanings[match[0]], text)

    def _error(self, command: Command, got: str) -> Exception:
        return errors.FailedPreconditionError(
            f"command must do as the page shows; got {got}\n"
            f"{self._page}:{command.line}: {command.text}"
        )


def _headings(page: pathlib.Path) -> Sequence[str]:
    """Returns the heading above each line of a page."""
    heading = ""
    headings = []
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            heading = line.removeprefix("## ")
        headings.append(heading)
    return headings


def _wait_until_serving(address: str) -> None:
    """Waits as long as readers take to type their next command, and longer."""
    with grpc.insecure_channel(address) as channel:
        states = health_pb2_grpc.HealthStub(channel).Watch(
            health_pb2.HealthCheckRequest(), timeout=_START_SECONDS
        )
        for state in states:
            if state.status == health_pb2.HealthCheckResponse.SERVING:
                states.cancel()
                return


def _command_text(lines: Sequence[str], number: int) -> tuple[str, int]:
    """Returns the command that starts with a line, and the line after it."""
    text = lines[number].removeprefix(_INDENT + _PROMPT)
    number += 1
    while text.endswith("\\") and number < len(lines):
        text = text[:-1] + lines[number].strip()
        number += 1
    if match := _HERE_DOCUMENT.search(text):
        while number < len(lines):
            line = lines[number].removeprefix(_INDENT)
            text += f"\n{line}"
            number += 1
            if line == match[1]:
                break
    return text, number


def _is_output(line: str) -> bool:
    return line.startswith(_INDENT) and not line.startswith(_INDENT + _PROMPT)


def _matches(printed: str, expected: Sequence[str]) -> bool:
    patterns = [
        r"(?:.*\n)*"
        if line == "..."
        else r".*".join(map(re.escape, line.split("..."))) + r"\n"
        for line in expected
    ]
    return re.fullmatch("".join(patterns), f"{printed.rstrip()}\n") is not None
