"""Records of calls of Predict that came as JSON.

They have the messages of the calls of gRPC that would have asked for the same.
"""

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from tensorflow_serving.apis import model_pb2, predict_pb2
from tensorflow_serving.model_servers import call_events, call_records
from tensorflow_serving.servables.tensorflow import predict

_Tensors = Mapping[str, npt.NDArray[Any]]


def of_predict(
    subject: call_events.Subject,
    spec: model_pb2.ModelSpec,
    inputs: _Tensors,
    outputs: _Tensors,
) -> call_records.Record:
    """Returns the record of a call.

    Args:
      subject: Who answered.
      spec: Whom the request named.
      inputs: By key. They must not change any longer.
      outputs: By key; copied, as they may be rows of many calls.
    """
    kept = {key: array.copy() for key, array in outputs.items()}

    def make() -> call_records.Messages:
        return call_records.Messages(
            predict.REQUESTS.encode(
                predict_pb2.PredictRequest(model_spec=spec).SerializeToString(),
                inputs,
            ),
            predict.RESPONSES.encode(
                predict_pb2.PredictResponse(
                    model_spec=subject.spec()
                ).SerializeToString(),
                kept,
            ),
        )

    num_bytes = sum(map(_num_bytes, (*inputs.values(), *kept.values())))
    return call_records.Record(subject, num_bytes, make)


def _num_bytes(array: npt.NDArray[Any]) -> int:
    if array.dtype.kind != "O":
        return array.nbytes
    return array.nbytes + sum(map(len, array.flat))
