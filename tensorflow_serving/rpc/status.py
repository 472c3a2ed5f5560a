"""Errors of this project as gRPC statuses."""

import grpc

from tensorflow_serving.util import errors


def to_grpc(error: errors.ServingError) -> grpc.StatusCode:
    """Returns the gRPC status code of an error."""
    return grpc.StatusCode[error.code.name]
