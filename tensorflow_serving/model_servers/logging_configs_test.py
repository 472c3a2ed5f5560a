"""Tests for logging_configs."""

from absl.testing import absltest, parameterized
from google.protobuf import text_format

from tensorflow_serving.config import logging_config_pb2
from tensorflow_serving.model_servers import logging_configs
from tensorflow_serving.util import errors


def _parse(text: str) -> logging_configs.LoggingConfig:
    return logging_configs.parse(
        "m", text_format.Parse(text, logging_config_pb2.LoggingConfig())
    )


def _text(
    kind: str = "file", prefix: str = "/logs/m", sampling: str = ""
) -> str:
    return (
        f'log_collector_config {{ type: "{kind}" filename_prefix: "{prefix}" }}'
        f" sampling_config {{ {sampling} }}"
    )


class LoggingConfigsTest(parameterized.TestCase):
    """Tests of messages in text format."""

    @parameterized.parameters(0.0, 0.25, 1.0)
    def test_rates_from_none_to_all_are_taken(self, rate: float) -> None:
        """The value has all of the message, and becomes one again."""
        config = _parse(_text(sampling=f"sampling_rate: {rate}"))
        self.assertEqual(config, logging_configs.LoggingConfig("/logs/m", rate))
        self.assertEqual(config.folder, "/logs")
        again = logging_configs.parse("m", logging_configs.to_proto(config))
        self.assertEqual(again, config)

    @parameterized.named_parameters(
        ("empty", "", 'type must be "file"; got ""'),
        ("no_type", _text(""), 'type must be "file"; got ""'),
        ("type", _text("kafka"), 'type must be "file"; got "kafka"'),
        ("no_prefix", _text(prefix=""), 'filename_prefix must be .*; got ""'),
        ("relative", _text(prefix="m"), 'an absolute path .*; got "m"'),
        ("url", _text(prefix="gs://b/m"), "an absolute path"),
        ("folder", _text(prefix="/logs/"), "the rest of a name is added"),
        ("nul", _text(prefix=r"/m\000"), "filename_prefix"),
        ("above", _text(sampling="sampling_rate: 1.5"), "rate must .* got 1.5"),
        ("below", _text(sampling="sampling_rate: -1"), "rate must .* got -1"),
        ("nan", _text(sampling="sampling_rate: nan"), "rate must .* got nan"),
        ("attributes", _text(sampling="attributes: 1"), "got attributes"),
        (
            "per_task",
            _text(sampling='per_task_sampling_configs { dc: "a" }'),
            "per_task_sampling_configs",
        ),
        ("custom", f"{_text()} custom_logging_config {{}}", "custom_logging"),
    )
    def test_other_values_are_refused(self, text: str, expected: str) -> None:
        """The text names the model and the field."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError,
            f"^logging_config of model m: .*{expected}",
        ):
            _parse(text)


if __name__ == "__main__":
    absltest.main()
