"""The memory that workers with copies of all models take."""

from collections.abc import Callable, Sequence
from typing import Final

from tensorflow_serving.model_servers import model_configs
from tensorflow_serving.sources.storage_path import version_folder
from tensorflow_serving.util import errors

# A worker without models, by its private memory, and the libraries that all
# workers share: measured with TensorFlow 2.21.
_PROCESS_BYTES: Final = 80 << 20
_LIBRARY_BYTES: Final = 360 << 20


def require(
    num_workers: int,
    models: Sequence[model_configs.ModelConfig],
    estimate: Callable[[str], int],
    total_bytes: int | None,
) -> None:
    """Checks that workers with all models fit into the memory.

    Args:
      num_workers: How many there will be.
      models: The models of each of them.
      estimate: Returns the bytes that the version in a folder takes.
      total_bytes: How much memory there is; None if that is unknown.

    Raises:
      ResourceExhaustedError: They do not; the text has the arithmetic.
    """
    model_bytes = sum(
        _estimate(estimate, path) for path in _wanted_paths(models)
    )
    needed_bytes = _LIBRARY_BYTES + num_workers * (_PROCESS_BYTES + model_bytes)
    if total_bytes is not None and needed_bytes > total_bytes:
        raise errors.ResourceExhaustedError(
            f"--num_workers={num_workers} must leave room for a copy of all "
            f"models in each worker: {_mib(_LIBRARY_BYTES)} of libraries + "
            f"{num_workers} x ({_mib(_PROCESS_BYTES)} of a process + "
            f"{_mib(model_bytes)} of models, as estimated) = "
            f"{_mib(needed_bytes)}; got {_mib(total_bytes)} of memory"
        )


def _wanted_paths(
    models: Sequence[model_configs.ModelConfig],
) -> Sequence[str]:
    """Returns the folders of the versions that a server will load."""
    paths: list[str] = []
    for model in models:
        try:
            found = version_folder.find_versions(model.base_path).paths
        except errors.ServingError:
            continue  # it has no version yet, which is no reason not to start
        wanted = model_configs.wanted_versions(model.version_policy, found)
        paths.extend(found[each] for each in wanted if each in found)
    return paths


def _estimate(estimate: Callable[[str], int], path: str) -> int:
    try:
        return estimate(path)
    except errors.ServingError:
        return 0  # the load will say why


def _mib(num_bytes: int) -> str:
    return f"{num_bytes / (1 << 20):,.0f} MiB"
