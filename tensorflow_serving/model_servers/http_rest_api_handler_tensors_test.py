"""Tests that a tensor is the same through REST as through gRPC."""

import base64
import http.client
import json
from collections.abc import Callable, Mapping
from typing import Any
from unittest import mock

import numpy as np
import numpy.typing as npt
from absl.testing import absltest, parameterized

from tensorflow_serving.apis import json_responses
from tensorflow_serving.client import calls, client, options
from tensorflow_serving.http import http_server
from tensorflow_serving.http import options as http_options
from tensorflow_serving.model_servers import (
    http_rest_api_handler,
    model_configs,
    prediction_service,
    rest_rounds,
    server_core,
)
from tensorflow_serving.model_servers import options as server_options
from tensorflow_serving.rpc import server as server_lib
from tensorflow_serving.tensorflow_c import data_type
from tensorflow_serving.tensorflow_c.protos import types_pb2
from tensorflow_serving.test_util import model_server_folder, small_model
from tensorflow_serving.util import side_process

_DTYPES = {
    name: data_type.of_values(types_pb2.DataType.Value(f"DT_{name.upper()}"))
    for name in small_model.TYPES
    if not name.startswith("complex")
}
_NUM_TENSORS = 12
_MAX_RANK = 5
_MAX_SIZE = 4
_MAX_BYTES = 20

_Array = npt.NDArray[Any]


class TensorsTest(parameterized.TestCase):
    """Signatures that return what they get, behind both APIs."""

    core: server_core.ServerCore
    rest: http.client.HTTPConnection
    grpc: client.Client

    @classmethod
    def setUpClass(cls) -> None:
        """Starts both servers on one model."""
        super().setUpClass()
        folder = cls.enter_context(model_server_folder.ModelServerFolder())
        folder.write("small", 7, small_model.write)
        cls.core = server_core.ServerCore(
            server_core.Options(batching=server_options.batching()), ()
        )
        cls.addClassCleanup(cls.core.close)
        cls.core.reload(model_configs.parse(folder.config("small")))
        cls.rest = http.client.HTTPConnection("localhost", cls._start_rest())
        cls.addClassCleanup(cls.rest.close)
        cls.grpc = cls.enter_context(
            client.Client(options.Options(f"localhost:{cls._start_grpc()}"))
        )

    @classmethod
    def _start_rest(cls) -> int:
        """Starts the server of REST; returns its port."""
        handler = http_rest_api_handler.HttpRestApiHandler(
            cls.core, cls.enter_context(rest_rounds.RestRounds())
        )
        cls.addClassCleanup(handler.close)
        server = http_server.HttpServer(
            "localhost:0",
            handler.answer,
            handler.error_response,
            http_options.Options(),
        )
        cls.enter_context(server)
        server.start()
        return server.port

    @classmethod
    def _start_grpc(cls) -> int:
        """Starts the server of gRPC; returns its port."""
        service = prediction_service.PredictionService(cls.core)
        server = server_lib.Server("localhost:0", [service.service()])
        cls.enter_context(server)
        server.start()
        return server.port

    def _post(self, signature: str, request: Mapping[str, Any]) -> Any:
        """Returns the answer to a request of Predict over REST."""
        body = json.dumps({"signature_name": signature, **request})
        self.rest.request("POST", "/v1/models/small:predict", body)
        response = self.rest.getresponse()
        answer = response.read()
        self.assertEqual(response.status, 200, answer)
        return json.loads(answer)

    def _predict(self, signature: str, inputs: Mapping[str, _Array]) -> Any:
        """Returns the outputs of Predict over gRPC."""
        model = calls.Model("small", signature=signature)
        return self.grpc.predict(model, inputs).outputs

    def _assert_same(self, found: Any, expected: _Array) -> None:
        """Compares values of JSON with an array, which may have NaN."""
        array = _from_json(found, expected.dtype)
        self.assertEqual(array.shape, expected.shape)
        if expected.dtype.kind == "O":
            self.assertEqual(array.tolist(), expected.tolist())
            return
        # numpy does not always know NaN among bfloat16.
        is_number = expected == expected
        np.testing.assert_array_equal(array == array, is_number)
        self.assertEqual(
            array[is_number].tobytes(), expected[is_number].tobytes()
        )

    @parameterized.product(name=[*_DTYPES], seed=[1, 2])
    def test_column_is_the_same(self, name: str, seed: int) -> None:
        """A tensor of any shape is, of each type that JSON can carry."""
        random = np.random.default_rng(seed)
        for _ in range(_NUM_TENSORS):
            x = _tensor(random, name, _shape(random))
            signature = f"type_{name}"
            y = self._predict(signature, {"x": x})["y"]
            named = {"x": _to_json(x, random)}
            for inputs in (named, named["x"]):
                answer = self._post(signature, {"inputs": inputs})
                self._assert_same(answer["outputs"], y)
            self._assert_same(answer["outputs"], x)

    @parameterized.product(name=[*_DTYPES], seed=[3, 4])
    def test_rows_are_the_same(self, name: str, seed: int) -> None:
        """Rows of any shape are, named or not."""
        random = np.random.default_rng(seed)
        for _ in range(_NUM_TENSORS):
            num_rows = int(random.integers(1, _MAX_SIZE))
            x = _tensor(random, name, (num_rows, *_shape(random)[1:]))
            signature = f"type_{name}"
            y = self._predict(signature, {"x": x})["y"]
            rows = _to_json(x, random)
            for instances in (rows, [{"x": row} for row in rows]):
                answer = self._post(signature, {"instances": instances})
                self._assert_same(answer["predictions"], y)
            self._assert_same(answer["predictions"], x)

    @parameterized.parameters(range(5, 10))
    def test_several_tensors_are_the_same(self, seed: int) -> None:
        """Each has the rows and the columns of its name."""
        random = np.random.default_rng(seed)
        num_rows = int(random.integers(1, _MAX_SIZE))
        inputs = {
            key: _tensor(random, name, (num_rows, *_shape(random)[1:]))
            for key, name in (("a", "float"), ("b", "string"))
        }
        outputs = self._predict("pair", inputs)
        columns = {key: _to_json(x, random) for key, x in inputs.items()}
        answer = self._post("pair", {"inputs": columns})["outputs"]
        rows = [
            {"a": a, "b": b}
            for a, b in zip(columns["a"], columns["b"], strict=True)
        ]
        predictions = self._post("pair", {"instances": rows})["predictions"]
        for key, y in outputs.items():
            self._assert_same(answer[key], y)
            self._assert_same([row[key] for row in predictions], y)

    @parameterized.parameters((200_000, False), (300_000, True))
    def test_long_string_is_written_by_another_process(
        self, size: int, is_long: bool
    ) -> None:
        """It is as much text as many numbers, though it is one value."""
        with mock.patch.object(
            side_process.SideProcess,
            "run",
            autospec=True,
            side_effect=side_process.SideProcess.run,
        ) as run:
            answer = self._post("bytes", {"inputs": "a" * size})
        text = _text_from_json(answer["outputs"])
        self.assertEqual(text, b"a" * size)
        functions = [call.args[1] for call in run.call_args_list]
        self.assertEqual(json_responses.predictions in functions, is_long)


def _shape(random: np.random.Generator) -> tuple[int, ...]:
    """Returns a shape that JSON can express.

    Behind a dimension of size 0 there are no more brackets.
    """
    rank = int(random.integers(0, _MAX_RANK))
    shape = random.integers(1, _MAX_SIZE, rank)
    if rank and random.random() < 1 / _MAX_RANK:
        shape[-1] = 0
    return tuple(shape.tolist())


def _tensor(
    random: np.random.Generator, name: str, shape: tuple[int, ...]
) -> _Array:
    """Returns values of a type that may be any that it has."""
    dtype = _DTYPES[name]
    size = int(np.prod(shape))
    if dtype.kind == "O":
        array = np.empty(size, object)
        array[:] = [_text(random) for _ in range(size)]
        return array.reshape(shape)
    if dtype.kind == "b":
        return random.random(shape) < 1 / 2
    data = random.bytes(size * dtype.itemsize)
    array = np.frombuffer(data, dtype).reshape(shape)
    if dtype.kind in "iu" or random.random() < 1 / 2:
        return array
    # Numbers that people write, and many of them whole.
    return (random.integers(-200, 200, shape) / 4).astype(dtype)


def _text(random: np.random.Generator) -> bytes:
    """Returns any bytes, or any text."""
    size = int(random.integers(0, _MAX_BYTES))
    if random.random() < 1 / 2:
        return random.bytes(size)
    points = random.integers(0, 1 << 16, size)
    is_pair = (points >= 0xD800) & (points < 0xE000)
    return "".join(map(chr, points[~is_pair].tolist())).encode()


def _to_json(array: _Array, random: np.random.Generator) -> Any:
    """Returns an array as lists; texts as bytes, or where it can be as such."""
    if array.dtype.kind == "O":
        return _map(lambda text: _text_to_json(text, random), array.tolist())
    if array.dtype.kind in "fV":
        return array.astype(np.float64).tolist()
    return array.tolist()


def _text_to_json(text: bytes, random: np.random.Generator) -> Any:
    if random.random() < 1 / 2:
        try:
            return text.decode()
        except UnicodeDecodeError:
            pass
    return {"b64": base64.b64encode(text).decode()}


def _from_json(values: Any, dtype: np.dtype[Any]) -> _Array:
    if dtype.kind == "O":
        values = _map(_text_from_json, values)
    # Not by an array of doubles, which would round whole numbers.
    return np.array(values, dtype)


def _text_from_json(value: Any) -> bytes:
    if isinstance(value, dict):
        return base64.b64decode(value["b64"])
    text: str = value
    return text.encode()


def _map(function: Callable[[Any], Any], values: Any) -> Any:
    """Returns what a function makes of each value in lists of lists."""
    if isinstance(values, list):
        return [_map(function, each) for each in values]
    return function(values)


if __name__ == "__main__":
    absltest.main()
