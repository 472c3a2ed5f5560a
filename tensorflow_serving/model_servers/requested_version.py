"""Which version of a model a request is for."""

from collections.abc import Callable

from tensorflow_serving.apis import model_pb2
from tensorflow_serving.core import servable
from tensorflow_serving.model_servers import version_labels
from tensorflow_serving.util import errors


def find(
    spec: model_pb2.ModelSpec,
    labels: version_labels.Labels,
    is_available: Callable[[str, int], bool],
) -> servable.ServableRequest:
    """Returns the version that a request names.

    Version 0 is the newest one as well, unless the model has a version of
    that number.

    Args:
      spec: What the request says.
      labels: The labels of all models.
      is_available: Whether a version of a model answers requests.

    Raises:
      InvalidArgumentError: The name is empty, or the model has no such label.
        Permanent.
    """
    if not spec.name:
        raise errors.InvalidArgumentError("ModelSpec has no name specified")
    match spec.WhichOneof("version_choice"):
        case "version_label":
            return servable.ServableRequest.specific(
                spec.name,
                version_labels.version(labels, spec.name, spec.version_label),
            )
        case "version" if spec.version.value or is_available(spec.name, 0):
            return servable.ServableRequest.specific(
                spec.name, spec.version.value
            )
    return servable.ServableRequest.latest(spec.name)


def not_found(request: servable.ServableRequest) -> errors.NotFoundError:
    """Returns the error for a version that is not there.

    Clients know this text, which is that of TensorFlow Serving.
    """
    text = (
        f"Latest({request.name})"
        if request.version is None
        else f"Specific({request.name}, {request.version})"
    )
    return errors.NotFoundError(f"Servable not found for request: {text}")
