"""Tests for flags_without_effect."""

from typing import Any

from absl import flags
from absl.testing import absltest, flagsaver, parameterized

from tensorflow_serving.model_servers import flags_without_effect


class FlagsWithoutEffectTest(parameterized.TestCase):
    """Tests of the warnings."""

    def test_no_warning_by_default(self) -> None:
        """A value that says what happens anyway is no reason for one."""
        with (
            flagsaver.flagsaver(
                grpc_channel_arguments="grpc.max_connection_age_ms=2000"
            ),
            self.assertNoLogs("absl", "WARNING"),
        ):
            flags_without_effect.warn()

    @parameterized.parameters(
        ({"skip_initialize_tpu": True}, "--skip_initialize_tpu has no effect:"),
        ({"flush_filesystem_caches": False}, "--flush_filesystem_caches has"),
        ({"use_alts_credentials": True}, "connections are NOT ENCRYPTED by it"),
        (
            {"grpc_channel_arguments": "grpc.lb_policy_name=grpclb"},
            "--grpc_channel_arguments has no effect for grpc.lb_policy_name",
        ),
        (
            {
                "tensorflow_session_config_file": "/c",
                "tensorflow_intra_op_parallelism": 2,
            },
            "--tensorflow_intra_op_parallelism has no effect: "
            "--tensorflow_session_config_file",
        ),
    )
    def test_each_flag_has_one_warning(
        self, values: dict[str, Any], expected: str
    ) -> None:
        """It gives the reason."""
        with (
            flagsaver.flagsaver(**values),
            self.assertLogs("absl", "WARNING") as logs,
        ):
            flags_without_effect.warn()
        (line,) = logs.output
        self.assertIn(expected, line)

    def test_fields_of_a_platform_without_effect_are_named(self) -> None:
        """Files for TensorFlow Serving are taken as they are."""
        file = self.create_tempfile(
            content="""
                platform_configs { key: "tensorflow" value {
                  source_adapter_config {
                    [type.googleapis.com/
                     tensorflow.serving.SavedModelBundleSourceAdapterConfig] {
                      legacy_config {
                        enable_model_warmup: true
                        remove_unused_fields_from_bundle_metagraph: true
                        enable_session_metadata: true
                        model_warmup_options {
                          num_request_iterations { value: 2 }
                          num_model_warmup_threads { value: 4 }
                        }
                      }
                    }
                  }
                } }
            """
        )
        with (
            flagsaver.flagsaver(platform_config_file=file.full_path),
            self.assertLogs("absl", "WARNING") as logs,
        ):
            flags_without_effect.warn()
        (line,) = logs.output
        self.assertTrue(
            line.endswith(
                "--platform_config_file has no effect for "
                "enable_session_metadata, num_model_warmup_threads"
            ),
            line,
        )

    def test_two_ways_to_encrypt_are_refused(self) -> None:
        """One of them would be ignored."""
        with (
            self.assertRaisesRegex(
                flags.IllegalFlagValueError, "must not be given together"
            ),
            flagsaver.flagsaver(
                use_alts_credentials=True, ssl_config_file="/s"
            ),
        ):
            self.fail("the flags were taken")


if __name__ == "__main__":
    absltest.main()
