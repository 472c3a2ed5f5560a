"""GetModelMetadata: what a model can be asked."""

from typing import Final

from tensorflow_serving.apis import get_model_metadata_pb2
from tensorflow_serving.servables.tensorflow import inference
from tensorflow_serving.util import errors

_SIGNATURE_DEF: Final = "signature_def"


def get_model_metadata(
    version: inference.Version,
    request: get_model_metadata_pb2.GetModelMetadataRequest,
) -> get_model_metadata_pb2.GetModelMetadataResponse:
    """Returns the signatures of a model.

    Raises:
      InvalidArgumentError: The request asks for something else, or for
        nothing. Permanent.
    """
    require_fields(request)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    for name, definition in version.model.signature_defs.items():
        signatures.signature_def[name].CopyFrom(definition)
    response = get_model_metadata_pb2.GetModelMetadataResponse(
        model_spec=version.spec()
    )
    response.metadata[_SIGNATURE_DEF].Pack(signatures)
    return response


def require_fields(
    request: get_model_metadata_pb2.GetModelMetadataRequest,
) -> None:
    """Checks what a request asks for.

    Raises:
      InvalidArgumentError: See get_model_metadata().
    """
    if not request.metadata_field:
        raise errors.InvalidArgumentError(
            f'metadata_field must be "{_SIGNATURE_DEF}"; got none'
        )
    for field in request.metadata_field:
        if field != _SIGNATURE_DEF:
            raise errors.InvalidArgumentError(
                f'metadata_field must be "{_SIGNATURE_DEF}"; got {field}'
            )
