"""Tests for tflite_bundle_factory."""

import os
from collections.abc import Callable

import numpy as np
import psutil
from absl.testing import absltest, parameterized

from tensorflow_serving.servables.tensorflow import (
    session_bundle_config_pb2,
    tflite_bundle_factory,
)
from tensorflow_serving.test_util import tflite_models
from tensorflow_serving.util import errors

_HALF_PLUS_TWO = tflite_models.half_plus(2)
# The most that 1,000 loads may leave behind: pages that are not given back.
_MAX_LEFT_BYTES = 8 << 20


def _write(content: bytes) -> Callable[[str], None]:
    def write(path: str) -> None:
        with open(path, "wb") as file:
            file.write(content)

    return write


class TfLiteBundleFactoryTest(parameterized.TestCase):
    """Tests with models that were made for them."""

    def setUp(self) -> None:
        """Makes a folder and a factory."""
        super().setUp()
        self._path = self.create_tempdir().full_path
        self._file = os.path.join(self._path, "model.tflite")
        self._factory = self._create(1)

    def _create(
        self, pools: int, interpreters: int = 0
    ) -> tflite_bundle_factory.TfLiteBundleFactory:
        factory = tflite_bundle_factory.TfLiteBundleFactory.create(
            session_bundle_config_pb2.SessionBundleConfig(
                num_tflite_pools=pools,
                num_tflite_interpreters_per_pool=interpreters,
            )
        )
        self.addCleanup(factory.close)
        return factory

    def _load_and_run(self) -> None:
        with self._factory.create_session_bundle(self._path) as bundle:
            signature = bundle.meta_graph_def.signature_def["serving_default"]
            (y,) = bundle.session.run(
                [signature.outputs["y"].name],
                {signature.inputs["x"].name: np.array([1, 2, 5], np.float32)},
            )
            self.assertEqual(y.tolist(), [2.5, 3, 4.5])

    def test_model_is_loaded(self) -> None:
        """A loaded model has a signature, and a session that runs it."""
        _write(_HALF_PLUS_TWO)(self._file)
        self._load_and_run()

    def test_link_to_a_model_is_followed(self) -> None:
        """A link to a model elsewhere is as good as the model."""
        target = os.path.join(self.create_tempdir().full_path, "abc")
        _write(_HALF_PLUS_TWO)(target)
        os.symlink(target, self._file)
        self._load_and_run()

    @parameterized.named_parameters(
        ("missing", lambda path: None, errors.NotFoundError, "missing"),
        ("empty", _write(b""), errors.DataLossError, "truncated file, where"),
        (
            "truncated",
            _write(_HALF_PLUS_TWO[:-30]),
            errors.DataLossError,
            "truncated file, where",
        ),
        ("folder", os.mkdir, errors.FailedPreconditionError, "a folder"),
        ("pipe", os.mkfifo, errors.FailedPreconditionError, "a named pipe"),
        (
            "dangling_link",
            lambda path: os.symlink("nowhere", path),
            errors.NotFoundError,
            "missing",
        ),
        (
            "other_format",
            _write(b"PK\3\4" + bytes(200)),
            errors.DataLossError,
            "marked as TFL3",
        ),
        (
            "sizes_of_gigabytes",
            _write(_HALF_PLUS_TWO[:8] + b"\xff\xff\xff\x7f" * 100),
            errors.DataLossError,
            "truncated file, where",
        ),
        (
            "constant_of_gigabytes",
            _write(
                tflite_models.copy(
                    tflite_models.Tensor("x", [1 << 30, 1 << 30, 1 << 30])
                )
            ),
            errors.FailedPreconditionError,
            "LiteRT can interpret",
        ),
        (
            "custom_operator",
            _write(tflite_models.custom("Zap")),
            errors.FailedPreconditionError,
            "unresolved custom op: Zap",
        ),
        (
            "operator_of_tensorflow",
            _write(tflite_models.custom("FlexAdd")),
            errors.FailedPreconditionError,
            "Select TensorFlow op",
        ),
    )
    def test_what_cannot_be_served_is_refused(
        self,
        make: Callable[[str], None],
        error: type[errors.ServingError],
        text: str,
    ) -> None:
        """The error of a file that cannot be served names it."""
        make(self._file)
        with self.assertRaisesRegex(error, f"{text}.*{self._file}"):
            self._factory.create_session_bundle(self._path)

    def test_estimate_counts_each_interpreter(self) -> None:
        """The estimate counts the weights once more for each interpreter."""
        _write(bytes(1000))(self._file)
        for pools, interpreters, estimate in (
            (1, 0, 2400),
            (1, 2, 3600),
            (3, 2, 8400),
        ):
            factory = self._create(pools, interpreters)
            self.assertEqual(
                factory.estimate_resource_requirement(self._path), estimate
            )

    def test_estimate_of_a_missing_model_is_refused(self) -> None:
        """A folder without a model, and no folder, have no estimate."""
        for path in (self._path, os.path.join(self._path, "nowhere")):
            with self.assertRaises(errors.NotFoundError):
                self._factory.estimate_resource_requirement(path)

    def test_thousand_loads_leave_nothing_behind(self) -> None:
        """A model that was loaded 1,000 times leaves no memory taken."""
        weights = np.ones([200_000], np.float32)
        _write(
            tflite_models.write(
                [
                    tflite_models.Tensor("x", [1]),
                    tflite_models.Tensor("w", [200_000], value=weights),
                    tflite_models.Tensor("y", [200_000]),
                ],
                [
                    tflite_models.Operator(
                        [0, 1], [2], tflite_models.BuiltinOperator.MUL
                    )
                ],
                [0],
                [2],
            )
        )(self._file)
        process = psutil.Process()
        x = np.ones([1], np.float32)
        before = 0
        for count in range(1_000):
            with self._factory.create_session_bundle(self._path) as bundle:
                (y,) = bundle.session.run(["y:0"], {"x:0": x})
                self.assertEqual(y[-1], 1)
            if count == 100:
                before = process.memory_info().rss
        self.assertLess(process.memory_info().rss - before, _MAX_LEFT_BYTES)

    def test_closed_factory_loads_nothing(self) -> None:
        """A factory that was closed loads no model."""
        _write(_HALF_PLUS_TWO)(self._file)
        self._factory.close()
        with self.assertRaisesRegex(errors.FailedPreconditionError, "closed"):
            self._factory.create_session_bundle(self._path)


if __name__ == "__main__":
    absltest.main()
