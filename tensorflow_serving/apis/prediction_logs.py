"""PredictionLogs made of messages that are serialized already.

A request and its response are fields of a log, byte by byte as they were on the
wire, so nothing is parsed to write them down.

Example:
    data = prediction_logs.encode("Predict", metadata, request, response)
    prediction_log_pb2.PredictionLog.FromString(data).predict_log.request
"""

from collections.abc import Sequence
from typing import Final

from tensorflow_serving.apis import (
    logging_pb2,
    prediction_log_pb2,
    tensor_codec,
    varints,
)

_FIELDS: Final = prediction_log_pb2.PredictionLog.DESCRIPTOR.fields_by_name
_METADATA: Final = tensor_codec.tag(_FIELDS["log_metadata"].number)
# All messages in the oneof have these two.
_REQUEST: Final = tensor_codec.tag(1)
_RESPONSE: Final = tensor_codec.tag(2)
_LOGS: Final = {
    method: tensor_codec.tag(_FIELDS[name].number)
    for method, name in (
        ("Classify", "classify_log"),
        ("MultiInference", "multi_inference_log"),
        ("Predict", "predict_log"),
        ("Regress", "regress_log"),
    )
}


def encode(
    method: str,
    metadata: logging_pb2.LogMetadata | None,
    request: bytes,
    response: bytes | None = None,
) -> bytes:
    """Returns a serialized PredictionLog.

    Args:
      method: "Classify", "MultiInference", "Predict" or "Regress".
      metadata: None to leave it out.
      request: The message of the method, serialized.
      response: The one that came back; None to leave it out.
    """
    log = [*_field(_REQUEST, request)]
    if response is not None:
        log += _field(_RESPONSE, response)
    size = varints.encode_one(sum(map(len, log)))
    parts = [_LOGS[method], size, *log]
    if metadata is not None:
        parts = [*_field(_METADATA, metadata.SerializeToString()), *parts]
    return b"".join(parts)


def _field(tag: bytes, value: bytes) -> Sequence[bytes]:
    return (tag, varints.encode_one(len(value)), value)
