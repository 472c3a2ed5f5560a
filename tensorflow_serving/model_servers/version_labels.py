"""Labels for versions, such as "stable" and "canary"."""

from collections.abc import Callable, Mapping, Sequence

from tensorflow_serving.model_servers import model_configs
from tensorflow_serving.util import errors

# By name of the model, then by label.
Labels = Mapping[str, Mapping[str, int]]


def assigned(
    models: Sequence[model_configs.ModelConfig],
    before: Labels,
    is_available: Callable[[str, int], bool],
    *,
    allows_unavailable: bool,
) -> Labels:
    """Returns the labels of a new configuration.

    Args:
      models: The configuration.
      before: The labels until now.
      is_available: Whether a version of a model answers requests.
      allows_unavailable: Whether a label that is new, or stays where it is,
        may point at a version that is not available.

    Raises:
      FailedPreconditionError: A label points at a version that is not
        available, and may not. Permanent.
    """
    labels: dict[str, dict[str, int]] = {}
    for model in models:
        own = labels[model.name] = {}
        for label, version in model.version_labels.items():
            old = before.get(model.name, {}).get(label)
            is_move = old not in (None, version)
            if not is_available(model.name, version) and (
                is_move or not allows_unavailable
            ):
                raise errors.FailedPreconditionError(
                    f"version {version} of model {model.name}, to which the "
                    f"label {label} should point, is not currently available "
                    "for inference; assign the label when it is, or start the "
                    "server with "
                    "--allow_version_labels_for_unavailable_models for labels "
                    "that are new"
                )
            own[label] = version
    return labels


def version(labels: Labels, name: str, label: str) -> int:
    """Returns the version that a label points at.

    Raises:
      InvalidArgumentError: The model has no such label. Permanent.
    """
    own = labels.get(name, {})
    if label not in own:
        raise errors.InvalidArgumentError(
            f"Unrecognized servable version label: {label} of model {name}; "
            f"labels are {sorted(own)}"
        )
    return own[label]
