"""The definition of a type of operations, as far as serving needs it."""

import dataclasses
from typing import Final

from tensorflow_serving.tensorflow_c.protos import op_def_pb2

_FUNCTION_TYPES = ("func", "list(func)")
# Operations that TensorFlow does not call stateful, though they end the
# process, send or write what they see, or call Python.
_WITH_EFFECT: Final = {
    *("Abort", "DebugIdentity", "DebugNanCount", "DebugNumericSummary"),
    "PyFuncStateless",
}


@dataclasses.dataclass(frozen=True)
class OpDefinition:
    """The part of an OpDef that serving needs."""

    name: str
    # Whether running it may depend on, or have, effects outside of the run.
    is_stateful: bool
    # Whether one of its outputs is a reference to a variable.
    has_reference: bool
    # The attributes that name functions which it calls.
    function_attributes: tuple[str, ...]
    # The attributes that are a number of inputs or outputs.
    length_attributes: frozenset[str]

    @classmethod
    def parse(cls, op_def: bytes) -> "OpDefinition":
        """Takes it from a serialized OpDef."""
        message = op_def_pb2.OpDef.FromString(op_def)
        return cls(
            message.name,
            message.is_stateful
            or message.name in _WITH_EFFECT
            # TensorFlow has it that only what makes a variable is stateful.
            or any(argument.is_ref for argument in message.input_arg),
            any(output.is_ref for output in message.output_arg),
            tuple(
                attribute.name
                for attribute in message.attr
                if attribute.type in _FUNCTION_TYPES
            ),
            frozenset(
                argument.number_attr
                for argument in (*message.input_arg, *message.output_arg)
                if argument.number_attr
            ),
        )
