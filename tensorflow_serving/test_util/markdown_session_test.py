"""Tests for markdown_session."""

import os
import pathlib
from concurrent import futures

import grpc
from absl.testing import absltest, parameterized
from grpc_health.v1 import health, health_pb2_grpc

from tensorflow_serving.test_util import markdown_session
from tensorflow_serving.util import errors

_PAGE = r"""# A page

    $ mkdir /tmp/a && cat > /tmp/a/one <<'END'
    first
    END
    $ cat \
        /tmp/a/one
    first

    name: "no command"

Text.

    $ true
"""
_SERVER = """#!/bin/bash
echo "$@" > "$(dirname "$0")/flags"
echo "Running, listening on 0.0.0.0:{port}"
echo "a log of ${{@: -1}}" >&2
exec cat
"""


class MarkdownSessionTest(parameterized.TestCase):
    """Pages with sessions."""

    def setUp(self) -> None:
        """Makes a workspace with one program, and a folder."""
        super().setUp()
        self.workspace = pathlib.Path(self.create_tempdir().full_path)
        self.folder = self.create_tempdir().full_path
        (self.workspace / "server").touch()

    def _page(self, text: str) -> pathlib.Path:
        return pathlib.Path(self.create_tempfile("page.md", text).full_path)

    def _start(self) -> int:
        """Serves health, as if the program did; returns the port."""
        server = grpc.server(futures.ThreadPoolExecutor())
        health_pb2_grpc.add_HealthServicer_to_server(
            health.HealthServicer(), server
        )
        port = server.add_insecure_port("localhost:0")
        server.start()
        self.addCleanup(lambda: server.stop(None).wait())
        program = self.workspace / "server"
        program.write_text(_SERVER.format(port=port), encoding="utf-8")
        program.chmod(0o755)
        return port

    def _run(self, text: str) -> None:
        markdown_session.run(self._page(text), self.workspace, self.folder)

    def test_commands_have_their_lines_and_output(self) -> None:
        """A command has its later lines, its document and its output."""
        self.assertEqual(
            markdown_session.commands(self._page(_PAGE)),
            [
                markdown_session.Command(
                    3,
                    "mkdir /tmp/a && cat > /tmp/a/one <<'END'\nfirst\nEND",
                    (),
                ),
                markdown_session.Command(6, "cat /tmp/a/one", ("first",)),
                markdown_session.Command(14, "true", ()),
            ],
        )

    def test_tmp_is_the_folder_of_the_test(self) -> None:
        """Files of a page are written to the folder of the test."""
        self._run(_PAGE)
        self.assertTrue(os.path.exists(os.path.join(self.folder, "a", "one")))

    @parameterized.named_parameters(
        ("part_of_a_line", "a 12 b", "a ... b"),
        ("lines", r"a\n1\n2\nb", "a\n    ...\n    b"),
        ("all", "a.*", "a.*"),
    )
    def test_output_may_leave_something_out(
        self, printed: str, shown: str
    ) -> None:
        """Three dots stand for a part of a line, or for lines."""
        self._run(f"    $ echo -e '{printed}'\n    {shown}\n")

    @parameterized.named_parameters(
        ("another_line", "a b", "a"),
        ("a_pattern", "ab", "a."),
        ("another_end", "a b c", "a ... b"),
    )
    def test_other_output_fails(self, printed: str, shown: str) -> None:
        """Output that the page does not show fails with the line."""
        with self.assertRaisesRegex(
            errors.FailedPreconditionError, r"(?s)other output: .*page\.md:3"
        ):
            self._run(f"# T\n\n    $ echo '{printed}'\n    {shown}\n")

    def test_failure_of_a_command_fails(self) -> None:
        """A command that fails ends the page with its output."""
        with self.assertRaisesRegex(
            errors.FailedPreconditionError, r"(?s)exit code 3: oh.*page\.md:1"
        ):
            self._run("    $ echo oh; exit 3\n    $ touch /tmp/next\n")
        self.assertEqual(os.listdir(self.folder), [])

    def test_program_that_is_built_must_be_there(self) -> None:
        """A page builds only programs that the test can run."""
        self._run("    $ bazel build //:server\n")
        with self.assertRaisesRegex(
            errors.FailedPreconditionError, "no a/client in the data"
        ):
            self._run("    $ bazel build //:server //a:client\n")

    def test_server_runs_while_later_commands_do(self) -> None:
        """Later commands and examples get the address of a server."""
        port = self._start()
        self._run(
            "    $ bazel-bin/server --port=8500 /tmp/x\n"
            "    listening on 0.0.0.0:8500\n"
            "\n"
            "    $ echo localhost:8500 > /tmp/address\n"
            "\n"
            "```python\n"
            "address = 'localhost:8500'\n"
            f"assert address == 'local' + 'host:{port}'\n"
            "```\n"
        )
        folder = pathlib.Path(self.folder)
        self.assertEqual(
            (folder / "address").read_text().strip(), f"localhost:{port}"
        )
        self.assertEqual(
            (self.workspace / "flags").read_text().strip(),
            f"--port=0 {self.folder}/x",
        )

    def test_port_of_rest_is_a_free_one(self) -> None:
        """Later commands get the port that the server was given."""
        self._start()
        self._run(
            "    $ bazel-bin/server --rest_api_port=8501 --port=8500 /tmp/x\n"
            "    listening on 0.0.0.0:8500\n"
            "    $ echo localhost:8501 > /tmp/address\n"
        )
        address = (pathlib.Path(self.folder) / "address").read_text().strip()
        port = address.removeprefix("localhost:")
        self.assertNotIn(port, ("8501", address))
        self.assertEqual(
            (self.workspace / "flags").read_text().strip(),
            f"--rest_api_port={port} --port=0 {self.folder}/x",
        )

    def test_texts_of_a_session_can_be_had(self) -> None:
        """Whoever asks gets commands, output and the logs of servers."""
        self._start()
        texts = []
        markdown_session.run(
            self._page(
                "    $ bazel-bin/server --port=8500 /tmp/x\n"
                "    listening on 0.0.0.0:8500\n"
                "    $ echo /tmp/y\n"
            ),
            self.workspace,
            self.folder,
            on_text=lambda kind, text: texts.append((kind, text)),
        )
        kind = markdown_session.Kind
        self.assertCountEqual(
            texts,
            [
                (kind.COMMAND, "bazel-bin/server --port=8500 /tmp/x"),
                (kind.LOG, "a log of /tmp/x"),
                (kind.OUTPUT, "listening on 0.0.0.0:8500"),
                (kind.COMMAND, "echo /tmp/y"),
                (kind.OUTPUT, "/tmp/y"),
            ],
        )

    def test_sections_run_alone(self) -> None:
        """A test may leave out the sections that take long."""
        page = self._page(
            "## One\n\n    $ touch /tmp/one\n\n## Two\n\n    $ false\n\n"
            "## Three\n\n    $ touch /tmp/three\n"
        )
        markdown_session.run(
            page, self.workspace, self.folder, sections=["One", "Three"]
        )
        self.assertCountEqual(os.listdir(self.folder), ["one", "three"])

    def test_texts_may_have_meanings_of_the_test(self) -> None:
        """A test may pass a flag that readers do without."""
        markdown_session.run(
            self._page("    $ touch --never /tmp/one\n"),
            self.workspace,
            self.folder,
            meanings={"--never": "--no-create"},
        )
        self.assertEqual(os.listdir(self.folder), [])

    def test_page_without_commands_is_refused(self) -> None:
        """A test of a page that shows no command would prove nothing."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, "must have a command after"
        ):
            self._run("text\n\n    no command\n")


if __name__ == "__main__":
    absltest.main()
