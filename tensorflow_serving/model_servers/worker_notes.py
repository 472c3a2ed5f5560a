"""The notes with which workers tell each other about models, as values.

Each worker has a note CONFIG with the revision of the configuration that it has
taken, which it writes as soon as it runs, a note START once its first models
are loaded or have failed, a note of the states of each model, and one of the
versions of a model that are or were stuck.

There are two common notes: CONFIG with the models of a revision, and START once
the start is over in all workers.

Functions take the notes of a key by worker; None for one that is not there.
"""

import dataclasses
import functools
from collections.abc import Iterable, KeysView, Sequence, Set
from typing import Final

from typing_extensions import Self

from tensorflow_serving.config import model_server_config_pb2
from tensorflow_serving.model_servers import model_configs, worker_states
from tensorflow_serving.rpc import board

CONFIG: Final = "config"
START: Final = "start"
# The value of a note of which only the presence counts.
OVER: Final = b"over"
_MODEL: Final = "model/"
_STUCK: Final = "stuck/"

_Notes = Sequence[bytes | None]


def model_key(name: str) -> str:
    """Returns the key of the notes with the states of a model."""
    return _MODEL + name


def stuck_key(name: str) -> str:
    """Returns the key of the notes with the stuck versions of a model."""
    return _STUCK + name


def model_names(keys: Iterable[str]) -> Set[str]:
    """Returns the models that notes with these keys are about."""
    return {
        key.removeprefix(prefix)
        for key in keys
        for prefix in (_MODEL, _STUCK)
        if key.startswith(prefix)
    }


def pack_stuck(versions: Iterable[int]) -> bytes:
    """Returns versions that are stuck as a note."""
    return b",".join(b"%d" % version for version in sorted(versions))


def stuck_versions(notes: _Notes) -> Set[int]:
    """Returns the versions that are stuck in a worker that runs.

    Args:
      notes: The notes with the stuck versions of a model.
    """
    return {
        int(version) for note in notes if note for version in note.split(b",")
    }


def pack(models: model_configs.Models) -> bytes:
    """Returns models as the common note CONFIG."""
    return model_configs.to_proto(models).SerializeToString()


@dataclasses.dataclass(frozen=True)
class Config:
    """The models of a revision of the common note CONFIG."""

    models: model_configs.Models = ()
    revision: int = 0

    @functools.cached_property
    def names(self) -> KeysView[str]:
        """The names of the models, in order."""
        return model_configs.name_keys(self.models)

    @classmethod
    def of(cls, note: board.CommonNote) -> Self:
        """Returns what a common note says."""
        proto = model_server_config_pb2.ModelServerConfig.FromString(note.value)
        return cls(model_configs.parse(proto), note.revision)

    def late_workers(self, taken: _Notes) -> Sequence[int]:
        """Returns the workers that have not begun with it, or do not run.

        Args:
          taken: The notes CONFIG.
        """
        return [
            worker
            for worker, revision in enumerate(taken)
            if int(revision or 0) < self.revision
        ]


@dataclasses.dataclass(frozen=True)
class ModelInWorkers:
    """A model in all workers taken together; see worker_states."""

    states: worker_states.States
    # Whether a certain worker still has to load what another one serves.
    is_behind: bool

    @classmethod
    def of(cls, name: str, own: int, taken: _Notes, packed: _Notes) -> Self:
        """Returns what workers say of a model.

        Args:
          name: The name of the model.
          own: The number of the worker that may be behind.
          taken: The notes CONFIG, which workers that run have.
          packed: The notes of the model.
        """
        by_worker = [
            None
            if revision is None
            else worker_states.unpack(name, states or b"")
            for revision, states in zip(taken, packed, strict=True)
        ]
        return cls(
            worker_states.merged(name, by_worker),
            worker_states.is_behind(by_worker[own] or {}, by_worker),
        )


def is_start_over(started: _Notes) -> bool:
    """Returns whether the start is over in each worker.

    Args:
      started: The notes START.
    """
    return all(note is not None for note in started)
