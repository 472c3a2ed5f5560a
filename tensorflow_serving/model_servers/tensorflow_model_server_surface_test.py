"""Tests of what a user sees; tensorflow_model_server_surface.txt has the table.

This file is also a program, which imports the model server once and forks for
each line of the table: to start it anew each time would take a minute.
"""

import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from absl import flags as flags_lib
from absl.testing import absltest, parameterized
from google.protobuf import descriptor

from tensorflow_serving.config import model_server_config_pb2
from tensorflow_serving.model_servers import tensorflow_model_server
from tensorflow_serving.test_util import written_models
from tensorflow_serving.util import program

_TABLE = os.path.join(
    os.path.dirname(__file__), "tensorflow_model_server_surface.txt"
)
_CONTENT = re.compile(r"<(.*)>")
# The time and the place in which absl puts before a line of the log.
_LOG_PREFIX = re.compile(r"^[IWE]\d{4} [^]]*\] ")


class _Row(NamedTuple):
    """A row of the table."""

    flags: Sequence[str]
    line: str


def _rows() -> Iterator[_Row]:
    arguments: list[str] = []
    for line in pathlib.Path(_TABLE).read_text().splitlines():
        if line.startswith("$"):
            arguments = shlex.split(line.removeprefix("$"))
        elif line and not line.startswith("#"):
            yield _Row(arguments, line)


class ConfigSurfaceTest(parameterized.TestCase):
    """Tests of the rows, each in a process of its own."""

    forker: subprocess.Popen[str]

    @classmethod
    def setUpClass(cls) -> None:
        """Starts the program that forks."""
        super().setUpClass()
        cls.forker = subprocess.Popen(
            [sys.executable, __file__, "fork"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        cls.addClassCleanup(cls.forker.__exit__, None, None, None)

    def setUp(self) -> None:
        """Makes a folder with a model."""
        super().setUp()
        self.folder = self.create_tempdir().full_path
        written_models.copy(
            written_models.SAVED_MODEL_TF2, f"{self.folder}/m/1"
        )

    def _run(self, arguments: Sequence[str]) -> tuple[int, str]:
        """Returns the exit code and the first line of what is printed."""
        assert self.forker.stdin is not None
        assert self.forker.stdout is not None
        self.forker.stdin.write(f"{json.dumps(arguments)}\n")
        self.forker.stdin.flush()
        code, output = json.loads(self.forker.stdout.readline())
        return code, _LOG_PREFIX.sub("", output.split("\n")[0])

    @parameterized.parameters(*_rows())
    def test_user_sees_what_the_table_says(
        self, flags: Sequence[str], expected: str
    ) -> None:
        """The exit code says whether the server would start."""
        path = os.path.join(self.folder, "file")
        arguments = []
        for argument in flags:
            argument = argument.replace("DIR", self.folder)
            content = _CONTENT.search(argument)
            if content is not None:
                pathlib.Path(path).write_text(content[1])
                os.chmod(path, 0o600)
                argument = argument.replace(content[0], path)
            arguments.append(argument)
        code, line = self._run(["--check", *arguments])
        expected = expected.replace("DIR", self.folder).replace("FILE", path)
        self.assertEqual(line, expected)
        self.assertEqual(code, expected.startswith(("ERROR", "FATAL")))


class CompletenessTest(absltest.TestCase):
    """Tests of the table itself."""

    def test_every_flag_is_in_the_table(self) -> None:
        """A new flag needs a row that says what a user sees of it."""
        given = {
            argument.partition("=")[0].removeprefix("--")
            for row in _rows()
            for argument in row.flags
        }
        given |= {name.removeprefix("no") for name in given}
        names = {
            flag.name
            for flag in flags_lib.FLAGS.get_key_flags_for_module(
                tensorflow_model_server.__name__
            )
        }
        self.assertGreater(len(names), 50)
        self.assertEqual(names - given - {"check"}, set())

    def test_every_field_is_in_the_table(self) -> None:
        """A new field needs a row as well."""
        table = pathlib.Path(_TABLE).read_text()
        for name in _field_names(
            model_server_config_pb2.ModelServerConfig.DESCRIPTOR
        ):
            self.assertRegex(table, rf"\b{name}\b")


def _field_names(message: descriptor.Descriptor) -> Iterator[str]:
    for field in message.fields:
        yield field.name
        if (
            field.message_type is not None
            and not field.message_type.GetOptions().map_entry
            and field.message_type.file.package == "tensorflow.serving"
        ):
            yield from _field_names(field.message_type)


def _fork() -> None:
    """Runs the model server for each line of arguments on standard input."""
    for line in sys.stdin:
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            os.dup2(writer, sys.stdout.fileno())
            os.dup2(writer, sys.stderr.fileno())
            os.close(reader)
            os.close(writer)
            sys.argv = ["tensorflow_model_server", *json.loads(line)]
            try:
                program.run(tensorflow_model_server.main)
            except SystemExit as end:
                sys.stdout.flush()
                sys.stderr.flush()
                # To clean up what was imported would take most of the time.
                os._exit(end.code if isinstance(end.code, int) else 1)
        os.close(writer)
        with os.fdopen(reader) as file:
            output = file.read()
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        print(json.dumps((code, output)), flush=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["fork"]:
        _fork()
    else:
        absltest.main()
