"""Tests for model_configs."""

import dataclasses
import os

from absl.testing import absltest, parameterized
from google.protobuf import text_format

from tensorflow_serving.config import model_server_config_pb2
from tensorflow_serving.model_servers import logging_configs, model_configs
from tensorflow_serving.sources.storage_path import (
    file_system_storage_path_source,
)
from tensorflow_serving.util import errors

_M = 'name: "m" base_path: "/m" model_platform: "tensorflow"'


def _parse(text: str) -> tuple[model_configs.ModelConfig, ...]:
    return model_configs.parse(
        text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    )


class ParseTest(parameterized.TestCase):
    """Tests of configurations in text format."""

    @parameterized.named_parameters(
        ("none", "", file_system_storage_path_source.Latest(1)),
        ("latest", "latest {}", file_system_storage_path_source.Latest(1)),
        (
            "latest_two",
            "latest { num_versions: 2 }",
            file_system_storage_path_source.Latest(2),
        ),
        ("all", "all {}", file_system_storage_path_source.All()),
        (
            "specific",
            "specific { versions: 3 versions: 5 }",
            file_system_storage_path_source.Specific((3, 5)),
        ),
    )
    def test_version_policy_is_that_of_the_source(
        self, text: str, expected: object
    ) -> None:
        """The latest version is served without a policy."""
        (model,) = _parse(
            "model_config_list { config { "
            f"{_M} model_version_policy {{ {text} }} }} }}"
        )
        self.assertEqual(model.version_policy, expected)

    def test_labels_are_versions_by_name(self) -> None:
        """Each label names one version."""
        (model,) = _parse(
            f"model_config_list {{ config {{ {_M} version_labels "
            '{ key: "stable" value: 3 } } }'
        )
        self.assertEqual(model.version_labels, {"stable": 3})

    def test_older_model_type_is_taken(self) -> None:
        """Files from before model_platform still work."""
        (model,) = _parse(
            'model_config_list { config { name: "m" base_path: "/m" '
            "model_type: TENSORFLOW } }"
        )
        self.assertEqual(model.name, "m")

    def test_no_models_are_allowed(self) -> None:
        """A server may wait for its first configuration."""
        self.assertEqual(_parse(""), ())

    @parameterized.named_parameters(
        ("name", _M.replace('"m"', '""'), "name of a model must be a text"),
        ("path", _M.replace('"/m"', '"m"'), 'absolute path.*got "m"'),
        ("path_with_nul", _M.replace('"/m"', r'"/m\000"'), "absolute path"),
        ("url", _M.replace('"/m"', '"gs://b/m"'), "absolute path"),
        ("platform", _M.replace('"tensorflow"', '"other"'), 'got "other"'),
        ("no_platform", _M.replace("model_platform", "#"), 'got ""'),
        ("both", f"{_M} model_type: TENSORFLOW", "got both"),
        ("again", f"{_M} }} config {{ {_M}", "unique; got m again"),
        ("logging", f"{_M} logging_config {{}}", "logging_config of model m"),
        (
            "label_without_name",
            f'{_M} version_labels {{ key: "" value: 3 }}',
            'version_labels of model m must be .*; got "" for 3',
        ),
        (
            "negative_version",
            f"{_M} model_version_policy {{ specific {{ versions: -1 }} }}",
            "versions of model m must be at least 0; got -1",
        ),
        (
            "negative_limit",
            f"{_M} max_concurrent_calls: -1",
            "max_concurrent_calls of model m must be at least 0; got -1",
        ),
    )
    def test_model_that_is_not_valid_is_refused(
        self, text: str, expected: str
    ) -> None:
        """The text says which model and what is wrong with it."""
        with self.assertRaisesRegex(errors.InvalidArgumentError, expected):
            _parse(f"model_config_list {{ config {{ {text}\n }} }}")

    def test_all_that_is_wrong_is_said_at_once(self) -> None:
        """All mistakes are in one error, so that one start shows them."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, 'got none for .*; .*; got "other"'
        ):
            _parse(
                'model_config_list { config { base_path: "/a" model_platform: '
                '"tensorflow" } config { name: "b" base_path: "/b" '
                'model_platform: "other" } }'
            )

    def test_custom_configuration_is_refused(self) -> None:
        """There is nobody who could read it."""
        with self.assertRaisesRegex(errors.InvalidArgumentError, "custom"):
            _parse("custom_model_config {}")


class ToProtoTest(absltest.TestCase):
    """Tests of models that become a configuration."""

    def test_configuration_has_all_of_a_model(self) -> None:
        """No field is lost on the way to another process."""
        source = file_system_storage_path_source
        models = (
            model_configs.ModelConfig("a", "/a", source.Latest(2)),
            model_configs.ModelConfig("b", "/b", source.All(), {"stable": 1}),
            model_configs.ModelConfig("c", "/c", source.Specific((3, 4))),
            model_configs.ModelConfig("d", "/d", source.Specific(())),
            model_configs.ModelConfig("e", "/e", max_concurrent_calls=64),
            model_configs.ModelConfig(
                "f",
                "/f",
                logging=logging_configs.LoggingConfig("/logs/f", 0.1),
            ),
        )
        parsed = model_configs.parse(model_configs.to_proto(models))
        self.assertEqual(parsed, models)
        # A new field has to be in the models above.
        self.assertEqual(len(dataclasses.fields(model_configs.ModelConfig)), 6)

    def test_no_models_are_a_configuration(self) -> None:
        """A server may serve nothing."""
        config = model_configs.to_proto(())
        self.assertEqual(config.WhichOneof("config"), "model_config_list")
        self.assertEqual(model_configs.parse(config), ())


class ReadTest(absltest.TestCase):
    """Tests of files."""

    def test_file_is_read(self) -> None:
        """Commas between messages are allowed."""
        file = self.create_tempfile(
            content=f"model_config_list {{ config: {{ {_M} }}, }}"
        )
        models = model_configs.parse(model_configs.read(file.full_path))
        self.assertEqual(model_configs.names(models), ["m"])

    def test_error_names_file_line_and_field(self) -> None:
        """It has the words that suites of other servers look for."""
        file = self.create_tempfile(
            content="model_config_list {\n  config { nam: 1 }\n}"
        )
        with self.assertRaisesRegex(
            errors.InvalidArgumentError,
            "^Error parsing text-format tensorflow.serving.ModelServerConfig: "
            f"{file.full_path}:2:.*nam",
        ):
            model_configs.read(file.full_path)

    def test_named_pipe_does_not_hold_up_whoever_reads_it(self) -> None:
        """The configuration is read again and again by one thread."""
        path = os.path.join(self.create_tempdir().full_path, "pipe")
        os.mkfifo(path)
        with self.assertRaisesRegex(
            errors.UnavailableError,
            f"--model_config_file must be .*; got {path} .a pipe that nobody",
        ):
            model_configs.read(path)

    def test_missing_file_is_named(self) -> None:
        """The path is in the text."""
        with self.assertRaisesRegex(errors.NotFoundError, "/no/such/file"):
            model_configs.read("/no/such/file")


if __name__ == "__main__":
    absltest.main()
