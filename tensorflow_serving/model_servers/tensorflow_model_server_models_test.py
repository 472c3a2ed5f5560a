"""Tests of the model server as a process that serves models of all kinds."""

import concurrent.futures
import os
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Final

import numpy as np
from absl.testing import absltest, parameterized

from tensorflow_serving.apis import get_model_status_pb2
from tensorflow_serving.client import calls, client, options
from tensorflow_serving.test_util import (
    model_server_folder,
    model_zoo,
    shared_data,
    written_models,
)
from tensorflow_serving.util import errors

_SERVER: Final = os.path.join(
    os.path.dirname(__file__), "tensorflow_model_server"
)
_NUM_ROWS: Final = (1, 3, 64)
_NUM_CALLERS: Final = 16
_NUM_CALLS: Final = 400

Support = model_zoo.Support
_Status = get_model_status_pb2.ModelVersionStatus


def _models(*supports: Support) -> list[tuple[str, model_zoo.Model]]:
    return [
        (each.name, each)
        for each in model_zoo.MODELS
        if _support(each) in supports
    ]


def _support(model: model_zoo.Model) -> Support:
    """Returns how far the model server supports a model.

    As that of TensorFlow Serving, it runs on the CPU what is bound to a GPU
    that is not there.
    """
    return Support.BATCHED if model.name == "gpu" else model.support


def _resized(example: model_zoo.Example, num_rows: int) -> model_zoo.Example:
    """Returns a call with the rows of another one, again and again."""

    def resized(arrays: model_zoo.Arrays) -> model_zoo.Arrays:
        return {
            name: array[np.arange(num_rows) % len(array)]
            for name, array in arrays.items()
        }

    return model_zoo.Example(resized(example.inputs), resized(example.outputs))


def _config(base_paths: Mapping[str, str]) -> str:
    models = "".join(
        f'config {{ name: "{name}" base_path: "{path}" '
        'model_platform: "tensorflow" }\n'
        for name, path in base_paths.items()
    )
    return f"model_config_list {{ {models} }}"


def _base_paths(folder: str) -> Iterator[tuple[str, str]]:
    """Yields the models of the zoo, and real ones where there are some."""
    for model in model_zoo.MODELS:
        yield model.name, os.path.join(folder, model.name)
    for kind in ("exports", "saved_models"):
        for name in os.listdir(path := shared_data.find(kind) or folder):
            if path != folder:
                yield f"{kind}-{name}", os.path.join(path, name)


class ModelServerModelsTest(parameterized.TestCase):
    """Tests of a server without batching, which serves all models."""

    FLAGS: ClassVar[Sequence[str]] = ()
    client: client.Client

    @classmethod
    def setUpClass(cls) -> None:
        """Starts a server, and waits until it has loaded what it can."""
        super().setUpClass()
        folder = cls.enter_context(model_server_folder.ModelServerFolder())
        written_models.unpack_zoo(folder.path)
        config = os.path.join(folder.path, "models.config")
        with open(config, "w", encoding="utf-8") as file:
            file.write(_config(dict(_base_paths(folder.path))))
        server = folder.start(
            _SERVER,
            f"--model_config_file={config}",
            # There are too many models to look often.
            "--file_system_poll_wait_seconds=1",
            *cls.FLAGS,
        )
        cls.enter_context(server)
        server.wait_for_log("All models have been loaded, or have failed")
        cls.client = cls.enter_context(
            client.Client(options.Options(folder.address))
        )

    def _assert_right(
        self, model: model_zoo.Model, example: model_zoo.Example
    ) -> None:
        prediction = self.client.predict(
            calls.Model(model.name), example.inputs
        )
        self.assertEqual(prediction.outputs.keys(), example.outputs.keys())
        for key, expected in example.outputs.items():
            output = prediction.outputs[key]
            np.testing.assert_array_equal(output, expected)
            self.assertEqual(output.dtype, expected.dtype)
        spec = prediction.model
        self.assertEqual(
            (spec.name, spec.version.value, spec.signature_name),
            (model.name, 1, "serving_default"),
        )

    @parameterized.named_parameters(
        *_models(Support.BATCHED, Support.ALONE, Support.UNBATCHED)
    )
    def test_lone_calls_get_the_right_answers(
        self, model: model_zoo.Model
    ) -> None:
        """Values, shapes, types and the spec of each answer are right."""
        for example in model.examples:
            self._assert_right(model, example)

    @parameterized.named_parameters(*_models(Support.BATCHED))
    def test_calls_of_all_sizes_get_the_right_answers(
        self, model: model_zoo.Model
    ) -> None:
        """A call may have one row or many."""
        for num_rows in _NUM_ROWS:
            self._assert_right(model, _resized(model.examples[0], num_rows))

    def test_calls_of_all_models_at_once_get_their_own_answers(self) -> None:
        """Callers of many models, with many sizes, get what is theirs."""
        models = [
            model
            for _, model in _models(Support.BATCHED, Support.ALONE)
            if model.name != "counter"
        ]
        chance = random.Random(7)

        def call(_: int) -> None:
            model = chance.choice(models)
            example = chance.choice(model.examples)
            if _support(model) is Support.BATCHED:
                example = _resized(example, chance.choice(_NUM_ROWS))
            self._assert_right(model, example)

        with concurrent.futures.ThreadPoolExecutor(_NUM_CALLERS) as callers:
            for _ in callers.map(call, range(_NUM_CALLS)):
                pass

    @parameterized.named_parameters(*_models(Support.FAILS))
    def test_model_that_cannot_run_says_why(
        self, model: model_zoo.Model
    ) -> None:
        """A call gets the error of the model, and the server goes on."""
        assert model.error is not None
        with self.assertRaisesRegex(model.error, model.text):
            self.client.predict(
                calls.Model(model.name), model.examples[0].inputs
            )

    @parameterized.named_parameters(*_models(Support.REFUSED))
    def test_model_that_cannot_be_served_says_why(
        self, model: model_zoo.Model
    ) -> None:
        """The state of the version has the reason, and calls find nothing."""
        assert model.error is not None
        (status,) = self.client.status(calls.Model(model.name))
        self.assertEqual(
            (status.state, status.status.error_code),
            (_Status.END, model.error.code),
        )
        self.assertIn(model.text, status.status.error_message)
        with self.assertRaisesRegex(errors.NotFoundError, "Servable"):
            self.client.predict(calls.Model(model.name), {})

    @parameterized.parameters(
        ("exports/half_plus_two", "predict", 2),
        ("saved_models/saved_model_half_plus_two_cpu", "", 2),
        ("saved_models/saved_model_half_plus_three", "", 3),
    )
    def test_real_models_get_the_right_answers(
        self, name: str, signature: str, bias: float
    ) -> None:
        """Models that others have written answer Predict."""
        shared_data.path_or_skip(self, name)
        model = calls.Model(name.replace("/", "-"), signature=signature)
        for num_rows in _NUM_ROWS:
            x = np.arange(num_rows, dtype=np.float32)[:, np.newaxis]
            prediction = self.client.predict(model, {"x": x})
            np.testing.assert_array_equal(prediction.outputs["y"], x / 2 + bias)
            self.assertEqual(prediction.model.version.value, 123)

    @parameterized.parameters(
        ("exports/half_plus_two", "", 2),
        ("saved_models/saved_model_half_plus_two_cpu", "regress_x_to_y", 2),
        (
            "saved_models/saved_model_half_plus_three",
            "tensorflow/serving/regress",
            3,
        ),
    )
    def test_real_models_take_examples(
        self, name: str, signature: str, bias: float
    ) -> None:
        """Models that others have written answer Regress."""
        shared_data.path_or_skip(self, name)
        values = self.client.regress(
            calls.Model(name.replace("/", "-"), signature=signature),
            [{"x": [float(x)]} for x in range(3)],
        )
        self.assertEqual(values.values.tolist(), [bias, bias + 0.5, bias + 1])

    @parameterized.parameters(
        ("y", 1.0, r"Feature: x \(data type: float\) is required"),
        ("x", 1, "Data type: int64 but expected type: float"),
        ("x", "1", "Data type: string but expected type: float"),
    )
    def test_real_model_says_what_is_wrong_with_an_example(
        self, feature: str, value: float | str, error: str
    ) -> None:
        """The text of TensorFlow names the feature, and has no values."""
        name = "saved_models/saved_model_half_plus_two_cpu"
        shared_data.path_or_skip(self, name)
        model = calls.Model(name.replace("/", "-"), signature="regress_x_to_y")
        with self.assertRaisesRegex(errors.InvalidArgumentError, error):
            self.client.regress(model, [{feature: [value]}])


class ModelServerBatchedModelsTest(ModelServerModelsTest):
    """The same tests of a server that merges calls."""

    FLAGS = ("--enable_batching",)


if __name__ == "__main__":
    absltest.main()
