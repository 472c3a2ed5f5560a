"""Which models a server serves: from a ModelServerConfig to checked values.

Example:
    models = model_configs.parse(model_configs.read("/etc/models.config"))
"""

import dataclasses
import os
from collections.abc import KeysView, Mapping, Sequence
from typing import Final

from tensorflow_serving.config import model_server_config_pb2
from tensorflow_serving.model_servers import logging_configs, text_files
from tensorflow_serving.sources.storage_path import (
    file_system_storage_path_source,
    storage_path_config,
)
from tensorflow_serving.util import errors

PLATFORM: Final = "tensorflow"

_TENSORFLOW_TYPE: Final = model_server_config_pb2.TENSORFLOW


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """A model to serve, and which of its versions.

    Raises:
      InvalidArgumentError: A name or path is not what it must be.
    """

    name: str
    base_path: str
    version_policy: storage_path_config.VersionPolicy = (
        file_system_storage_path_source.Latest()
    )
    # Versions by label.
    version_labels: Mapping[str, int] = dataclasses.field(default_factory=dict)
    # How many calls may be without a reply in one process; 0: any number.
    max_concurrent_calls: int = 0
    # None: its calls are not logged.
    logging: logging_configs.LoggingConfig | None = None

    def __post_init__(self) -> None:
        """Checks the values."""
        if not self.name:
            raise errors.InvalidArgumentError(
                'name of a model must be a text, such as "mnist"; got none for '
                f"the model in {self.base_path or 'no base_path'}"
            )
        if not os.path.isabs(self.base_path) or "\0" in self.base_path:
            raise errors.InvalidArgumentError(
                f"base_path of model {self.name} must be an absolute path of "
                f'this machine, such as "/models/{self.name}"; got '
                f'"{self.base_path}"'
            )
        if self.max_concurrent_calls < 0:
            raise errors.InvalidArgumentError(
                f"max_concurrent_calls of model {self.name} must be at least "
                f"0; got {self.max_concurrent_calls}"
            )
        for label, version in self.version_labels.items():
            if not label or version < 0:
                raise errors.InvalidArgumentError(
                    f"version_labels of model {self.name} must be names of "
                    f'versions of at least 0; got "{label}" for {version}'
                )

    @property
    def monitored(self) -> file_system_storage_path_source.ServableToMonitor:
        """The servable that a source has to poll."""
        return file_system_storage_path_source.ServableToMonitor(
            self.name, self.base_path, self.version_policy
        )


# All models of a configuration.
Models = tuple[ModelConfig, ...]


def parse(
    config: model_server_config_pb2.ModelServerConfig,
) -> Models:
    """Returns the models of a configuration.

    Raises:
      InvalidArgumentError: There are problems(), which are all in the text.
        Permanent.
    """
    models, texts = _parse(config)
    if texts:
        raise errors.InvalidArgumentError("; ".join(texts))
    return tuple(models)


def to_proto(models: Models) -> model_server_config_pb2.ModelServerConfig:
    """Returns a configuration from which parse() makes the models."""
    result = model_server_config_pb2.ModelServerConfig()
    result.model_config_list.SetInParent()
    for model in models:
        config = result.model_config_list.config.add(
            name=model.name,
            base_path=model.base_path,
            model_platform=PLATFORM,
            version_labels=model.version_labels,
            max_concurrent_calls=model.max_concurrent_calls,
            logging_config=(
                model.logging and logging_configs.to_proto(model.logging)
            ),
        )
        policy = config.model_version_policy
        match model.version_policy:
            case storage_path_config.Latest(num_versions):
                policy.latest.num_versions = num_versions
            case storage_path_config.Specific(versions):
                policy.specific.SetInParent()
                policy.specific.versions.extend(versions)
            case storage_path_config.All():
                policy.all.SetInParent()
    return result


def problems(
    config: model_server_config_pb2.ModelServerConfig,
) -> Sequence[str]:
    """Returns what is wrong with a configuration, a sentence for each.

    A value is not allowed, two models have one name, or the configuration is
    not a list of models.
    """
    _, texts = _parse(config)
    return texts


def read(path: str) -> model_server_config_pb2.ModelServerConfig:
    """Returns the configuration in a file in text format.

    Raises:
      InvalidArgumentError: It is not a ModelServerConfig; the text names file
        and line. Permanent.
      NotFoundError: There is no such file. Permanent.
      UnavailableError: It cannot be read. Transient.
    """
    try:
        text = text_files.read_text(path)
    except FileNotFoundError:
        raise errors.NotFoundError(
            f"--model_config_file must be a file that is there; got {path}"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise errors.UnavailableError(
            "--model_config_file must be a file that can be read; got "
            f"{path} ({errors.reason(error)})"
        ) from None
    config = model_server_config_pb2.ModelServerConfig()
    try:
        return text_files.parse(path, text, config)
    except errors.InvalidArgumentError as error:
        # Test suites that start TensorFlow Serving look for this text.
        raise errors.InvalidArgumentError(
            "Error parsing text-format tensorflow.serving.ModelServerConfig: "
            f"{error}"
        ) from None


def wanted_versions(
    policy: storage_path_config.VersionPolicy, found: Mapping[int, str]
) -> Sequence[int]:
    """Returns the versions that a policy chooses."""
    if isinstance(policy, storage_path_config.Specific):
        return policy.versions
    versions = sorted(found)
    if isinstance(policy, storage_path_config.Latest):
        return versions[-policy.num_versions :]
    return versions


def names(models: Sequence[ModelConfig]) -> list[str]:
    """Returns the names of models, in order."""
    return [model.name for model in models]


def name_keys(models: Sequence[ModelConfig]) -> KeysView[str]:
    """Returns the names of models, in order, as keys that are found fast."""
    return dict.fromkeys(names(models)).keys()


def _parse(
    config: model_server_config_pb2.ModelServerConfig,
) -> tuple[list[ModelConfig], list[str]]:
    """Returns the models that are valid, and what is wrong with others."""
    if config.WhichOneof("config") == "custom_model_config":
        return [], [
            "config must be a model_config_list; got a custom_model_config"
        ]
    models: dict[str, ModelConfig] = {}
    texts = []
    for each in config.model_config_list.config:
        try:
            model = _parse_model(each)
        except errors.InvalidArgumentError as error:
            texts.append(str(error))
            continue
        if model.name in models:
            texts.append(
                f"name of a model must be unique; got {model.name} again"
            )
        models[model.name] = model
    return list(models.values()), texts


def _parse_model(config: model_server_config_pb2.ModelConfig) -> ModelConfig:
    if config.model_type and config.model_platform:
        raise errors.InvalidArgumentError(
            f"model {config.name} must have a model_platform or the older "
            "model_type; got both"
        )
    platform = config.model_platform
    if config.model_type == _TENSORFLOW_TYPE:
        platform = PLATFORM
    if platform != PLATFORM:
        raise errors.InvalidArgumentError(
            f'model_platform of model {config.name} must be "{PLATFORM}"; got '
            f'"{platform}"'
        )
    logging = None
    if config.HasField("logging_config"):
        logging = logging_configs.parse(config.name, config.logging_config)
    return ModelConfig(
        config.name,
        config.base_path,
        _policy(config),
        dict(config.version_labels),
        config.max_concurrent_calls,
        logging,
    )


def _policy(
    config: model_server_config_pb2.ModelConfig,
) -> storage_path_config.VersionPolicy:
    policy = config.model_version_policy
    kind = policy.WhichOneof("policy_choice")
    if any(version < 0 for version in policy.specific.versions):
        raise errors.InvalidArgumentError(
            f"versions of model {config.name} must be at least 0; got "
            f"{min(policy.specific.versions)}"
        )
    if kind == "all":
        return file_system_storage_path_source.All()
    if kind == "specific":
        return file_system_storage_path_source.Specific(
            tuple(policy.specific.versions)
        )
    return file_system_storage_path_source.Latest(
        policy.latest.num_versions or 1
    )
