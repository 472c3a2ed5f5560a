"""A model that answers requests: its session, signatures and queues."""

import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Final, TypeVar

from tensorflow_serving.batching import (
    batch_scheduler,
    batched_function,
    batching_session,
)
from tensorflow_serving.servables.tensorflow import (
    batch_threads,
    signature_defs,
)
from tensorflow_serving.session_bundle import session as session_lib
from tensorflow_serving.session_bundle import session_bundle
from tensorflow_serving.tensorflow_c.protos import meta_graph_pb2
from tensorflow_serving.util import errors, tensor_spec

# Which outputs are asked for is up to callers; this many choices are kept, and
# this many of a signature are run.
_MAX_CACHED: Final = 64
_MAX_CHOICES: Final = 32

T = TypeVar("T")
Queue = batch_scheduler.BatchScheduler[batched_function.FunctionTask]


class ServedModel:
    """The servable of the model server.

        model = ServedModel(bundle, threads)
        function = model.function("serving_default", ["y"])

    Each signature has a queue of its own, so that a busy one does not fill the
    batches of another. The functions of a signature share it.

    Thread-safe.
    """

    def __init__(
        self,
        bundle: session_bundle.SessionBundle[session_lib.Session],
        threads: batch_threads.BatchThreads,
        batching: batch_threads.Options | None = None,
    ) -> None:
        """Takes over the bundle, to close it.

        Args:
          bundle: From a factory without batching.
          threads: Run the calls of all signatures; closed by the caller, after
            the model.
          batching: How its calls become batches; None: as the threads say.

        Raises:
          FailedPreconditionError: The signatures do not fit the graph.
            Permanent.
        """
        self._bundle = bundle
        self._threads = threads
        self._batching = batching or threads.options
        # A flaw that does not keep it from answering; empty if there is none.
        self.warning = ""
        self.signature_defs: Final = signature_defs.signature_defs(bundle)
        self._lock = threading.Lock()
        # Each has the queue of a signature, and its name as the key. Guarded by
        # _lock, but to look one up.
        self._sessions: dict[str, batching_session.BatchingSession] = {}
        # The choices of outputs that run as they are, by signature. Guarded by
        # _lock.
        self._choices: dict[str, set[tuple[str, ...]]] = {}
        # The values that cached() keeps, the oldest first. Written only with
        # _lock; lookups do without it.
        self._cache: dict[Hashable, Any] = {}

    def __repr__(self) -> str:
        """Names the model and its signatures."""
        return (
            f"ServedModel({self._bundle.path}, {sorted(self.signature_defs)})"
        )

    @property
    def batch_sizes(self) -> Sequence[int]:
        """The least and the largest number of rows in a batch, if they differ.

        Without batching it is up to callers: one row is what most have.
        """
        options = self._batching
        if options.session.never_merges:
            return (1,)
        sizes = options.session.allowed_batch_sizes or (
            1,
            options.queue.batch_size_limit,
        )
        return sorted({sizes[0], sizes[-1]})

    def function(
        self, name: str, outputs: Sequence[str]
    ) -> batched_function.BatchedFunction:
        """Returns the function from the inputs of a signature to outputs.

        Args:
          name: A signature of the model.
          outputs: Keys of its outputs.

        Returns:
          A function whose feeds are the inputs of the signature, by ascending
          key.

        Raises:
          FailedPreconditionError: A tensor is sparse or ragged, or not in the
            graph. Permanent.
        """
        definition = self.signature_defs[name]
        inputs = [definition.inputs[key] for key in sorted(definition.inputs)]
        fetched = [definition.outputs[key] for key in outputs]
        return self.function_of_tensors(name, inputs, fetched)

    def fetched(self, name: str, outputs: Sequence[str]) -> list[str]:
        """Returns the outputs to run for calls that want some of them.

        TensorFlow keeps the graph that it makes for a choice of outputs, and
        clients are free to choose. So a number of choices of a signature run as
        they are, and all outputs for any other one.

        Args:
          name: A signature of the model.
          outputs: Keys of its outputs, in any order.
        """
        choice = tuple(sorted(outputs))
        with self._lock:
            choices = self._choices.setdefault(name, set())
            if choice in choices or len(choices) < _MAX_CHOICES:
                choices.add(choice)
                return list(choice)
        return sorted(self.signature_defs[name].outputs)

    def function_of_tensors(
        self,
        name: str,
        inputs: Sequence[meta_graph_pb2.TensorInfo],
        outputs: Sequence[meta_graph_pb2.TensorInfo],
    ) -> batched_function.BatchedFunction:
        """Returns a function whose calls wait in the queue of a signature.

        Raises:
          FailedPreconditionError: See function().
        """
        try:
            return self._session_of(name).function(
                signature_defs.tensor_names(outputs),
                signature_defs.tensor_names(inputs),
                runs_alone=any(map(_fixes_num_rows, (*inputs, *outputs))),
                # Clients rely on it that shapes are not checked: [3] is fine
                # for a placeholder of [?, 1] if the graph can do with it.
                takes_any_shape=True,
            )
        except errors.InvalidArgumentError as error:
            raise errors.FailedPreconditionError(
                f"signature {name} must fit the graph of the model; got {error}"
            ) from None

    def signatures_run_alone(self) -> Sequence[str]:
        """Returns the signatures whose calls are never merged.

        They have no input, or their shapes say that an input or an output has
        no dimension for the rows of several calls. The others may still turn
        out to run alone, if outputs come without a row for each row.
        """
        return [
            name
            for name in signature_defs.names_for_callers(self.signature_defs)
            if self._runs_alone(self.signature_defs[name])
        ]

    def _runs_alone(self, definition: meta_graph_pb2.SignatureDef) -> bool:
        inputs = definition.inputs.values()
        outputs = definition.outputs.values()
        if any(map(_fixes_num_rows, (*inputs, *outputs))):
            return True
        try:
            feeds, fetches = (
                [
                    self._bundle.session.tensor_spec(name)
                    for name in signature_defs.tensor_names(infos)
                ]
                for infos in (inputs, outputs)
            )
        except errors.ServingError:
            return False  # a call gets the error
        return not tensor_spec.leave_rows_open(feeds, fetches)

    def cached(self, key: Hashable, make: Callable[[], T]) -> T:
        """Returns what was made for a key, or makes it.

        For what calls of a method have in common; a few are kept, as long as
        the model is loaded.
        """
        value: T | None = self._cache.get(key)
        if value is None:
            value = make()
            with self._lock:
                while len(self._cache) >= _MAX_CACHED:
                    del self._cache[next(iter(self._cache))]
                self._cache[key] = value
        return value

    def queue(self, name: str) -> Queue:
        """Returns the queue in which calls of functions of a signature wait."""
        return self._session_of(name).scheduler

    def statistics(self) -> Mapping[str, batching_session.Statistics]:
        """Returns the counts of the queues of signatures that were called."""
        with self._lock:
            sessions = dict(self._sessions)
        return {name: each.statistics() for name, each in sessions.items()}

    @property
    def is_stuck(self) -> bool:
        """Whether calls wait that no thread will run."""
        return any(
            each.scheduler.is_stuck for each in self.statistics().values()
        )

    def close(self) -> None:
        """Finishes the calls that wait, then frees the model. Idempotent."""
        with self._lock:
            sessions, self._sessions = self._sessions, {}
        for session in sessions.values():
            session.close()
        self._bundle.close()

    def _session_of(self, name: str) -> batching_session.BatchingSession:
        session = self._sessions.get(name)
        if session is not None:
            return session
        with self._lock:
            if name not in self._sessions:
                self._sessions[name] = self._threads.session(
                    self._bundle.session, self._batching, owns_session=False
                )
            return self._sessions[name]


def _fixes_num_rows(info: meta_graph_pb2.TensorInfo) -> bool:
    """Returns whether a signature says that a tensor has no batch dimension."""
    shape = info.tensor_shape
    if not info.HasField("tensor_shape") or shape.unknown_rank:
        return False
    return not shape.dim or shape.dim[0].size >= 0
