"""Tests for options."""

import os

from absl import flags
from absl.testing import absltest, flagsaver, parameterized

from tensorflow_serving.batching import (
    batch_queue,
    batch_scheduler_retrier,
    batching_session,
    shared_batch_scheduler,
)
from tensorflow_serving.model_servers import (
    model_batching,
    model_configs,
    options,
)
from tensorflow_serving.servables.tensorflow import batch_threads
from tensorflow_serving.util import errors

_PLATFORM = """
platform_configs {
  key: "tensorflow"
  value {
    source_adapter_config {
      [type.googleapis.com/
       tensorflow.serving.SavedModelBundleSourceAdapterConfig] {
        legacy_config { %s }
      }
    }
  }
}
"""


class ModelsTest(absltest.TestCase):
    """Tests of the models that the flags name."""

    def test_base_path_makes_one_model(self) -> None:
        """A name and a base path are a configuration of one model."""
        with flagsaver.flagsaver(model_name="m", model_base_path="/models/m"):
            (model,) = options.models()
        self.assertEqual((model.name, model.base_path), ("m", "/models/m"))

    def test_relative_base_path_becomes_absolute(self) -> None:
        """A base path is relative to the folder that the server starts in."""
        with flagsaver.flagsaver(model_base_path="m"):
            (model,) = options.models()
        self.assertEqual(model.base_path, os.path.abspath("m"))

    def test_configuration_file_comes_before_base_path(self) -> None:
        """A file of models is read even if a base path is given as well."""
        file = self.create_tempfile(
            content='model_config_list { config { name: "n" base_path: "/n" '
            'model_platform: "tensorflow" } }'
        )
        with flagsaver.flagsaver(
            model_config_file=file.full_path, model_base_path="/m"
        ):
            (model,) = options.models()
        self.assertEqual(model.name, "n")

    def test_only_a_file_is_looked_at_again(self) -> None:
        """A model of flags stays what it is, and a reload what it brought."""
        with flagsaver.flagsaver(
            model_base_path="/m", model_config_file_poll_wait_seconds=2
        ):
            self.assertEqual(options.config_poll_seconds(), 0)
            with flagsaver.flagsaver(model_config_file="/config"):
                self.assertEqual(options.config_poll_seconds(), 2)

    def test_no_model_is_refused(self) -> None:
        """A server without any model says which two flags name them."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError,
            "--model_base_path must be .* or --model_config_file .*neither",
        ):
            options.models()

    def test_label_at_the_start_needs_a_flag(self) -> None:
        """No version that it may point at is available yet."""
        models = (
            model_configs.ModelConfig("m", "/m", version_labels={"stable": 1}),
        )
        with self.assertRaisesRegex(
            errors.FailedPreconditionError, "label stable"
        ):
            options.require_labels(models)
        with flagsaver.flagsaver(
            allow_version_labels_for_unavailable_models=True
        ):
            options.require_labels(models)


class CoreOptionsTest(parameterized.TestCase):
    """Tests of the options of the core."""

    def test_without_batching_no_call_is_merged(self) -> None:
        """Each call runs alone unless batching is asked for."""
        batching = options.core_options().batching.batching
        self.assertTrue(batching.session.never_merges)
        self.assertTrue(batching.queue.runs_tasks_alone)

    def test_batching_has_the_defaults_of_upstream(self) -> None:
        """A batch has up to 1,000 rows and never waits for more of them."""
        with flagsaver.flagsaver(enable_batching=True):
            queue = options.core_options().batching.batching.queue
        self.assertEqual(queue.max_batch_size, 1000)
        self.assertEqual(queue.batch_timeout_micros, 0)

    def test_parallelism_applies_to_both_kinds_of_threads(self) -> None:
        """A flag for one kind of threads overrides the flag for both."""
        with flagsaver.flagsaver(
            tensorflow_session_parallelism=3, tensorflow_intra_op_parallelism=2
        ):
            config = options.core_options().session.session_config
        self.assertEqual(config.intra_op_parallelism_threads, 2)
        self.assertEqual(config.inter_op_parallelism_threads, 3)

    def test_interpreters_of_tflite_models_are_those_of_the_flags(self) -> None:
        """Without flags, each CPU has one, and a SavedModel comes first."""
        config = options.core_options().session
        self.assertFalse(config.prefer_tflite_model)
        self.assertEqual(config.num_tflite_pools, 0)
        self.assertEqual(config.num_tflite_interpreters_per_pool, 1)
        with flagsaver.flagsaver(
            prefer_tflite_model=True,
            num_tflite_pools=3,
            num_tflite_interpreters_per_pool=4,
        ):
            config = options.core_options().session
        self.assertTrue(config.prefer_tflite_model)
        self.assertEqual(config.num_tflite_pools, 3)
        self.assertEqual(config.num_tflite_interpreters_per_pool, 4)

    @parameterized.parameters(
        {"num_tflite_pools": -1},
        {"num_tflite_interpreters_per_pool": 0},
        {"num_tflite_interpreters_per_pool": 2000},
    )
    def test_number_of_interpreters_is_checked(self, **wrong: int) -> None:
        """A number of interpreters that no machine has is named."""
        with (
            self.assertRaisesRegex(
                flags.IllegalFlagValueError, next(iter(wrong))
            ),
            flagsaver.flagsaver(**wrong),
        ):
            pass

    @parameterized.named_parameters(
        ("batching", "batching_parameters_file", "BatchingParameters"),
        ("session", "tensorflow_session_config_file", "ConfigProto"),
    )
    def test_broken_file_is_named_with_its_flag(
        self, flag: str, message: str
    ) -> None:
        """An error in a file names the flag, the message, file and line."""
        file = self.create_tempfile(content="\nno_such_field: 1")
        with (
            flagsaver.flagsaver(enable_batching=True, **{flag: file.full_path}),
            self.assertRaisesRegex(
                errors.InvalidArgumentError,
                rf"--{flag} must be a .*{message} in text format; "
                rf"got {file.full_path}:2:",
            ),
        ):
            options.core_options()

    def test_mixed_precision_is_asked_of_tensorflow(self) -> None:
        """A file with a configuration of sessions does not turn it off."""
        file = self.create_tempfile(content="inter_op_parallelism_threads: 3")
        with flagsaver.flagsaver(
            mixed_precision="bfloat16",
            tensorflow_session_config_file=file.full_path,
        ):
            config = options.core_options().session.session_config
        rewriters = config.graph_options.rewrite_options
        self.assertEqual(
            rewriters.auto_mixed_precision_onednn_bfloat16, rewriters.ON
        )
        self.assertEqual(config.inter_op_parallelism_threads, 3)

    def test_file_of_a_platform_takes_the_place_of_flags(self) -> None:
        """Sessions, tags, warm-ups and batches are as it says, or off."""
        file = self.create_tempfile(
            content=_PLATFORM
            % (
                "session_config { intra_op_parallelism_threads: 3 } "
                'saved_model_tags: "a" mixed_precision: "bfloat16" '
                "batching_parameters { max_batch_size { value: 7 } }"
            )
        )
        with flagsaver.flagsaver(
            platform_config_file=file.full_path, saved_model_tags="b"
        ):
            core = options.core_options()
        self.assertEqual(core.tags, ("a",))
        self.assertIsNone(core.warm_up)
        self.assertEqual(core.batching.batching.queue.max_batch_size, 7)
        config = core.session.session_config
        self.assertEqual(config.intra_op_parallelism_threads, 3)
        rewriters = config.graph_options.rewrite_options
        self.assertEqual(
            rewriters.auto_mixed_precision_onednn_bfloat16, rewriters.ON
        )

    @parameterized.parameters(
        ("", 3),
        ("model_warmup_options { num_request_iterations { value: 2 } }", 2),
    )
    def test_file_of_a_platform_may_leave_out_what_has_a_default(
        self, fields: str, num_iterations: int
    ) -> None:
        """The tag is that of TensorFlow Serving; warm-ups are as flags say."""
        file = self.create_tempfile(
            content=_PLATFORM % f"enable_model_warmup: true {fields}"
        )
        with flagsaver.flagsaver(
            platform_config_file=file.full_path,
            num_request_iterations_for_warmup=3,
        ):
            core = options.core_options()
        self.assertEqual(core.tags, ("serve",))
        assert core.warm_up is not None
        self.assertEqual(core.warm_up.num_request_iterations, num_iterations)

    def test_op_libraries_may_be_packages(self) -> None:
        """One that is not there is named with its flag."""
        with (
            flagsaver.flagsaver(load_op_libraries=["no_such_package"]),
            self.assertRaisesRegex(
                errors.InvalidArgumentError,
                "--load_op_libraries must .*; got no_such_package",
            ),
        ):
            options.core_options()

    def test_batching_parameters_need_batching(self) -> None:
        """Parameters that nothing would use are an error at the start."""
        with (
            self.assertRaisesRegex(
                flags.IllegalFlagValueError,
                "--batching_parameters_file must be given with "
                "--enable_batching only",
            ),
            flagsaver.flagsaver(batching_parameters_file="/b"),
        ):
            options.core_options()

    @parameterized.parameters(
        ("num_batch_threads { value: 0 }", "num_batch_threads must be at"),
        (
            "max_execution_batch_size { value: 8 }",
            "max_execution_batch_size .* needs enable_large_batch_splitting",
        ),
        (
            "enable_large_batch_splitting { value: true } allowed_batch_sizes: "
            "[4, 8] max_execution_batch_size { value: 4 }",
            "last of allowed_batch_sizes must equal 4, .*; got",
        ),
        (
            "allowed_batch_sizes: [4, 4, 1000]",
            "allowed_batch_sizes must be positive and ascending",
        ),
    )
    def test_parameter_out_of_range_is_named_with_its_file(
        self, content: str, text: str
    ) -> None:
        """The flag comes first, as a person has typed it."""
        file = self.create_tempfile(content=content)
        with (
            flagsaver.flagsaver(
                enable_batching=True, batching_parameters_file=file.full_path
            ),
            self.assertRaisesRegex(
                errors.InvalidArgumentError,
                f"^--batching_parameters_file: {text}.*: {file.full_path}$",
            ),
        ):
            options.core_options()

    def test_file_of_today_is_read(self) -> None:
        """All fields of TensorFlow Serving mean what they mean there."""
        file = self.create_tempfile(
            content="max_batch_size { value: 128 } "
            "batch_timeout_micros { value: 500 } "
            "max_enqueued_batches { value: 100 } "
            "num_batch_threads { value: 3 } thread_pool_name { value: 'p' } "
            "allowed_batch_sizes: 32 allowed_batch_sizes: 64 "
            "pad_variable_length_inputs: true "
            "enable_large_batch_splitting { value: true } "
            "max_execution_batch_size { value: 64 }"
        )
        with flagsaver.flagsaver(
            enable_batching=True, batching_parameters_file=file.full_path
        ):
            batching = options.core_options().batching
        self.assertEqual(
            batching,
            model_batching.Options(
                batch_threads.Options(
                    batch_queue.QueueOptions(
                        max_batch_size=128,
                        batch_timeout_micros=500,
                        max_enqueued_batches=100,
                        enable_large_batch_splitting=True,
                        max_execution_batch_size=64,
                    ),
                    shared_batch_scheduler.Options(3, "p"),
                    batching_session.Options(
                        (32, 64), pad_variable_length_inputs=True
                    ),
                    # A call of the server never waits for room.
                    batch_scheduler_retrier.Options(max_time_micros=0),
                )
            ),
        )

    def test_versions_with_their_own_parameters_share_the_threads(self) -> None:
        """The file of all models has nothing else to say then."""
        file = self.create_tempfile(
            content="num_batch_threads { value: 3 } max_batch_size { value: 9 }"
        )
        with (
            self.assertLogs(level="WARNING") as logs,
            flagsaver.flagsaver(
                enable_batching=True,
                enable_per_model_batching_parameters=True,
                batching_parameters_file=file.full_path,
            ),
        ):
            batching = options.core_options().batching
        self.assertEqual(batching.batching.threads.num_batch_threads, 3)
        self.assertEqual(batching.batching.queue.max_batch_size, 1000)
        assert batching.without_file is not None
        self.assertTrue(batching.without_file.session.never_merges)
        self.assertRegex(logs.output[0], ":max_batch_size of --batching_par")

    def test_own_parameters_of_versions_need_batching(self) -> None:
        """A flag that nothing would look at is an error at the start."""
        with (
            self.assertRaisesRegex(
                flags.IllegalFlagValueError,
                "--enable_per_model_batching_parameters must be given with",
            ),
            flagsaver.flagsaver(enable_per_model_batching_parameters=True),
        ):
            options.core_options()

    def test_missing_file_is_named_with_its_flag(self) -> None:
        """A file that cannot be read is an error, not an empty message."""
        path = f"{self.create_tempdir().full_path}/none"
        with (
            flagsaver.flagsaver(
                enable_batching=True, batching_parameters_file=path
            ),
            self.assertRaisesRegex(
                errors.InvalidArgumentError,
                "--batching_parameters_file must be a file that can be read",
            ),
        ):
            options.core_options()


class ServerOptionsTest(absltest.TestCase):
    """Tests of where and how the server can be called."""

    def test_socket_may_be_beside_the_port(self) -> None:
        """Each of them is an address."""
        with flagsaver.flagsaver(port=1, host="::1", grpc_socket_path="/s"):
            self.assertEqual(
                options.server_options().addresses, ("[::1]:1", "unix:/s")
            )

    def test_wrong_channel_argument_is_named_with_its_flag(self) -> None:
        """The value is checked before any port is opened."""
        with (
            flagsaver.flagsaver(grpc_channel_arguments="grpc.x"),
            self.assertRaisesRegex(
                errors.InvalidArgumentError,
                "--grpc_channel_arguments: .* such as .*; got grpc.x",
            ),
        ):
            options.server_options()


class SslConfigTest(absltest.TestCase):
    """Tests of how connections are encrypted."""

    def test_no_file_is_no_encryption(self) -> None:
        """Connections are plain text unless a file says otherwise."""
        self.assertIsNone(options.server_options().ssl)

    def test_broken_file_is_refused(self) -> None:
        """A server never falls back to plain text."""
        file = self.create_tempfile(content="server_key")
        with (
            flagsaver.flagsaver(ssl_config_file=file.full_path),
            self.assertRaisesRegex(
                errors.InvalidArgumentError,
                "--ssl_config_file must be a .*SSLConfig in text format",
            ),
        ):
            options.server_options()


if __name__ == "__main__":
    absltest.main()
