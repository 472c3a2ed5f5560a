"""Sources decide which versions to serve, and notify targets.

A source decides which versions of a servable should be served: those are
aspired. It tells a target, which is often a source adapter that turns the data
of each version into other data, and at last a manager.

    connect_source_to_target(source, adapter)
    connect_source_to_target(adapter, manager)
"""

import abc
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from tensorflow_serving.core import servable

T = TypeVar("T")

# Takes the name of a servable, and all versions of it that should be served. A
# version that was in an earlier call for the name and is not in this one should
# no longer be served; so a call with no versions ends them all. A call with the
# same versions as before changes nothing, so that a source may call as often as
# it likes. A version with an error is still wanted: what is served of it stays.
# Thread-safe. May block while the target is being set up.
AspiredVersionsCallback = Callable[
    [str, Sequence[servable.ServableData[T]]], None
]


class Source(abc.ABC, Generic[T]):
    """Says which versions should be served, and gives data of type T for each.

    A source starts when its callback is set, and not before.
    """

    @abc.abstractmethod
    def set_aspired_versions_callback(
        self, callback: AspiredVersionsCallback[T]
    ) -> None:
        """Sets the callback, which the source may call at once, on any thread.

        Raises:
          FailedPreconditionError: It was set before. Permanent.
        """


class Target(abc.ABC, Generic[T]):
    """Receives the versions that should be served."""

    @abc.abstractmethod
    def aspired_versions_callback(self) -> AspiredVersionsCallback[T]:
        """Returns what sources call.

        It may be called by several sources, from any thread and at any time:
        once the target is closed a call has no effect.
        """


def connect_source_to_target(source: Source[T], target: Target[T]) -> None:
    """Has a source tell a target.

    Raises:
      FailedPreconditionError: The source has a target already. Permanent.
    """
    source.set_aspired_versions_callback(target.aspired_versions_callback())
