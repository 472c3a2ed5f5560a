"""Tests for tflite_interpreters."""

import concurrent.futures
import threading
from typing import Any

import numpy as np
import numpy.typing as npt
from absl.testing import absltest

from tensorflow_serving.servables.tensorflow import tflite_interpreters
from tensorflow_serving.test_util import tflite_models
from tensorflow_serving.util import errors

# The indices of the tensors of half_plus().
_X, _Y = 0, 4


def _half_plus_two(count: int = 1) -> tflite_interpreters.Interpreters:
    return tflite_interpreters.Interpreters(
        tflite_models.half_plus(2), count, has_variables=False
    )


def _run(
    interpreters: tflite_interpreters.Interpreters, x: npt.NDArray[Any]
) -> npt.NDArray[Any]:
    (y,) = interpreters.run(0, [(_X, x)], [_Y])
    return y


class InterpretersTest(absltest.TestCase):
    """Tests with half plus two and other small models."""

    def test_each_call_gets_its_own_answer(self) -> None:
        """Calls of many shapes get their own answers."""
        interpreters = _half_plus_two(2)
        self.addCleanup(interpreters.close)

        def calls(seed: int) -> None:
            random = np.random.default_rng(seed)
            for _ in range(200):
                shape = (random.integers(1, 9), random.integers(1, 3))
                x = random.integers(0, 99, shape).astype(np.float32)
                np.testing.assert_array_equal(_run(interpreters, x), x / 2 + 2)

        with concurrent.futures.ThreadPoolExecutor(6) as executor:
            for future in [executor.submit(calls, seed) for seed in range(6)]:
                future.result()

    def test_call_that_fails_leaves_the_next_ones_alone(self) -> None:
        """An interpreter in which a call failed runs the next one."""
        interpreters = tflite_interpreters.Interpreters(
            tflite_models.reshape(), 1, has_variables=False
        )
        self.addCleanup(interpreters.close)
        texts = np.array([b"a", b"b"], object)
        for _ in range(3):
            for shape in ([3], [2, -5]):
                with self.assertRaisesRegex(
                    errors.InvalidArgumentError, "shapes and values.*RESHAPE"
                ):
                    interpreters.run(
                        0,
                        [(0, texts), (1, np.array(shape, np.int32))],
                        [2],
                    )
            (y,) = interpreters.run(
                0, [(0, texts), (1, np.array([1, 2], np.int32))], [2]
            )
            self.assertEqual(y.tolist(), [[b"a", b"b"]])

    def test_nothing_is_carried_from_call_to_call(self) -> None:
        """The state that a model keeps is cleared before each call."""
        for has_variables, answers in ((True, [1, 1, 1]), (False, [1, 2, 3])):
            interpreters = tflite_interpreters.Interpreters(
                tflite_models.recurrent(), 1, has_variables=has_variables
            )
            self.addCleanup(interpreters.close)
            one = np.ones([1, 1], np.float32)
            runs = [interpreters.run(0, [(0, one)], [5]) for _ in range(3)]
            self.assertEqual([y.item() for (y,) in runs], answers)

    def test_output_without_elements_is_empty(self) -> None:
        """An output without elements is an empty array."""
        interpreters = tflite_interpreters.Interpreters(
            _fill(), 1, has_variables=False
        )
        self.addCleanup(interpreters.close)
        shape = np.array([2, 0, 3], np.int32)
        (y,) = interpreters.run(0, [(0, shape)], [2])
        self.assertEqual(y.shape, (2, 0, 3))
        self.assertEqual(y.dtype, np.float32)

    def test_unknown_operator_is_refused_at_once(self) -> None:
        """A model with an unknown operator is refused before it is called."""
        for name in ("Zap", "FlexAdd"):
            interpreters = tflite_interpreters.Interpreters(
                tflite_models.custom(name), 1, has_variables=False
            )
            self.addCleanup(interpreters.close)
            with self.assertRaisesRegex(
                errors.FailedPreconditionError, "LiteRT can interpret; got"
            ):
                interpreters.prepare(0)

    def test_file_that_is_no_model_is_refused(self) -> None:
        """LiteRT itself refuses a file that ends within the model."""
        with self.assertRaisesRegex(
            errors.FailedPreconditionError, "valid Flatbuffer"
        ):
            tflite_interpreters.Interpreters(
                tflite_models.half_plus(2)[:-40], 1, has_variables=False
            )

    def test_closed_pool_refuses_calls(self) -> None:
        """A pool that was closed, even twice, refuses calls."""
        interpreters = _half_plus_two()
        interpreters.close()
        interpreters.close()
        with self.assertRaisesRegex(errors.FailedPreconditionError, "closed"):
            _run(interpreters, np.ones([1, 1], np.float32))

    def test_close_waits_for_calls(self) -> None:
        """Closing a pool lets calls in flight finish."""
        interpreters = _half_plus_two()
        x = np.ones([1, 1], np.float32)
        started = threading.Event()

        def calls() -> int:
            count = 0
            while True:
                try:
                    np.testing.assert_array_equal(
                        _run(interpreters, x), [[2.5]]
                    )
                except errors.FailedPreconditionError:
                    return count
                count += 1
                if count == 100:
                    started.set()

        with concurrent.futures.ThreadPoolExecutor(4) as executor:
            futures = [executor.submit(calls) for _ in range(4)]
            started.wait()
            interpreters.close()
            self.assertGreaterEqual(sum(each.result() for each in futures), 100)


def _fill() -> bytes:
    """Returns a model of an output of ones, of the shape that it is given."""
    tensors = [
        tflite_models.Tensor("shape", [1], tflite_models.TensorType.INT32),
        tflite_models.Tensor("one", value=np.array(1, np.float32)),
        tflite_models.Tensor("y", [1]),
    ]
    fill = tflite_models.Operator(
        [0, 1], [2], tflite_models.BuiltinOperator.FILL
    )
    return tflite_models.write(tensors, [fill], [0], [2])


if __name__ == "__main__":
    absltest.main()
