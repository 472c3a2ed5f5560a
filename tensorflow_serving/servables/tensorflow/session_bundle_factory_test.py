"""Tests for session_bundle_factory."""

import concurrent.futures
import contextlib
import os
import tempfile
import threading
from collections.abc import Iterator

import numpy as np
from absl.testing import absltest, parameterized
from google.protobuf import text_format

from tensorflow_serving.batching import batch_scheduler, batching_session
from tensorflow_serving.servables.tensorflow import (
    session_bundle_config_pb2,
    session_bundle_factory,
)
from tensorflow_serving.session_bundle import session, session_bundle, signature
from tensorflow_serving.tensorflow_c.protos import example_pb2
from tensorflow_serving.test_util import shared_data, written_models
from tensorflow_serving.util import errors


def _create(text: str = "") -> session_bundle_factory.SessionBundleFactory:
    return session_bundle_factory.SessionBundleFactory.create(
        text_format.Parse(text, session_bundle_config_pb2.SessionBundleConfig())
    )


class SessionBundleFactoryTest(parameterized.TestCase):
    """Session bundles that serve."""

    export_dir: str

    @classmethod
    def setUpClass(cls) -> None:
        """Copies half plus two."""
        super().setUpClass()
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.export_dir = written_models.copy(
            written_models.HALF_PLUS_TWO, os.path.join(folder.name, "123")
        )

    def _check(
        self, bundle: session_bundle.SessionBundle[session.Session], *xs: float
    ) -> None:
        y = signature.run_regression(
            signature.get_regression_signature(bundle.meta_graph_def),
            np.array([[x] for x in xs], np.float32),
            bundle.session,
        )
        np.testing.assert_array_equal(y, [[x / 2 + 2] for x in xs])

    def test_without_batching_parameters_nothing_is_batched(self) -> None:
        """There are no batch threads, and operations can be run."""
        before = threading.active_count()
        with (
            _create() as factory,
            factory.create_session_bundle(self.export_dir) as bundle,
        ):
            self._check(bundle, 0, 1, 2, 3)
            bundle.session.run(["init_filenames"], {})
            self.assertEqual(threading.active_count(), before)

    def test_batching_merges_concurrent_calls(self) -> None:
        """Two calls of two rows fill a batch; alone each would wait an hour."""
        with (
            _create(
                """
                batching_parameters {
                  max_batch_size { value: 4 }
                  batch_timeout_micros { value: 3600000000 }
                }
                """
            ) as factory,
            factory.create_session_bundle(self.export_dir) as bundle,
            concurrent.futures.ThreadPoolExecutor(2) as callers,
        ):
            calls = [
                callers.submit(self._check, bundle, number, number + 1)
                for number in range(2)
            ]
            for call in calls:
                call.result()

    @parameterized.parameters("", "batching_parameters {}")
    def test_closed_factory_makes_no_bundles(self, config: str) -> None:
        """A closed factory makes no bundle, neither batching nor plain."""
        factory = _create(config)
        factory.close()
        factory.close()  # idempotent
        with self.assertRaises(errors.FailedPreconditionError):
            factory.create_session_bundle(self.export_dir)

    def test_empty_batching_parameters_are_enough(self) -> None:
        """Presence is what counts; operations are out of reach."""
        with (
            _create("batching_parameters {}") as factory,
            factory.create_session_bundle(self.export_dir) as bundle,
        ):
            self._check(bundle, 1)
            with self.assertRaises(errors.PermissionDeniedError):
                bundle.session.run(["init_filenames"], {})

    def test_bundles_share_the_threads_of_the_factory(self) -> None:
        """They end with the last bundle, under the name that was given."""

        def count() -> int:
            return sum(
                thread.name.startswith("shared_pool_")
                for thread in threading.enumerate()
            )

        with _create(
            """
            batching_parameters {
              num_batch_threads { value: 3 }
              thread_pool_name { value: "shared_pool" }
            }
            """
        ) as factory:
            bundles = [
                factory.create_session_bundle(self.export_dir) for _ in range(2)
            ]
            self.assertEqual(count(), 4)  # one watches deadlines
        for bundle in bundles:
            self._check(bundle, 4)
            bundle.close()
        self.assertEqual(count(), 0)

    @parameterized.named_parameters(
        (
            "sizes",
            "max_batch_size { value: 2 } allowed_batch_sizes: [1, 3]",
            "must equal 2, .*; got .1, 3.",
        ),
        (
            "default_size",
            "allowed_batch_sizes: [1, 2]",
            "must equal 32, .*; got .1, 2.",
        ),
        (
            "parts",
            "max_execution_batch_size { value: 2 }",
            "needs enable_large_batch_splitting; got 2",
        ),
        (
            "sizes_of_parts",
            """
            enable_large_batch_splitting { value: true }
            max_execution_batch_size { value: 2 }
            allowed_batch_sizes: [1, 32]
            """,
            "must equal 2, .*; got .1, 32.",
        ),
        (
            "threads",
            "num_batch_threads { value: 0 }",
            "num_batch_threads must be at least 1; got 0",
        ),
        (
            "retry",
            "retry_delay_micros { value: -1 }",
            "retry_delay_micros must be at least 0; got -1",
        ),
    )
    def test_bad_batching_parameters_are_refused(
        self, parameters: str, text: str
    ) -> None:
        """Bad parameters are INVALID_ARGUMENT, and no thread is left."""
        before = threading.active_count()
        with self.assertRaisesRegex(errors.InvalidArgumentError, text):
            _create(f"batching_parameters {{ {parameters} }}")
        self.assertEqual(threading.active_count(), before)

    @contextlib.contextmanager
    def _batching(
        self, parameters: str
    ) -> Iterator[batching_session.BatchingSession]:
        """Makes a session whose batches wait for an hour."""
        with (
            _create(
                f"""
                batching_parameters {{
                  batch_timeout_micros {{ value: 3600000000 }}
                  {parameters}
                }}
                """
            ) as factory,
            factory.create_session_bundle(self.export_dir) as bundle,
        ):
            assert isinstance(bundle.session, batching_session.BatchingSession)
            yield bundle.session

    def test_idle_means_go_reaches_the_queue(self) -> None:
        """A lone call does not wait for an hour."""
        with self._batching("idle_means_go { value: true }") as batching:
            (y,) = batching.run(["y:0"], {"x:0": [[2.0]]})
            np.testing.assert_array_equal(y, [[3]])
            self.assertEqual(
                batching.statistics().scheduler.num_batches_by_reason,
                {batch_scheduler.CloseReason.IDLE: 1},
            )

    def test_splitting_reaches_the_queue(self) -> None:
        """A call may be larger than a batch, and takes several."""
        with self._batching(
            """
            max_batch_size { value: 6 }
            enable_large_batch_splitting { value: true }
            max_execution_batch_size { value: 2 }
            max_enqueued_batches { value: 3 }
            allowed_batch_sizes: [1, 2]
            """
        ) as batching:
            xs = np.arange(6, dtype=np.float32).reshape(6, 1)
            (y,) = batching.run(["y:0"], {"x:0": xs})
            np.testing.assert_array_equal(y, xs / 2 + 2)
            statistics = batching.statistics()
            self.assertEqual(statistics.scheduler.num_batches_by_size, {2: 3})
            self.assertEqual(statistics.num_rows, 6)
            with self.assertRaisesRegex(
                errors.InvalidArgumentError, "at most 6, .*; got 7"
            ):
                batching.run(["y:0"], {"x:0": np.zeros([7, 1], np.float32)})

    @parameterized.parameters("false", "true")
    def test_rerun_reaches_the_session(self, value: str) -> None:
        """A bad example fails its batch, or only its own call."""
        good = example_pb2.Example()
        good.features.feature["x"].float_list.value.append(2.0)
        with self._batching(
            f"""
            max_batch_size {{ value: 2 }}
            rerun_failed_batches {{ value: {value} }}
            """
        ) as batching:
            calls = [
                batching.run_async(["y:0"], {"tf_example:0": [example]})
                for example in (good.SerializeToString(), b"no example")
            ]
            self.assertIsInstance(
                calls[1].exception(), errors.InvalidArgumentError
            )
            if value == "true":
                np.testing.assert_array_equal(calls[0].result(), [[[3]]])
            else:
                self.assertIsInstance(
                    calls[0].exception(), errors.InvalidArgumentError
                )

    def test_inputs_that_do_not_fit_are_refused_at_the_door(self) -> None:
        """They reach no batch, and harm nobody in it."""
        with self._batching("max_batch_size { value: 2 }") as batching:
            call = batching.run_async(["y:0"], {"x:0": [[2.0]]})
            for x in (np.zeros([1, 1]), np.zeros([1, 2], np.float32)):
                with self.assertRaisesRegex(
                    errors.InvalidArgumentError, "^Input tensor x:0 must"
                ):
                    batching.run_async(["y:0"], {"x:0": x})
            batching.run(["y:0"], {"x:0": [[2.0]]})
            np.testing.assert_array_equal(call.result(), [[[3]]])

    def test_missing_export_is_not_found(self) -> None:
        """A missing export is NOT_FOUND for loads and for estimates."""
        with _create("batching_parameters {}") as factory:
            with self.assertRaises(errors.NotFoundError):
                factory.create_session_bundle("/no/such/export")
            with self.assertRaises(errors.NotFoundError):
                factory.estimate_resource_requirement("/no/such/export")

    def test_estimate_is_made_of_variables_and_graph(self) -> None:
        """It is 1.5 times the variables, 13 times the graph, and 10 MiB."""
        folder = self.create_tempdir()
        for name, size in (
            ("export", 2),
            ("export-00000-of-00002", 4),
            ("export.data-00000-of-00001", 8),
            ("export.meta", 1000),
            ("checkpoint", 1000),
            ("xexport", 1000),
        ):
            folder.create_file(name, b"x" * size)
        self.assertEqual(
            _create().estimate_resource_requirement(folder.full_path),
            21 + 13000 + (10 << 20),
        )

    def test_estimate_of_the_original_export(self) -> None:
        """Its variables have 169 bytes, and its graph 13244."""
        path = shared_data.path_or_skip(
            self, "exports", "half_plus_two", "00000123"
        )
        self.assertEqual(
            _create().estimate_resource_requirement(path),
            253 + 13 * 13244 + (10 << 20),
        )


if __name__ == "__main__":
    absltest.main()
