"""Writes samples of the calls of models to files, as their configuration says.

Example:
    log = request_log.RequestLog(writer, log_files.Options(), tags=["serve"])
    log.update(models)
    recorders = call_records.Recorders([log])

Each record is a PredictionLog: the request as it came, the response, and who
answered when.
"""

import collections
import functools
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from absl import logging

from tensorflow_serving.apis import logging_pb2, prediction_logs
from tensorflow_serving.model_servers import (
    call_events,
    call_records,
    call_sampler,
    log_files,
    logging_configs,
    model_configs,
    record_writer,
)
from tensorflow_serving.util import clock as clock_lib
from tensorflow_serving.util import errors

_WARN_SECONDS: Final = 60.0

# Numbers of calls that were to be logged, by model and name of the status.
Counts = Mapping[tuple[str, str], int]


class RequestLog:
    """Logs calls of the models whose configuration asks for it.

    Which calls is decided for each of them anew, at random. Thread-safe.
    """

    def __init__(
        self,
        writer: record_writer.RecordWriter,
        options: log_files.Options,
        tags: Sequence[str] = (),
        clock: clock_lib.Clock = clock_lib.MONOTONIC,
    ) -> None:
        """Logs no calls yet.

        Args:
          writer: Writes the records; closed by the caller.
          options: How the files of each model end.
          tags: The tags of the graphs that are served.
          clock: Decides how old a file is.
        """
        self._writer = writer
        self._options = options
        self._tags = tags
        self._clock = clock
        self._lock = threading.Lock()
        # By name of the model. Written under _lock, as a whole, so that it can
        # be read without.
        self._loggers: Mapping[str, _Logger] = {}
        # Guarded by _lock.
        self._counts: collections.Counter[tuple[str, str]] = (
            collections.Counter()
        )

    def update(self, models: model_configs.Models) -> None:
        """Logs calls of these models from now on.

        The files of a model go on, unless others are to take their place.
        """
        with self._lock:
            known = self._loggers
            self._loggers = {
                model.name: self._logger(model.name, model.logging)
                for model in models
                if model.logging is not None
            }
            used = {id(each.files) for each in self._loggers.values()}
        for logger in known.values():
            if id(logger.files) not in used:
                self._writer.end(logger.files)

    def find(
        self, subject: call_events.Subject
    ) -> call_records.Recorder | None:
        """See call_records.Source."""
        found = self._loggers.get(subject.model)
        return found if found is not None and found.logs_any else None

    def counts(self) -> Counts:
        """Returns how many calls were logged, or were to be and are lost."""
        with self._lock:
            return dict(self._counts)

    def forget_others(self, models: Collection[str]) -> None:
        """Forgets counts of all but some models."""
        with self._lock:
            for key in [key for key in self._counts if key[0] not in models]:
                del self._counts[key]

    def _logger(
        self, name: str, config: logging_configs.LoggingConfig
    ) -> "_Logger":
        """Returns who logs calls of a model."""
        known = self._loggers.get(name)
        if known is not None and known.config == config:
            return known
        count = functools.partial(self._count, name)
        if known is not None and known.has_files_of(config):
            files = known.files
        else:
            files = log_files.LogFiles(
                config.filename_prefix, self._options, count, self._clock
            )
        return _Logger(
            config,
            files,
            functools.partial(self._writer.put, files),
            count,
            self._tags,
            clock=self._clock,
        )

    def _count(
        self, model: str, code: errors.StatusCode, num_calls: int
    ) -> None:
        with self._lock:
            self._counts[model, code.name] += num_calls


class _Logger:
    """Logs calls of a model by one configuration; a call_records.Recorder."""

    def __init__(
        self,
        config: logging_configs.LoggingConfig,
        files: log_files.LogFiles,
        put: Callable[[int, Callable[[], None]], bool],
        count: Callable[[errors.StatusCode, int], None],
        tags: Sequence[str],
        *,
        clock: clock_lib.Clock,
    ) -> None:
        """Makes a recorder.

        Args:
          config: Says which calls.
          files: Where to, on the thread of the writer.
          put: See RecordWriter.put(), without the sink.
          count: Counts calls by their status.
          tags: See RequestLog.
          clock: See RequestLog.
        """
        self.config = config
        self.files = files
        self._put = put
        self._count = count
        self._sampler = call_sampler.CallSampler(config.sampling_rate)
        self._metadata = logging_pb2.LogMetadata(
            sampling_config=logging_configs.to_proto(config).sampling_config,
            saved_model_tags=tags,
        )
        self._clock = clock
        # When to say again that calls are left out.
        self._warn_time = 0.0

    @property
    def logs_any(self) -> bool:
        """Whether any call can be chosen."""
        return self.config.sampling_rate > 0

    def has_files_of(self, config: logging_configs.LoggingConfig) -> bool:
        """Returns whether files of another configuration are the same."""
        return self.config.filename_prefix == config.filename_prefix

    def succeeded(
        self, num_calls: int, record: Callable[[int], call_records.Record]
    ) -> None:
        """See call_records.Recorder."""
        for index in self._sampler.choose(num_calls):
            chosen = record(index)
            write = functools.partial(self._write, chosen)
            if not self._put(chosen.num_bytes, write):
                self._count(errors.StatusCode.RESOURCE_EXHAUSTED, 1)
                self._warn()

    def _warn(self) -> None:
        """Says now and then that calls are left out."""
        now = self._clock.now()
        if now >= self._warn_time:
            self._warn_time = now + _WARN_SECONDS
            logging.warning(
                "Calls come faster than they can be logged to %s-*; some are "
                "left out",
                self.config.filename_prefix,
            )

    def _write(self, record: call_records.Record) -> None:
        """Writes a record; runs on the thread of the writer."""
        try:
            data = self._encoded(record)
        except Exception:
            self._count(errors.StatusCode.INTERNAL, 1)
            raise  # to be logged
        self.files.write(data)

    def _encoded(self, record: call_records.Record) -> bytes:
        subject = record.subject
        metadata = logging_pb2.LogMetadata(
            model_spec=subject.spec(),
            timestamp_secs=int(record.end_time),
        )
        metadata.MergeFrom(self._metadata)
        messages = record.messages()
        return prediction_logs.encode(
            subject.method, metadata, messages.request, messages.response
        )
