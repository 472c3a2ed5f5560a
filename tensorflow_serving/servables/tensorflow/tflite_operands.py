"""Operators of TFLite that trust a number, and whether a caller chooses it.

With a number that no model of its own would give them, these operators read
memory that is not theirs or divide by zero, and the process ends.
"""

from typing import Final

from tensorflow_serving.sources.storage_path import tflite_file
from tensorflow_serving.util import errors

# By the code of an operator: its name, and the operand that it trusts. Found by
# calling models of each operator with extreme numbers.
_TRUSTING: Final = {
    95: ("FLOOR_MOD", 1),
    112: ("REVERSE_SEQUENCE", 1),
    146: ("RANDOM_STANDARD_NORMAL", 0),
    148: ("RANDOM_UNIFORM", 0),
}
# Operators whose outputs do not depend on the elements of a tensor.
_SHAPE, _RANK = 77, 110
_FLOAT32: Final = 0


def require_none_chosen_by_callers(model: tflite_file.Model) -> None:
    """Refuses a model that one call could end the process with.

    Raises:
      FailedPreconditionError: It is one; the text says which operator it is.
        Permanent.
    """
    for graph in model.subgraphs:
        # The tensors with elements that follow from those of inputs.
        chosen = {*graph.inputs}
        for operator in graph.operators:
            name, position = _TRUSTING.get(operator.code, ("", 0))
            trusted = operator.inputs[position : position + 1] if name else ()
            if any(
                index in chosen and graph.tensors[index].type != _FLOAT32
                for index in trusted
            ):
                raise errors.FailedPreconditionError(
                    "operators of a TFLite model must not trust a number that "
                    f"callers choose; got {name}. Serve its SavedModel"
                )
            if operator.code not in (_SHAPE, _RANK) and not chosen.isdisjoint(
                operator.inputs
            ):
                chosen.update(operator.outputs)
