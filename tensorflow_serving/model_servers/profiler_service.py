"""ProfilerService: lets TensorBoard record what this server runs.

    tf.profiler.experimental.client.trace("grpc://host:8500", "/logs", 2000)

As with TensorFlow's own servers, the profile is written by the server, to a
folder that the caller names; nothing is ever overwritten.
"""

import os
import threading
import time
from typing import Final

from absl import logging

from tensorflow_serving.apis import profiler_service_pb2
from tensorflow_serving.rpc import call as call_lib
from tensorflow_serving.tensorflow_c import profiler
from tensorflow_serving.util import errors

_SERVICE: Final = profiler_service_pb2.DESCRIPTOR.services_by_name[
    "ProfilerService"
]
_MAX_SECONDS: Final = 600.0
_LEVELS: Final = (
    "host_tracer_level",
    "device_tracer_level",
    "python_tracer_level",
)


class ProfilerService:
    """Implements the service of TensorFlow. Thread-safe."""

    def __init__(self) -> None:
        """Has no recording."""
        self._lock = threading.Lock()
        # Set to end a recording, by its session. Guarded by _lock.
        self._ends: dict[str, threading.Event] = {}

    def service(self) -> call_lib.Service:
        """Returns the service for a server."""
        return call_lib.Service(
            _SERVICE,
            methods={"Monitor": self.monitor, "Terminate": self.terminate},
            waiting_methods={"Profile": self._profile},
        )

    def monitor(
        self, request: profiler_service_pb2.MonitorRequest
    ) -> profiler_service_pb2.MonitorResponse:
        """Is not offered.

        Raises:
          UnimplementedError: Always. Permanent.
        """
        raise errors.UnimplementedError(
            "Monitor is for accelerators; call Profile"
        )

    def terminate(
        self, request: profiler_service_pb2.TerminateRequest
    ) -> profiler_service_pb2.TerminateResponse:
        """Ends the recording of a session, if there is one."""
        with self._lock:
            end = self._ends.get(request.session_id)
        if end is not None:
            end.set()
        return profiler_service_pb2.TerminateResponse()

    def profile(
        self,
        request: profiler_service_pb2.ProfileRequest,
        end: threading.Event,
    ) -> profiler_service_pb2.ProfileResponse:
        """Records for some time what runs.

        Args:
          request: Says for how long, and what becomes of the profile.
          end: Set by whoever wants it to end sooner.

        Raises:
          InvalidArgumentError: The duration is out of range, or a name would
            lead to another folder. Permanent.
          FailedPreconditionError: The profile cannot be written. Permanent.
          UnimplementedError, UnavailableError: See Profiler.
        """
        seconds = (request.opts.duration_ms or request.duration_ms) / 1000
        if not 0 < seconds <= _MAX_SECONDS:
            raise errors.InvalidArgumentError(
                f"duration_ms must be from 1 to {1000 * _MAX_SECONDS:g}; got "
                f"{1000 * seconds:g}"
            )
        path = _path(request)
        begin = request.opts.start_timestamp_ns / 1e9 - time.time()
        if begin > 0:
            end.wait(min(begin, _MAX_SECONDS))
        levels = {name: getattr(request.opts, name) for name in _LEVELS}
        with profiler.Profiler(levels) as recording:
            logging.info("Recording a profile for %g s", seconds)
            end.wait(seconds)
            xspace = recording.stop()
        is_empty = not profiler.has_events(xspace)
        if path and not is_empty:
            _write(path, xspace)
        return profiler_service_pb2.ProfileResponse(
            empty_trace=is_empty,
            xspace=xspace if request.emit_xspace else b"",
        )

    def _profile(
        self,
        request: profiler_service_pb2.ProfileRequest,
        unwanted: call_lib.Unwanted,
    ) -> profiler_service_pb2.ProfileResponse:
        """Records until somebody ends it, or nobody waits for it."""
        end = threading.Event()
        unwanted.add_done_callback(lambda _: end.set())
        with self._lock:
            self._ends[request.session_id] = end
        try:
            return self.profile(request, end)
        finally:
            with self._lock:
                if self._ends.get(request.session_id) is end:
                    del self._ends[request.session_id]


def _path(request: profiler_service_pb2.ProfileRequest) -> str:
    """Returns where to write the profile; "" for nowhere."""
    if not request.repository_root:
        return ""
    for what in ("session_id", "host_name"):
        name = getattr(request, what)
        if name in ("", ".", "..") or "/" in name or "\0" in name:
            raise errors.InvalidArgumentError(
                f'{what} must be the name of a file; got "{name[:100]}"'
            )
    return os.path.join(
        request.repository_root,
        request.session_id,
        f"{request.host_name}.xplane.pb",
    )


def _write(path: str, xspace: bytes) -> None:
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "xb") as file:
            file.write(xspace)
    except (OSError, ValueError) as error:
        raise errors.FailedPreconditionError(
            f"repository_root must be a folder that the server can write to; "
            f"got {error}"
        ) from None
