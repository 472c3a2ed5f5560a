"""Tests for tensor_map, with the generated classes as the reference."""

import random
from typing import Any

import numpy as np
import numpy.typing as npt
from absl.testing import absltest, parameterized
from google.protobuf import message

from tensorflow_serving.apis import (
    predict_pb2,
    tensor_codec,
    tensor_map,
    varints,
)
from tensorflow_serving.util import errors

_DTYPES = ("f4", "f8", "i4", "i8", "u1", "c8", "c16", "f2", "?", "S3")
_UNKNOWN_FIELDS = b"\xa2\x06\x03abc\xa8\x06\x07"


def _requests() -> tensor_map.TensorMap[predict_pb2.PredictRequest]:
    return tensor_map.TensorMap(predict_pb2.PredictRequest, "inputs")


def _field(number: int, data: bytes) -> bytes:
    return tensor_codec.tag(number) + varints.encode_one(len(data)) + data


def _pieces(chooser: random.Random, tensor: bytes) -> bytes:
    """Returns a tensor of three floats, written in one of many ways."""
    values = np.frombuffer(chooser.randbytes(12), "<u1").tobytes()
    at = 4 * chooser.randrange(4)
    return chooser.choice(
        [
            tensor,
            tensor + _UNKNOWN_FIELDS,
            b"\x08\x01\x12\x04\x12\x02\x08\x03" + _field(5, values),
            b"\x08\x01\x12\x04\x12\x02\x08\x03"
            + _field(5, values[:at])
            + _field(5, values[at:]),
            b"\x08\x01\x12\x04\x12\x02\x08\x03"
            + _field(5, values[:8])
            + b"\x2d"
            + values[8:],
            _field(5, values) + b"\x12\x04\x12\x02\x08\x03\x08\x01",
            b"\x08\x01\x12\x04\x12\x02\x08\x03"
            + _field(4, values)
            + _field(5, values),
            b"\x08\x01\x12\x04\x12\x02\x08\x03"
            + _field(4, values)
            + _field(4, values[::-1]),
        ]
    )


def _message(chooser: random.Random) -> bytes:
    """Returns one of the many forms of a request; a few seeds share forms."""
    fields = [_field(1, _field(1, chooser.choice([b"m", b"n"])))]
    for _ in range(chooser.randrange(4)):
        name = chooser.choice([b"x", b"y", b"z"])
        dtype = chooser.choice(_DTYPES)
        values = np.frombuffer(chooser.randbytes(48), np.uint8)
        array = (values % 2 if dtype == "?" else values).view(dtype)
        tensor = b"".join(
            tensor_codec.encode(array, as_content=chooser.random() < 0.5)
        )
        tensor = _pieces(chooser, tensor)
        entry = [_field(1, name), _field(2, tensor)]
        if chooser.random() < 0.2:
            entry.append(chooser.choice([*entry, _UNKNOWN_FIELDS]))
        if chooser.random() < 0.2:
            chooser.shuffle(entry)
        fields.append(_field(2, b"".join(entry)))
    if chooser.random() < 0.3:
        fields.append(_field(3, b"output"))
    if chooser.random() < 0.3:
        fields.append(_UNKNOWN_FIELDS)
    if chooser.random() < 0.3:
        chooser.shuffle(fields)
    return b"".join(fields)


def _expected(
    data: bytes,
) -> tuple[predict_pb2.PredictRequest, dict[str, Any]] | None:
    """Returns what the generated class reads; None if that is not valid."""
    try:
        request = predict_pb2.PredictRequest.FromString(data)
        tensors = {
            name: _bits(tensor_codec.to_array(tensor))
            for name, tensor in request.inputs.items()
        }
    except (message.DecodeError, errors.InvalidArgumentError):
        return None
    request.ClearField("inputs")
    return request, tensors


def _bits(array: npt.NDArray[Any]) -> Any:
    if array.dtype == object:
        return array.shape, array.tolist()
    return array.dtype, array.shape, array.tobytes()


def _decoded(
    requests: tensor_map.TensorMap[predict_pb2.PredictRequest], data: bytes
) -> tuple[predict_pb2.PredictRequest, dict[str, Any]] | None:
    try:
        decoded = requests.decode(data)
    except errors.InvalidArgumentError:
        return None
    return decoded.form.rest, {
        name: _bits(array) for name, array in decoded.tensors.items()
    }


class TensorMapTest(parameterized.TestCase):
    """Requests and responses."""

    @parameterized.parameters(range(20))
    def test_request_is_that_of_the_generated_class(self, seed: int) -> None:
        """A request of any form is read, first and again with other values."""
        chooser = random.Random(seed)
        requests = _requests()
        for _ in range(500):
            data = _message(chooser)
            self.assertEqual(_decoded(requests, data), _expected(data))
            changed = bytearray(data)
            for _ in range(chooser.randrange(1, 4)):
                changed[chooser.randrange(len(data))] = chooser.randrange(256)
            for other in (bytes(changed), data):
                self.assertEqual(_decoded(requests, other), _expected(other))

    @parameterized.parameters(False, True)
    def test_numbers_are_not_copied_from_the_second_request_on(
        self, as_content: bool
    ) -> None:
        """The arrays are views of the message, and the rest is shared."""
        requests = _requests()
        rest = predict_pb2.PredictRequest(output_filter=["y"])
        rest.model_spec.name = "m"
        first, second = (
            requests.encode(
                rest.SerializeToString(),
                {
                    "a": np.full([3], value, np.float64),
                    "b": np.full([2, 2], value, np.float32),
                },
                as_content=as_content,
            )
            for value in (1, 2)
        )
        self.assertEqual(requests.decode(first).form.rest, rest)
        decoded = requests.decode(second)
        self.assertEqual(decoded.form.rest, rest)
        self.assertIs(decoded.form, requests.decode(first).form)
        np.testing.assert_array_equal(decoded.tensors["a"], [2, 2, 2])
        np.testing.assert_array_equal(decoded.tensors["b"], [[2, 2], [2, 2]])
        memory = np.frombuffer(second, np.uint8)
        for array in decoded.tensors.values():
            self.assertTrue(np.may_share_memory(array, memory))

    @parameterized.parameters(range(50))
    def test_response_is_that_of_the_generated_class(self, seed: int) -> None:
        """A client reads from the bytes what was written."""
        chooser = random.Random(seed)
        tensors = {
            name: np.frombuffer(chooser.randbytes(48), np.uint8).view(
                chooser.choice(("f4", "f8", "i4", "i8", "u1", "c8", "f2"))
            )
            for name in chooser.sample(["x", "y", "a longer name"], 2)
        }
        rest = predict_pb2.PredictResponse()
        rest.model_spec.version.value = seed
        responses = tensor_map.TensorMap(predict_pb2.PredictResponse, "outputs")
        data = responses.encode(
            rest.SerializeToString(), tensors, as_content=seed % 2 == 1
        )
        expected = predict_pb2.PredictResponse()
        expected.CopyFrom(rest)
        for name, array in tensors.items():
            expected.outputs[name].CopyFrom(
                tensor_codec.to_proto(array, as_content=seed % 2 == 1)
            )
        self.assertEqual(predict_pb2.PredictResponse.FromString(data), expected)
        decoded = responses.decode(data)
        self.assertEqual(
            {name: _bits(array) for name, array in decoded.tensors.items()},
            {name: _bits(array) for name, array in tensors.items()},
        )

    @parameterized.product(
        dtypes=(("f4",), ("f8", "c8"), ("f4", "i8"), ("O",)),
        num_messages=(1, 3),
        row_shape=((), (2,), (2, 0), (40, 40)),
        as_content=(False, True),
    )
    def test_messages_share_rows(
        self,
        dtypes: tuple[str, ...],
        num_messages: int,
        row_shape: tuple[int, ...],
        as_content: bool,
    ) -> None:
        """Each is what it would be if it were written alone."""
        responses = tensor_map.TensorMap(predict_pb2.PredictResponse, "outputs")
        rest = predict_pb2.PredictResponse()
        rest.model_spec.name = "m"
        shape = (2 * num_messages, *row_shape)
        values = np.arange(np.prod(shape)).reshape(shape)
        tensors: dict[str, npt.NDArray[Any]] = {
            f"y{dtype}": np.array(values.astype("S").tolist(), object)
            if dtype == "O"
            else values.astype(dtype)
            for dtype in dtypes
        }
        messages = responses.encode_rows(
            rest.SerializeToString(),
            tensors,
            num_messages,
            as_content=as_content,
        )
        self.assertEqual(len(messages), num_messages)
        for index, data in enumerate(messages):
            self.assertEqual(
                bytes(data),
                responses.encode(
                    rest.SerializeToString(),
                    {
                        name: array[2 * index : 2 * index + 2]
                        for name, array in tensors.items()
                    },
                    as_content=as_content,
                ),
            )

    def test_message_alone_has_tensors_of_any_shape(self) -> None:
        """Its tensors may have other numbers of rows, or none."""
        responses = tensor_map.TensorMap(predict_pb2.PredictResponse, "outputs")
        tensors = {
            "a": np.float32(3) * np.ones([], np.float32),
            "b": np.ones([5, 3], np.float32).T,
        }
        (data,) = responses.encode_rows(b"", tensors, 1)
        self.assertEqual(bytes(data), responses.encode(b"", tensors))

    def test_many_forms_are_understood(self) -> None:
        """More of them than are remembered change nothing but the time."""
        requests = _requests()
        for size in range(1, 700):
            array = np.arange(size, dtype=np.float32)
            data = requests.encode(b"", {"x": array})
            np.testing.assert_array_equal(
                requests.decode(data).tensors["x"], array
            )

    def test_other_bytes_are_invalid(self) -> None:
        """The error names the message."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, "must be a PredictRequest; got other"
        ):
            _requests().decode(b"\xff")

    def test_broken_tensor_is_named(self) -> None:
        """The caller sees which of its inputs is at fault."""
        data = _requests().encode(b"", {"x": np.zeros([3], np.float32)})
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, r'^inputs "x": tensor must have 1'
        ):
            _requests().decode(
                data.replace(b"\x12\x02\x08\x03", b"\x12\x02\x08\x04")
            )


if __name__ == "__main__":
    absltest.main()
