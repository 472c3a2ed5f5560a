"""The warm-up requests of a version, as its author recorded them.

They are in the file assets.extra/tf_serving_warmup_requests of the folder of a
version, which has TFRecord format; each record is a PredictionLog. See
https://www.tensorflow.org/tfx/serving/saved_model_warmup.

Example:
    for request in warm_up_requests.read("/models/m/00000001"):
        warm_up_requests.begin(version, request).run()
"""

import os
from collections.abc import Iterator
from typing import Final

from google.protobuf import message

from tensorflow_serving.apis import prediction_log_pb2
from tensorflow_serving.servables.tensorflow import (
    classify,
    inference,
    multi_inference,
    predict,
    regress,
)
from tensorflow_serving.session_bundle import model_folder
from tensorflow_serving.util import errors, storage_errors, tf_record

PATH: Final = os.path.join("assets.extra", "tf_serving_warmup_requests")
MAX_RECORDS: Final = 1000


def read(path: str) -> Iterator[prediction_log_pb2.PredictionLog]:
    """Yields the requests of a version one by one.

    Args:
      path: The folder of the version.

    Raises:
      NotFoundError: It has no such file. Permanent.
      FailedPreconditionError: It has something else in its place. Permanent.
      InvalidArgumentError: A record is not a PredictionLog, or there are too
        many. Permanent.
      DataLossError: The file does not have TFRecord format, is truncated or
        compressed. Permanent.
      UnavailableError: The storage failed. Transient.
    """
    filename = os.path.join(path, PATH)
    with (
        storage_errors.converted(filename),
        model_folder.ModelFolder(path) as folder,
    ):
        try:
            file = folder.open(PATH)
        except (FileNotFoundError, NotADirectoryError):
            if os.path.islink(filename):
                raise errors.FailedPreconditionError(
                    f"warm-up requests must be a file; got a link to nothing: "
                    f"{filename}"
                ) from None
            raise errors.NotFoundError(
                f"There are no warm-up requests: {filename}"
            ) from None
        with file:
            try:
                yield from _parsed(tf_record.read(file))
            except errors.ServingError as error:
                raise errors.from_code(
                    error.code, f"{error}: {filename}"
                ) from None


def begin(
    version: inference.Version, log: prediction_log_pb2.PredictionLog
) -> inference.Inference:
    """Returns the run that a logged request asks for.

    The version answers, whatever the request says.

    Raises:
      UnimplementedError: It is a request of another method than Predict,
        Classify, Regress and MultiInference. Permanent.
      ServingError: See begin() of the module of the method.
    """
    kind = log.WhichOneof("log_type")
    if kind == "predict_log":
        request = log.predict_log.request.SerializeToString()
        return predict.begin(version, predict.REQUESTS.decode(request))
    if kind == "classify_log":
        return classify.begin(version, log.classify_log.request)
    if kind == "regress_log":
        return regress.begin(version, log.regress_log.request)
    if kind == "multi_inference_log":
        return multi_inference.begin(version, log.multi_inference_log.request)
    raise errors.UnimplementedError(
        "log_type of a warm-up request must be predict_log, classify_log, "
        f"regress_log or multi_inference_log; got {kind or 'none'}"
    )


def _parsed(
    records: Iterator[bytes],
) -> Iterator[prediction_log_pb2.PredictionLog]:
    for number, record in enumerate(records, 1):
        if number > MAX_RECORDS:
            raise errors.InvalidArgumentError(
                "Number of warmup records exceeds the maximum, which is "
                f"{MAX_RECORDS}; those after it are not replayed"
            )
        try:
            yield prediction_log_pb2.PredictionLog.FromString(record)
        except message.DecodeError:
            raise errors.InvalidArgumentError(
                f"Failed to parse warmup record {number}: it must be a "
                "tensorflow.serving.PredictionLog"
            ) from None
