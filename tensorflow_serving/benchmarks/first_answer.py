"""Asks a server that has just been started, until it answers."""

from typing import Any

import grpc

from tensorflow_serving.benchmarks import workload
from tensorflow_serving.util import clock as clock_lib
from tensorflow_serving.util import errors

_RETRY_SECONDS = 0.02


def ask(
    address: str,
    request: bytes,
    timeout_seconds: float = 60.0,
    clock: clock_lib.Clock = clock_lib.MONOTONIC,
) -> bytes:
    """Returns the first answer of a server of MnistService.

    While it is UNAVAILABLE, it is asked again.

    Args:
      address: Host and port.
      request: A serialized MnistRequest.
      timeout_seconds: How long to ask.
      clock: Decides when to ask again.

    Raises:
      UnavailableError: It was UNAVAILABLE all the time.
      ServingError: It failed with another status.
    """
    deadline = clock.now() + timeout_seconds
    with grpc.insecure_channel(
        address, options=[("grpc.use_local_subchannel_pool", 1)]
    ) as channel:
        classify: Any = channel.unary_unary(workload.CLASSIFY)
        while True:
            try:
                answer: bytes = classify(
                    request, timeout=timeout_seconds, wait_for_ready=True
                )
                return answer
            except grpc.RpcError as error:
                status = errors.StatusCode[error.code().name]
                details = error.details()
            if (
                status is not errors.StatusCode.UNAVAILABLE
                or clock.now() >= deadline
            ):
                raise errors.from_code(
                    status, f"{address} must answer; got {details}"
                )
            clock.sleep(_RETRY_SECONDS)
