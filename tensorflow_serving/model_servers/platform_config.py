"""How models are loaded, as the file of a PlatformConfigMap has it.

platform_configs {
key: "tensorflow"
value {
source_adapter_config {
[type.googleapis.com/tensorflow.serving.SavedModelBundleSourceAdapterConfig] {
legacy_config {
saved_model_tags: "serve"
batching_parameters { max_batch_size { value: 32 } }
}
}
}
}
}
"""

from collections.abc import Sequence
from typing import Final

from absl import flags

from tensorflow_serving.config import platform_config_pb2
from tensorflow_serving.model_servers import model_configs, text_files
from tensorflow_serving.servables.tensorflow import (
    saved_model_bundle_source_adapter_pb2,
    session_bundle_config_pb2,
)
from tensorflow_serving.util import errors

# Each asks for something that happens anyway, or that nothing here can change.
_WITHOUT_EFFECT: Final = {
    "session_run_load_threadpool_index",
    "experimental_transient_ram_bytes_during_load",
    "enable_session_metadata",
    "resource_estimation_uses_validation_result",
    "wrap_session_with_no_threading_params",
    "enable_saved_model_config",
    "num_model_warmup_threads",
    "enable_all_batch_sizes_warmup",
}


def read(
    flag: flags.FlagHolder[str],
) -> session_bundle_config_pb2.SessionBundleConfig:
    """Returns the configuration in the file of a flag.

    Raises:
      InvalidArgumentError: The file cannot be read, is something else, or is
        for another platform; the text names the flag. Permanent.
    """
    platforms = text_files.read(
        flag, platform_config_pb2.PlatformConfigMap()
    ).platform_configs
    if list(platforms) != [model_configs.PLATFORM]:
        raise errors.InvalidArgumentError(
            f"--{flag.name} must be for the platform "
            f'"{model_configs.PLATFORM}"; got {sorted(platforms)}: {flag.value}'
        )
    adapter = saved_model_bundle_source_adapter_pb2
    config = adapter.SavedModelBundleSourceAdapterConfig()
    if not platforms[model_configs.PLATFORM].source_adapter_config.Unpack(
        config
    ):
        raise errors.InvalidArgumentError(
            f"--{flag.name} must have a {config.DESCRIPTOR.full_name} as "
            f"source_adapter_config; got something else: {flag.value}"
        )
    return config.legacy_config


def fields_without_effect(flag: flags.FlagHolder[str]) -> Sequence[str]:
    """Returns the fields in the file of a flag that change nothing here.

    Raises:
      InvalidArgumentError: See read().
    """
    config = read(flag)
    return [
        field.name
        for message in (config, config.model_warmup_options)
        for field, _ in message.ListFields()
        if field.name in _WITHOUT_EFFECT
    ]
