"""A session: runs a graph, from arrays to arrays.

Example:
    graph = Graph()
    graph.import_graph_def(serialized)
    with Session(graph) as session:
        (y,) = session.run(["y:0"], {"x:0": images})
        scores = session.make_callable(["y:0"], ["x:0"])
        (y,) = scores(images)
"""

import contextlib
import dataclasses
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tensorflow_serving.tensorflow_c import (
    data_type,
    library,
    prepared_run,
    status,
)
from tensorflow_serving.tensorflow_c import graph as graph_lib
from tensorflow_serving.tensorflow_c.protos import config_pb2
from tensorflow_serving.util import errors, tensor_spec


@dataclasses.dataclass(frozen=True)
class Device:
    """A device that a session can run operations on."""

    # "/job:localhost/replica:0/task:0/device:GPU:0".
    name: str
    # "CPU", "GPU".
    type: str
    # How much TensorFlow may allocate there; for a CPU that is no limit.
    memory_bytes: int


class Session:
    """Runs a graph; a TF_Session.

    Runs go on without the GIL, at the same time if they are called so.

    A context manager that closes itself. Thread-safe.
    """

    def __init__(
        self,
        graph: graph_lib.Graph,
        config: config_pb2.ConfigProto | None = None,
        target: str = "",
        *,
        close_grace_seconds: float = 30.0,
    ) -> None:
        """Takes over the graph, to close it; on an error it is the caller's.

        Args:
          graph: What to run; no longer changed.
          config: Devices, threads and so on; None for the defaults.
          target: The TensorFlow runtime to connect to; empty for this process.
          close_grace_seconds: How long close() lets runs go on.

        Raises:
          ServingError: What TensorFlow says of the config or the target.
        """
        self.graph = graph
        self._functions = library.load().functions
        self._close_grace_seconds = close_grace_seconds
        self._pointer = _open(self._functions, graph, config, target)
        # Signalled when the last run ends after close() began.
        self._idle = threading.Condition()
        # An element for each run. A run first adds its own and then looks
        # whether the session is closed; close() does it the other way round.
        # So one of them sees the other, without a lock for each run.
        self._runs: list[None] = []
        self._is_closed = False
        # Guarded by _idle.
        self._close_began = False

    def run(
        self,
        fetches: str | Sequence[str],
        feed_dict: Mapping[str, npt.ArrayLike] | None = None,
    ) -> Any:
        """Returns the values of tensors.

        Args:
          fetches: Names of tensors ("y:0") or of operations, which are run and
            have the value None; or one such name.
          feed_dict: Values of tensors, by name. What is not an array of the
            dtype of its tensor is converted.

        Returns:
          A list of arrays, in the order of the fetches; or one of them. A value
          without dimensions is a number of numpy, or bytes.

        Raises:
          InvalidArgumentError: A name is not in the graph, or a value does not
            fit its tensor. Permanent.
          FailedPreconditionError: The session is closed. Permanent.
          ServingError: What the graph raised, with its code.
        """
        feeds = feed_dict or {}
        names = [fetches] if isinstance(fetches, str) else list(fetches)
        with self._running() as pointer:
            run = prepared_run.PreparedRun(self.graph, names, list(feeds))
            arrays = [
                self._to_array(name, value) for name, value in feeds.items()
            ]
            values = [
                value if value is None or value.ndim else value[()]
                for value in run(pointer, arrays)
            ]
        return values[0] if isinstance(fetches, str) else values

    def make_callable(
        self, fetches: Sequence[str], feed_list: Sequence[str]
    ) -> "Callable":
        """Returns a function that does what run() does, in less time.

        It takes arrays of the dtypes and shapes of tensor_spec(). It converts
        no dtype and checks no shape; that is for its callers. An aligned_array
        is not copied. Its errors have no values; see status.to_run_error().

        Args:
          fetches: Names of tensors, not of operations.
          feed_list: Names of tensors, in the order of the arguments.

        Raises:
          InvalidArgumentError: A name is not in the graph. Permanent.
          FailedPreconditionError: The session is closed. Permanent.
        """
        with self._running():
            for name in fetches:
                self.graph.output(name)
            return Callable(
                self,
                prepared_run.PreparedRun(
                    self.graph,
                    fetches,
                    feed_list,
                    hides_values=True,
                ),
            )

    def tensor_spec(self, name: str) -> tensor_spec.TensorSpec:
        """Returns dtype and shape of a tensor of the graph.

        Raises:
          InvalidArgumentError: The name is not in the graph, or no array can
            be its value. Permanent.
          FailedPreconditionError: The session is closed. Permanent.
        """
        with self._running():
            info = self.graph.tensor_info(name)
        try:
            dtype = data_type.to_numpy(info.data_type)
        except errors.InvalidArgumentError:
            raise errors.InvalidArgumentError(
                f"Tensor {name} must have a dtype of arrays; got "
                f"{data_type.name(info.data_type)}"
            ) from None
        return tensor_spec.TensorSpec(name, dtype, info.shape)

    def devices(self) -> list[Device]:
        """Returns the devices that the session can use.

        Raises:
          FailedPreconditionError: The session is closed. Permanent.
        """
        functions = self._functions
        found = []
        with self._running() as pointer, status.Status() as got:
            listed = functions.TF_SessionListDevices(pointer, got.pointer)
            got.check()
            for index in range(functions.TF_DeviceListCount(listed)):
                entry = (listed, index, got.pointer)
                found.append(
                    Device(
                        functions.TF_DeviceListName(*entry).decode(),
                        functions.TF_DeviceListType(*entry).decode(),
                        functions.TF_DeviceListMemoryBytes(*entry),
                    )
                )
            functions.TF_DeleteDeviceList(listed)
        return found

    def close(self) -> None:
        """Ends the session and frees the graph. Idempotent.

        From now on nothing can be run. Waits for the runs that there are; those
        that take longer than close_grace_seconds are cancelled.
        """
        with self._idle:
            if self._close_began:
                return
            self._close_began = self._is_closed = True
            self._idle.wait_for(self._is_idle, self._close_grace_seconds)
        with status.Status() as ignored:
            # Cancels what runs.
            self._functions.TF_CloseSession(self._pointer, ignored.pointer)
            with self._idle:
                self._idle.wait_for(self._is_idle)
            self._functions.TF_DeleteSession(self._pointer, ignored.pointer)
        self.graph.close()

    def __enter__(self) -> "Session":
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Closes the session."""
        self.close()

    def __repr__(self) -> str:
        """Returns whether it is open, and the number of current runs."""
        state = "closed" if self._is_closed else "open"
        return f"<Session {state}, {len(self._runs)} runs>"

    def begin_run(self) -> int:
        """Returns the TF_Session, which stays until end_run() is called.

        Raises:
          FailedPreconditionError: The session is closed. Permanent.
        """
        self._runs.append(None)
        if self._is_closed:
            self.end_run()
            raise errors.FailedPreconditionError("The session is closed.")
        return self._pointer

    def end_run(self) -> None:
        """Takes back begin_run()."""
        self._runs.pop()
        if self._is_closed:
            with self._idle:
                self._idle.notify_all()

    @contextlib.contextmanager
    def _running(self) -> Iterator[int]:
        pointer = self.begin_run()
        try:
            yield pointer
        finally:
            self.end_run()

    def _is_idle(self) -> bool:
        return not self._runs

    def _to_array(self, name: str, value: npt.ArrayLike) -> npt.NDArray[Any]:
        """Returns a value as an array that fits a tensor."""
        info = self.graph.tensor_info(name)
        dtype = data_type.to_numpy(info.data_type)
        try:
            array = np.asarray(value, dtype)
        except (TypeError, ValueError, OverflowError):
            raise errors.InvalidArgumentError(
                f"fetches and feeds must fit the graph; got values for {name} "
                f"that are no array of {dtype}"
            ) from None
        if not info.fits(array.shape):
            raise errors.InvalidArgumentError(
                "fetches and feeds must fit the graph; got shape "
                f"{list(array.shape)} for {name}, which has another"
            )
        return array


class Callable:
    """A run of a session that is prepared: from feeds to fetches.

    Thread-safe.
    """

    __slots__ = ("_run", "_session")

    def __init__(self, session: Session, run: prepared_run.PreparedRun) -> None:
        """Use Session.make_callable() instead."""
        self._session = session
        self._run = run

    def __call__(self, *feeds: npt.NDArray[Any]) -> list[Any]:
        """Returns the fetches, as arrays.

        Args:
          *feeds: An array for each tensor that is fed, of its dtype. Shapes are
            not checked.

        Raises:
          InvalidArgumentError: There are too many feeds, or too few, or one has
            another dtype. Permanent.
          FailedPreconditionError: The session is closed. Permanent.
          ServingError: What the graph raised, with its code.
        """
        session = self._session
        pointer = session.begin_run()
        try:
            return self._run(pointer, feeds)
        finally:
            session.end_run()


def _open(
    functions: Any,
    graph: graph_lib.Graph,
    config: config_pb2.ConfigProto | None,
    target: str,
) -> int:
    """Returns a TF_Session."""
    options = functions.TF_NewSessionOptions()
    try:
        with status.Status() as opened:
            functions.TF_SetTarget(options, target.encode())
            if config is not None:
                serialized = config.SerializeToString()
                functions.TF_SetConfig(
                    options, serialized, len(serialized), opened.pointer
                )
                opened.check()
            session: int = functions.TF_NewSession(
                graph.pointer, options, opened.pointer
            )
            opened.check()
            return session
    finally:
        functions.TF_DeleteSessionOptions(options)
