"""Source adapters: between a source and a target that speaks of other data.

connect_source_to_target(source_of_paths, adapter)
connect_source_to_target(adapter, target_of_loaders)
"""

import abc
from collections.abc import Sequence
from typing import Generic, TypeVar

from typing_extensions import override

from tensorflow_serving.core import output_port, servable, source
from tensorflow_serving.util import bugs, errors

InT = TypeVar("InT")
OutT = TypeVar("OutT")


class SourceAdapter(
    source.Source[OutT], source.Target[InT], Generic[InT, OutT]
):
    """Converts the data of aspired versions from type InT to type OutT.

    A call that comes before it has a target of its own waits, and with it the
    thread of the source; so connect the end of a chain first, or from another
    thread. It may be connected to several sources.

    close() lets those that wait go, and ends the forwarding; it does not wait
    for a call that is being forwarded. Close an adapter that was never
    connected before its source: the source's thread may be blocked in it.

    A context manager that closes itself. Thread-safe, and adapt() has to be.
    """

    def __init__(self) -> None:
        """Starts without a target."""
        self._output: output_port.OutputPort[OutT] = output_port.OutputPort()

    @abc.abstractmethod
    def adapt(
        self, name: str, versions: Sequence[servable.ServableData[InT]]
    ) -> Sequence[servable.ServableData[OutT]]:
        """Returns what to tell the target instead.

        The content of each version is carried on as it is.

        Must not raise: an error belongs to the version that has it.

        Args:
          name: The name of the servable, which all ids have, here and in what
            is returned.
          versions: All versions that should be served.
        """

    @override
    def set_aspired_versions_callback(
        self, callback: source.AspiredVersionsCallback[OutT]
    ) -> None:
        self._output.set_aspired_versions_callback(callback)

    @override
    def aspired_versions_callback(
        self,
    ) -> source.AspiredVersionsCallback[InT]:
        return self._set_aspired_versions

    def close(self) -> None:
        """Ends the forwarding. Idempotent."""
        self._output.close()

    def __enter__(self) -> "SourceAdapter[InT, OutT]":
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Closes the adapter."""
        self.close()

    def _set_aspired_versions(
        self, name: str, versions: Sequence[servable.ServableData[InT]]
    ) -> None:
        callback = self._output.wait_for_callback()
        if callback is not None:
            callback(name, self.adapt(name, versions))


class UnarySourceAdapter(SourceAdapter[InT, OutT], Generic[InT, OutT]):
    """Converts each version on its own. Those with an error keep it."""

    @abc.abstractmethod
    def convert(self, data: InT) -> OutT:
        """Returns other data for a version. Thread-safe, and quick.

        Raises:
          ServingError: Becomes the error of the version. Any other exception is
            logged, and the version is INTERNAL.
        """

    @override
    def adapt(
        self, name: str, versions: Sequence[servable.ServableData[InT]]
    ) -> Sequence[servable.ServableData[OutT]]:
        return [self._convert(version) for version in versions]

    def _convert(
        self, version: servable.ServableData[InT]
    ) -> servable.ServableData[OutT]:
        if version.error is not None:
            return servable.ServableData.failed(version.id, version.error)
        try:
            return servable.ServableData.ok(
                version.id,
                self.convert(version.data_or_raise()),
                version.content,
            )
        except BaseException as error:
            what = f"converting the data of {version.id}"
            # A copy, as it is kept for as long as the version.
            return servable.ServableData.failed(
                version.id, errors.copy_of(bugs.as_serving_error(what, error))
            )


class ErrorInjectingSourceAdapter(SourceAdapter[InT, OutT], Generic[InT, OutT]):
    """Gives every version an error; those that have one keep theirs.

    For a servable that must not be served for a reason known beforehand.
    """

    def __init__(self, error: errors.ServingError) -> None:
        """Takes the error."""
        super().__init__()
        self._error = error

    @override
    def adapt(
        self, name: str, versions: Sequence[servable.ServableData[InT]]
    ) -> Sequence[servable.ServableData[OutT]]:
        return [
            servable.ServableData.failed(
                version.id, version.error or self._error
            )
            for version in versions
        ]
