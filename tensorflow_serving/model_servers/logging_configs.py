"""Which calls of a model are logged, and where: a LoggingConfig, checked.

Example:
    logging_configs.parse("m", config.logging_config)
"""

import dataclasses
import os
from typing import Final

from tensorflow_serving.config import (
    log_collector_config_pb2,
    logging_config_pb2,
)
from tensorflow_serving.util import errors

# The type of the only collector: files in TFRecord format.
FILE: Final = "file"


@dataclasses.dataclass(frozen=True)
class LoggingConfig:
    """Where calls of a model are logged, and how many of them.

    Raises:
      InvalidArgumentError: A value is not what it must be.
    """

    # Paths of files begin with it.
    filename_prefix: str
    # The share of calls, from 0 to 1.
    sampling_rate: float

    def __post_init__(self) -> None:
        """Checks the values."""
        prefix = self.filename_prefix
        if (
            not os.path.isabs(prefix)
            or not os.path.basename(prefix)
            or "\0" in prefix
        ):
            raise errors.InvalidArgumentError(
                "filename_prefix must be an absolute path to which the rest of "
                f'a name is added, such as "/var/log/serving/mnist"; got '
                f'"{prefix}"'
            )
        if not 0 <= self.sampling_rate <= 1:
            raise errors.InvalidArgumentError(
                "sampling_rate must be from 0, no call, to 1, all of them; "
                f"got {self.sampling_rate:g}"
            )

    @property
    def folder(self) -> str:
        """The folder of the files."""
        return os.path.dirname(self.filename_prefix)


def parse(
    model: str, config: logging_config_pb2.LoggingConfig
) -> LoggingConfig:
    """Returns how calls of a model are logged.

    Raises:
      InvalidArgumentError: A field is not what it must be; the text names it
        and the model. Permanent.
    """
    try:
        return _parse(config)
    except errors.InvalidArgumentError as error:
        raise errors.InvalidArgumentError(
            f"logging_config of model {model}: {error}"
        ) from None


def to_proto(config: LoggingConfig) -> logging_config_pb2.LoggingConfig:
    """Returns a message of which parse() makes the same."""
    return logging_config_pb2.LoggingConfig(
        log_collector_config=log_collector_config_pb2.LogCollectorConfig(
            type=FILE, filename_prefix=config.filename_prefix
        ),
        sampling_config=logging_config_pb2.SamplingConfig(
            sampling_rate=config.sampling_rate
        ),
    )


def _parse(config: logging_config_pb2.LoggingConfig) -> LoggingConfig:
    if config.HasField("custom_logging_config"):
        raise errors.InvalidArgumentError(
            "custom_logging_config must not be given, as nobody can read it; "
            "got one"
        )
    collector, sampling = config.log_collector_config, config.sampling_config
    if collector.type != FILE:
        raise errors.InvalidArgumentError(
            f'type must be "{FILE}"; got "{collector.type}"'
        )
    if sampling.per_task_sampling_configs or sampling.attributes:
        raise errors.InvalidArgumentError(
            "sampling_config must be a sampling_rate alone; got attributes or "
            "per_task_sampling_configs"
        )
    return LoggingConfig(collector.filename_prefix, sampling.sampling_rate)
