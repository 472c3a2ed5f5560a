"""Tests that models of all kinds are served right, or refused with a reason."""

import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from absl.testing import absltest, parameterized

from tensorflow_serving.batching import batching_session
from tensorflow_serving.servables.tensorflow import (
    model_bundle_factory,
    session_bundle_config_pb2,
    signature_defs,
    warm_up,
)
from tensorflow_serving.session_bundle import session, session_bundle
from tensorflow_serving.test_util import (
    model_zoo,
    puppet_batch_scheduler,
    written_models,
)

Support = model_zoo.Support


def _models(*supports: Support) -> list[tuple[str, model_zoo.Model]]:
    return [
        (each.name, each)
        for each in model_zoo.MODELS
        if each.support in supports
    ]


class ModelBundleFactoryModelsTest(parameterized.TestCase):
    """Models that TensorFlow wrote, each loaded as servers load it."""

    folder: str

    @classmethod
    def setUpClass(cls) -> None:
        """Unpacks all models."""
        super().setUpClass()
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        written_models.unpack_zoo(folder.name)
        cls.folder = folder.name

    def _load(
        self,
        model: model_zoo.Model,
        config: session_bundle_config_pb2.SessionBundleConfig | None = None,
    ) -> session_bundle.SessionBundle[session.Session]:
        factory = model_bundle_factory.ModelBundleFactory(
            config or session_bundle_config_pb2.SessionBundleConfig()
        )
        self.enter_context(factory)
        bundle = factory.create_session_bundle(f"{self.folder}/{model.path}")
        self.addCleanup(bundle.close)
        return bundle

    def _assert_right(
        self, example: model_zoo.Example, outputs: Sequence[npt.NDArray[Any]]
    ) -> None:
        for expected, output in zip(
            example.outputs.values(), outputs, strict=True
        ):
            np.testing.assert_array_equal(output, expected)
            self.assertEqual(output.dtype, expected.dtype)

    @parameterized.named_parameters(
        *_models(Support.BATCHED, Support.ALONE, Support.UNBATCHED)
    )
    def test_lone_calls_get_the_right_answers(
        self, model: model_zoo.Model
    ) -> None:
        """Lone calls get right answers from each executor, warmed up or not."""
        for executor in ("", "SINGLE_THREADED_EXECUTOR"):
            config = session_bundle_config_pb2.SessionBundleConfig()
            config.session_config.experimental.executor_type = executor
            bundle = self._load(model, config)
            warm_up.warm_up(bundle)
            for example in model.examples:
                call = _Call(bundle, example)
                self._assert_right(
                    example, bundle.session.run(call.fetches, call.feeds)
                )

    @parameterized.named_parameters(*_models(Support.BATCHED, Support.ALONE))
    def test_calls_at_once_get_the_right_answers(
        self, model: model_zoo.Model
    ) -> None:
        """Calls share a run only if their model allows it."""
        bundle = self._load(model)
        serving = bundle.session
        batching = batching_session.BatchingSession(
            batching_session.Options(allowed_batch_sizes=(model_zoo.MAX_ROWS,)),
            serving,
            puppet_batch_scheduler.PuppetBatchScheduler,
        )
        calls = [_Call(bundle, each) for each in model.examples]
        futures = [
            batching.run_async(call.fetches, call.feeds) for call in calls
        ]
        # Whatever waits is processed as one batch.
        batching.close()
        for call, future in zip(calls, futures, strict=True):
            self._assert_right(call.example, future.result(timeout=0))
        # Calls that run alone are never padded.
        self.assertEqual(
            batching.statistics().num_padding_rows > 0,
            model.support is Support.BATCHED,
        )

    @parameterized.named_parameters(*_models(Support.BATCHED, Support.ALONE))
    def test_calls_larger_than_a_batch_get_the_right_answers(
        self, model: model_zoo.Model
    ) -> None:
        """They are split where that is allowed, and else run as a whole."""
        config = session_bundle_config_pb2.SessionBundleConfig()
        parameters = config.batching_parameters
        parameters.max_batch_size.value = model_zoo.MAX_ROWS
        parameters.max_execution_batch_size.value = 2
        parameters.enable_large_batch_splitting.value = True
        parameters.max_enqueued_batches.value = model_zoo.MAX_ROWS
        # One after the other: a model may count its calls.
        parameters.num_batch_threads.value = 1
        bundle = self._load(model, config)
        batching = bundle.session
        assert isinstance(batching, batching_session.BatchingSession)
        calls = [_Call(bundle, each) for each in model.examples]
        futures = [
            batching.run_async(call.fetches, call.feeds) for call in calls
        ]
        for call, future in zip(calls, futures, strict=True):
            self._assert_right(call.example, future.result())

    @parameterized.named_parameters(*_models(Support.FAILS))
    def test_model_that_cannot_run_says_why(
        self, model: model_zoo.Model
    ) -> None:
        """Servers run a model before they serve it, and get the reason."""
        assert model.error is not None
        bundle = self._load(model)
        call = _Call(bundle, model.examples[0])
        with self.assertRaisesRegex(model.error, model.text):
            bundle.session.run(call.fetches, call.feeds)

    @parameterized.named_parameters(*_models(Support.REFUSED))
    def test_model_that_cannot_be_served_is_refused(
        self, model: model_zoo.Model
    ) -> None:
        """The load fails, and the text says what to do."""
        assert model.error is not None
        with self.assertRaisesRegex(model.error, model.text):
            self._load(model)

    def test_model_without_signatures_is_loaded(self) -> None:
        """Who knows the names of its tensors can run it."""
        model = model_zoo.Model(
            "module_without_signatures", Support.BATCHED, ()
        )
        warm_up.warm_up(self._load(model))


class _Call:
    """A call of a model, by the names of tensors."""

    def __init__(
        self,
        bundle: session_bundle.SessionBundle[session.Session],
        example: model_zoo.Example,
    ) -> None:
        self.example = example
        definition = signature_defs.signature_defs(bundle)["serving_default"]
        self.feeds = {
            definition.inputs[name].name: value
            for name, value in example.inputs.items()
        }
        self.fetches = [
            definition.outputs[name].name for name in example.outputs
        ]


if __name__ == "__main__":
    absltest.main()
