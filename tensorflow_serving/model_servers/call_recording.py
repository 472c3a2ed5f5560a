"""Everything that takes records of calls in a process, and their writer.

Example:
    with CallRecording(Options(), tags=["serve"]) as recording:
        recording.update(models)
        recorder = recording.recorders.find(subject)
"""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from typing_extensions import Self

from tensorflow_serving.core import servable
from tensorflow_serving.model_servers import (
    call_records,
    log_files,
    model_configs,
    record_writer,
    request_log,
    warm_up_recording,
)
from tensorflow_serving.util import event_bus

# Records that wait to be written.
_MAX_WAITING_BYTES: Final = 64 << 20


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of a CallRecording."""

    # The files of each model whose configuration asks for a log.
    log: log_files.Options = log_files.Options()
    # None: no requests are recorded for warm-ups.
    warm_up: warm_up_recording.Options | None = None


class CallRecording:
    """Records calls for logs and for warm-ups.

    A context manager that closes itself. Thread-safe.
    """

    def __init__(self, options: Options, tags: Sequence[str]) -> None:
        """Has no models yet.

        Args:
          options: See Options.
          tags: The tags of the graphs that are served.
        """
        self._writer = record_writer.RecordWriter(_MAX_WAITING_BYTES)
        self._log = request_log.RequestLog(self._writer, options.log, tags)
        self._warm_up = None
        sources: list[call_records.Source] = [self._log]
        if options.warm_up is not None:
            self._warm_up = warm_up_recording.WarmUpRecording(
                self._writer, options.warm_up
            )
            sources.append(self._warm_up)
        self.recorders: Final = call_records.Recorders(sources)

    def update(self, models: model_configs.Models) -> None:
        """Takes the models of another configuration."""
        self._log.update(models)

    def follow(
        self, event: event_bus.EventAndTime[servable.ServableState]
    ) -> None:
        """Takes the news of a version, as a subscriber."""
        state = event.event
        if state.manager_state is servable.ManagerState.END and self._warm_up:
            self._warm_up.end(state.id)

    def num_logged(self) -> Mapping[tuple[str, str], int]:
        """Returns numbers of calls by model and status; see RequestLog."""
        return self._log.counts()

    def forget_others(self, models: Collection[str]) -> None:
        """Forgets numbers of all but some models."""
        self._log.forget_others(models)

    def close(self) -> None:
        """Writes what there is. Idempotent; waits for the storage."""
        self._writer.close()

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Closes itself."""
        self.close()
