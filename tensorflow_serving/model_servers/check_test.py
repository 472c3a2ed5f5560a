"""Tests for check, with small models."""

import contextlib
import io
import os
from collections.abc import Sequence

from absl.testing import absltest, flagsaver

from tensorflow_serving.model_servers import check, model_server_flags
from tensorflow_serving.servables.tensorflow import warm_up_requests
from tensorflow_serving.test_util import model_server_folder, written_models

_Check = model_server_flags.Check


class CheckTest(absltest.TestCase):
    """Tests of exit codes and of what is printed."""

    def setUp(self) -> None:
        """Makes a folder for models."""
        super().setUp()
        self.folder = model_server_folder.ModelServerFolder()
        self.enter_context(self.folder)

    def _run(
        self, how: model_server_flags.Check, path: str
    ) -> tuple[int, str, Sequence[str]]:
        """Returns exit code, standard output, and the lines with errors."""
        output, error_output = io.StringIO(), io.StringIO()
        with (
            flagsaver.flagsaver(model_config_file=path),
            contextlib.redirect_stdout(output),
            contextlib.redirect_stderr(error_output),
        ):
            code = check.run(how)
        lines = [
            line
            for line in error_output.getvalue().splitlines()
            if line.startswith("ERROR")
        ]
        return code, output.getvalue(), lines

    def test_configuration_without_a_fault_is_valid(self) -> None:
        """The one line names the models."""
        self.folder.write("one", 1)
        self.assertEqual(
            self._run(_Check.CONFIGURATION, self.folder.write_config("one")),
            (0, "The configuration is valid; its models are ['one']\n", []),
        )

    def test_each_fault_is_a_line(self) -> None:
        """One fault does not hide another, of other flags or models."""
        os.mkdir(self.folder.base_path("empty"))
        os.remove(os.path.join(self.folder.write("half", 1), "saved_model.pb"))
        session = self.create_tempfile(content="no_such_field: 1").full_path
        ssl = self.create_tempfile(content="").full_path
        with flagsaver.flagsaver(
            tensorflow_session_config_file=session, ssl_config_file=ssl
        ):
            code, output, lines = self._run(
                _Check.CONFIGURATION,
                self.folder.write_config("empty", "lost", "half"),
            )
        self.assertEqual((code, output), (1, ""))
        for line, text in zip(
            lines,
            [
                "--tensorflow_session_config_file must be",
                "--ssl_config_file must have a server_key",
                "model empty: base path must hold a version",
                "model lost: base path must be a folder",
                "model half: version must be complete; got neither",
            ],
            strict=True,
        ):
            self.assertRegex(line, f"^ERROR: {text}")

    def test_batching_parameters_of_a_version_are_checked(self) -> None:
        """A fault in them would fail the load, and is said before."""
        path = os.path.join(
            self.folder.write("one", 1), "batching_params.pbtxt"
        )
        with open(path, "w", encoding="utf-8") as file:
            file.write("max_batch_size { value: 0 }")
        config = self.folder.write_config("one")
        self.assertEqual(self._run(_Check.CONFIGURATION, config)[0], 0)
        with flagsaver.flagsaver(
            enable_batching=True, enable_per_model_batching_parameters=True
        ):
            _, _, lines = self._run(_Check.CONFIGURATION, config)
        self.assertEqual(
            lines,
            [
                "ERROR: model one: max_batch_size must be at least 1; got 0: "
                + path
            ],
        )

    def test_version_that_is_listed_must_be_there(self) -> None:
        """A server would wait for it."""
        self.folder.write("one", 1)
        _, _, lines = self._run(
            _Check.CONFIGURATION,
            self.folder.write_config(
                "one",
                more="model_version_policy { specific { versions: 1 "
                "versions: 7 } }",
            ),
        )
        self.assertEqual(
            lines,
            [
                "ERROR: model one: version 7 must be a folder of the base "
                f"path; got none: {self.folder.path}/one"
            ],
        )

    def test_label_needs_its_flag_at_the_start(self) -> None:
        """A server that starts has no version that a label may point at."""
        self.folder.write("one", 1)
        path = self.folder.write_config(
            "one", more='version_labels { key: "a" value: 1 }'
        )
        code, _, lines = self._run(_Check.CONFIGURATION, path)
        self.assertEqual(code, 1)
        self.assertRegex(lines[0], "--allow_version_labels_for_unavailable")
        with flagsaver.flagsaver(
            allow_version_labels_for_unavailable_models=True
        ):
            code, _, _ = self._run(_Check.CONFIGURATION, path)
        self.assertEqual(code, 0)

    def test_load_shows_what_can_be_called(self) -> None:
        """A line has model, version, signature, inputs and outputs."""
        self.folder.write("one", 1)
        self.folder.write("one", 12)
        code, output, lines = self._run(
            _Check.LOAD, self.folder.write_config("one")
        )
        self.assertEqual((code, lines), (0, []))
        self.assertRegex(
            output, r"\none +12 +serving_default +x: float32 \[.*\] +y: float32"
        )

    def test_load_says_which_model_fails(self) -> None:
        """The others are in the table all the same."""
        self.folder.write("good", 1)
        self.folder.write("broken", 3, written_models.copy_broken)
        code, output, lines = self._run(
            _Check.LOAD, self.folder.write_config("good", "broken")
        )
        self.assertEqual(code, 1)
        self.assertIn("good", output)
        self.assertRegex(
            "\n".join(lines),
            "^ERROR: model broken: version 3 must become AVAILABLE; .* END: ",
        )

    def test_load_says_which_model_has_a_flaw(self) -> None:
        """A version that serves, but cold, is not as it should be."""
        path = os.path.join(self.folder.write("one", 1), warm_up_requests.PATH)
        os.mkdir(os.path.dirname(path))
        with open(path, "wb") as file:
            file.write(b"garbage")
        code, output, (line,) = self._run(
            _Check.LOAD, self.folder.write_config("one")
        )
        self.assertEqual(code, 1)
        self.assertIn("serving_default", output)
        self.assertRegex(
            line, "model one: version 1 can be served, but .*TFRecord"
        )

    def test_nothing_is_loaded_if_the_configuration_is_wrong(self) -> None:
        """Loads may take long, and the configuration comes first."""
        self.folder.write("one", 1)
        code, output, lines = self._run(
            _Check.LOAD, self.folder.write_config("one", "lost")
        )
        self.assertEqual((code, output, len(lines)), (1, "", 1))


if __name__ == "__main__":
    absltest.main()
