"""Tests for model_warm_up."""

import dataclasses
import pathlib
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from absl.testing import absltest, parameterized

from tensorflow_serving.apis import prediction_log_pb2, tensor_codec
from tensorflow_serving.batching import batch_queue, batching_session
from tensorflow_serving.servables.tensorflow import (
    batch_threads,
    model_warm_up,
    served_model,
    warm_up_requests,
)
from tensorflow_serving.session_bundle import session, session_bundle
from tensorflow_serving.tensorflow_c import graph as graph_lib
from tensorflow_serving.tensorflow_c import session as c_session
from tensorflow_serving.tensorflow_c import wire_format
from tensorflow_serving.tensorflow_c.protos import (
    attr_value_pb2,
    meta_graph_pb2,
    types_pb2,
)
from tensorflow_serving.test_util import (
    fake_clock,
    graph_builder,
    small_model,
)
from tensorflow_serving.util import errors, tensor_spec, tf_record

_OPTIONS: Final = model_warm_up.Options()

_Bundle = session_bundle.SessionBundle[session.Session]


class _Recorder:
    """A session that records the runs that no callable was made for."""

    def __init__(self, wrapped: session.Session) -> None:
        self._wrapped = wrapped
        self.runs: list[tuple[Sequence[str], int]] = []

    def run(
        self, fetches: Sequence[str], feed_dict: Mapping[str, npt.NDArray[Any]]
    ) -> Sequence[npt.NDArray[Any]]:
        """Runs, and records the fetches and the size of an input."""
        self.runs.append((fetches, next(iter(feed_dict.values())).size))
        return self._wrapped.run(fetches, feed_dict)

    def make_callable(
        self, fetches: Sequence[str], feed_list: Sequence[str]
    ) -> Callable[..., Sequence[npt.NDArray[Any]]]:
        """Returns what the session makes."""
        return self._wrapped.make_callable(fetches, feed_list)

    def tensor_spec(self, name: str) -> tensor_spec.TensorSpec:
        """Returns what the session knows."""
        return self._wrapped.tensor_spec(name)

    def close(self) -> None:
        """Closes the session."""
        self._wrapped.close()


class _Stuck(_Recorder):
    """A session whose runs wait until they are released."""

    def __init__(self, wrapped: session.Session) -> None:
        super().__init__(wrapped)
        self.released = threading.Event()

    def run(
        self, fetches: Sequence[str], feed_dict: Mapping[str, npt.NDArray[Any]]
    ) -> Sequence[npt.NDArray[Any]]:
        """Waits, and then runs."""
        self.released.wait()
        return super().run(fetches, feed_dict)


def _request(*x: float, signature_name: str = "") -> bytes:
    log = prediction_log_pb2.PredictionLog()
    request = log.predict_log.request
    request.model_spec.signature_name = signature_name
    request.inputs["x"].CopyFrom(tensor_codec.to_proto(np.array(x, np.float32)))
    return log.SerializeToString()


def _hanging_bundle(path: str) -> _Bundle:
    """Returns a model that waits for a queue that nobody ever fills."""
    builder = graph_builder.GraphBuilder()
    types = attr_value_pb2.AttrValue()
    types.list.type.append(types_pb2.DT_FLOAT)
    builder.placeholder("x", "float32", [None])
    builder.node("queue", "FIFOQueueV2", component_types=types)
    builder.node("one", "QueueDequeueV2", ["queue"], component_types=types)
    builder.node("y", "AddV2", ["x", "one"], T="float32")
    meta_graph_def = meta_graph_pb2.MetaGraphDef()
    definition = meta_graph_def.signature_def["serving_default"]
    for infos, name in ((definition.inputs, "x"), (definition.outputs, "y")):
        infos[name].name = f"{name}:0"
        infos[name].dtype = types_pb2.DT_FLOAT
        infos[name].tensor_shape.unknown_rank = True
    graph = graph_lib.Graph()
    graph.import_graph_def(
        wire_format.Message.whole(builder.graph_def.SerializeToString())
    )
    opened = c_session.Session(graph, close_grace_seconds=0.01)
    return session_bundle.SessionBundle(opened, meta_graph_def, path, graph)


class ModelWarmUpTest(parameterized.TestCase):
    """Tests with small models."""

    def setUp(self) -> None:
        """Makes the folder of a version, and threads that pad batches."""
        super().setUp()
        self.version = pathlib.Path(self.create_tempdir().full_path, "1")
        self.file = self.version / warm_up_requests.PATH
        self.file.parent.mkdir(parents=True)
        self.threads = batch_threads.BatchThreads(
            batch_threads.Options(
                session=batching_session.Options(allowed_batch_sizes=(4, 32))
            )
        )
        self.addCleanup(self.threads.close)
        self.clock = fake_clock.FakeClock()

    def _write(self, *records: bytes) -> None:
        with self.file.open("wb") as file:
            for record in records:
                tf_record.write(file, record)

    def _bundle(self) -> _Bundle:
        bundle = small_model.bundle(str(self.version))
        self.recorder = _Recorder(bundle.session)
        return dataclasses.replace(bundle, session=self.recorder)

    def _warm_up(
        self,
        options: model_warm_up.Options = _OPTIONS,
        bundle: _Bundle | None = None,
    ) -> served_model.ServedModel:
        bundle = bundle or self._bundle()
        model = served_model.ServedModel(bundle, self.threads)
        self.addCleanup(model.close)
        model_warm_up.warm_up(model, bundle, options, self.clock)
        return model

    def _num_rows(self, model: served_model.ServedModel) -> int:
        """Returns how many rows were run in the queue of a signature."""
        sizes = model.queue("serving_default").statistics().num_batches_by_size
        return sum(size * number for size, number in sizes.items())

    def test_requests_run_as_those_of_callers(self) -> None:
        """They wait in the queue of their signature, and no zeros are run."""
        self._write(_request(1), _request(1, 2, 3))
        model = self._warm_up()
        self.assertEqual(self._num_rows(model), 4)
        self.assertEqual(self.recorder.runs, [])
        self.assertEqual(model.warning, "")

    def test_requests_are_replayed_as_often_as_options_say(self) -> None:
        """Some models are fast only after several runs."""
        self._write(_request(1), _request(2))
        model = self._warm_up(model_warm_up.Options(num_request_iterations=3))
        self.assertEqual(self._num_rows(model), 6)

    def test_zeros_are_run_within_their_time(self) -> None:
        """No time, no zeros; in a short time some signatures run."""
        self._warm_up(model_warm_up.Options(zeros_seconds=0))
        self.assertEqual(self.recorder.runs, [])
        self._warm_up()
        num_all = len(self.recorder.runs)
        self.clock = _HurryingClock()
        model = self._warm_up(model_warm_up.Options(zeros_seconds=8))
        self.assertIn(len(self.recorder.runs), range(1, num_all))
        self.assertEqual(model.warning, "")

    def test_zeros_that_do_not_end_are_left_alone(self) -> None:
        """The version serves; nobody but us has asked for that run."""
        session = _Stuck(small_model.bundle(str(self.version)).session)
        bundle = dataclasses.replace(self._bundle(), session=session)
        models: list[served_model.ServedModel] = []
        thread = threading.Thread(
            target=lambda: models.append(
                self._warm_up(model_warm_up.Options(is_required=True), bundle)
            )
        )
        with self.assertLogs("absl", "WARNING") as logs:
            thread.start()
            self.clock.settle(threads=1)
            self.clock.advance_micros(20_000_000)
            thread.join()
        self.assertIn("they go on while the version serves", logs.output[0])
        self.assertEqual(models[0].warning, "")
        session.released.set()

    @parameterized.parameters(
        ((), False, [1, 16]),
        ((2, 4, 16), False, [2, 16]),
        ((16,), False, [16]),
        ((), True, [1]),
    )
    def test_batch_sizes_are_those_of_batches(
        self, allowed: Sequence[int], is_off: bool, expected: list[int]
    ) -> None:
        """The least and the largest one are run."""
        options = batch_threads.Options(
            batch_queue.QueueOptions(max_batch_size=16),
            session=batching_session.Options(
                allowed_batch_sizes=tuple(allowed), never_merges=is_off
            ),
        )
        model = served_model.ServedModel(self._bundle(), self.threads, options)
        self.addCleanup(model.close)
        self.assertEqual(list(model.batch_sizes), expected)

    def test_signatures_without_requests_run_with_zeros(self) -> None:
        """A version without a file runs with zeros, past the queues."""
        model = self._warm_up()
        for num_rows in (4, 32):
            self.assertIn((["y:0", "z:0"], num_rows), self.recorder.runs)
        self.assertEqual(self._num_rows(model), 0)
        self.assertEqual(model.warning, "")

    @parameterized.named_parameters(
        (
            "unparsable",
            [_request(1), b"\xff"],
            "^Failed to parse warmup record 2: .*tf_serving_warmup_requests$",
        ),
        (
            "unknown_signature",
            [_request(1, signature_name="q"), _request(1)],
            "^warm-up request 1 failed: FAILED_PRECONDITION: .*not found[^)]*$",
        ),
        (
            "both",
            [_request(1, signature_name="q"), _request(1), b"\xff"],
            "\\(and 1 more failures\\)$",
        ),
        (
            "too_many",
            [_request(1)] * 1001,
            "exceeds the maximum, which is 1000",
        ),
    )
    def test_failure_is_a_warning_unless_it_is_refused(
        self, records: Sequence[bytes], text: str
    ) -> None:
        """The good requests are replayed, then the model serves or not."""
        self._write(*records)
        model = self._warm_up()
        self.assertRegex(model.warning, text)
        num_good = min(1000, records.count(_request(1)))
        self.assertEqual(self._num_rows(model), num_good)
        bundle = self._bundle()
        with self.assertRaisesRegex(errors.ServingError, text):
            self._warm_up(model_warm_up.Options(is_required=True), bundle)
        with self.assertRaises(errors.FailedPreconditionError):
            bundle.session.run(["y:0"], {"x:0": np.zeros(1, np.float32)})

    def test_file_of_no_use_is_a_warning_and_zeros_are_run(self) -> None:
        """A model is not left cold if its file cannot be read at all."""
        self.file.write_bytes(b"This is no file of records.")
        model = self._warm_up()
        self.assertIn((["y:0", "z:0"], 4), self.recorder.runs)
        self.assertRegex(model.warning, "^file must be a whole one in TFRecord")

    def test_warm_up_ends_at_its_time(self) -> None:
        """A request that would begin after the time is left out."""
        self._write(*[_request(1)] * 100)
        self.clock = _HurryingClock()
        model = self._warm_up(model_warm_up.Options(timeout_seconds=50))
        self.assertEqual(
            model.warning,
            "warm-up must take at most 50 s; the rest is left out",
        )
        self.assertIn(self._num_rows(model), range(1, 100))

    def test_model_that_hangs_is_refused(self) -> None:
        """It is closed, which breaks its run off and frees the thread."""
        self._write(_request(1))
        bundle = _hanging_bundle(str(self.version))
        raised: list[Exception] = []

        def warm_up() -> None:
            try:
                self._warm_up(model_warm_up.Options(), bundle)
            except errors.FailedPreconditionError as error:
                raised.append(error)

        thread = threading.Thread(target=warm_up)
        thread.start()
        self.clock.settle(threads=1)
        self.clock.advance_micros(240_000_000)
        thread.join()
        self.assertIn("got one that hangs", str(raised[0]))

    @parameterized.parameters(
        {"num_request_iterations": 0},
        {"timeout_seconds": -1},
        {"zeros_seconds": -1},
    )
    def test_values_out_of_range_are_refused(self, **options: int) -> None:
        """The error names the option."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, f"{next(iter(options))} must be at"
        ):
            model_warm_up.Options(**options)  # type: ignore[arg-type]


class _HurryingClock(fake_clock.FakeClock):
    """A clock that moves by a second whenever somebody looks."""

    def now(self) -> float:
        """Returns one more second each time."""
        self.advance_micros(1_000_000)
        return super().now()


if __name__ == "__main__":
    absltest.main()
