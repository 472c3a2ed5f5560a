"""Messages in the collections of a MetaGraphDef."""

from typing import TypeVar

from google.protobuf import any_pb2, message

from tensorflow_serving.tensorflow_c.protos import meta_graph_pb2
from tensorflow_serving.util import errors

MessageT = TypeVar("MessageT", bound=message.Message)


def pack(value: message.Message) -> any_pb2.Any:
    """Returns a message as an item of a collection."""
    packed = any_pb2.Any()
    packed.Pack(value)
    return packed


def unpack_all(
    meta_graph_def: meta_graph_pb2.MetaGraphDef,
    key: str,
    message_class: type[MessageT],
) -> list[MessageT]:
    """Returns the messages in a collection; none if there is no collection.

    Args:
      meta_graph_def: A MetaGraphDef.
      key: The name of the collection, of Any messages.
      message_class: What each of them must hold.

    Raises:
      FailedPreconditionError: One holds something else. Permanent.
    """
    if key not in meta_graph_def.collection_def:
        return []
    values = []
    for packed in meta_graph_def.collection_def[key].any_list.value:
        value = message_class()
        try:
            unpacked = packed.Unpack(value)
        except message.DecodeError:
            unpacked = False
        if not unpacked:
            raise errors.FailedPreconditionError(
                f"Expected Any type_url for {value.DESCRIPTOR.full_name}: each "
                f"value of the collection {key} must hold one; got "
                f"{packed.type_url or 'no type'} of {len(packed.value)} bytes"
            )
        values.append(value)
    return values
