"""A graph, which can be imported, asked about its tensors, and run."""

import ctypes
import dataclasses
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Final

from tensorflow_serving.tensorflow_c import (
    buffer,
    graph_content,
    library,
    op_definition,
    status,
    wire_format,
)
from tensorflow_serving.tensorflow_c.protos import attr_value_pb2
from tensorflow_serving.util import errors, tensor_spec

# More inputs or outputs than an operation has, or columns than a file has.
_MAX_LENGTH: Final = (1 << 21) - 1
# The most that an attribute may be for which TensorFlow allocates memory, or
# which it takes for an int, without a check.
_MAX_NUMBERS: Final = {
    "key_index": _MAX_LENGTH,
    "value_index": _MAX_LENGTH,
    "vocab_size": 1 << 28,
}
_OPS_WITH_MAX_NUMBERS: Final = {
    "InitializeTableFromTextFile",
    "InitializeTableFromTextFileV2",
}


def tensor_name(name: str) -> str:
    """Returns the whole name of a tensor: TensorFlow takes "y" for "y:0"."""
    return name if ":" in name else f"{name}:0"


@dataclasses.dataclass(frozen=True)
class TensorInfo:
    """Name, type and shape of a tensor of a graph."""

    name: str
    # See data_type; that of the value for a reference.
    data_type: int
    # None for a dimension of any size; None instead of a tuple for any shape.
    shape: tuple[int | None, ...] | None

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Returns whether an array of a shape can be the value."""
        return self.shape is None or tensor_spec.fits(self.shape, shape)


class Graph:
    """Operations that a session runs; a TF_Graph.

    Import one GraphDef, then give it to a session, which closes it.

    Thread-safe once it is imported.
    """

    def __init__(self) -> None:
        """Makes an empty one."""
        self._functions = library.load().functions
        # The pointer that sessions use; None once the graph is closed.
        self.pointer: int | None = self._functions.TF_NewGraph()
        # The content of what was imported.
        self.content = graph_content.EMPTY

    def __repr__(self) -> str:
        """Returns whether it is open."""
        return f"<Graph {'closed' if self.pointer is None else 'open'}>"

    def import_graph_def(self, graph_def: wire_format.Message) -> None:
        """Adds the operations and functions of a GraphDef, to an empty graph.

        Attributes that a newer TensorFlow has set and this one does not know
        are ignored; TensorFlow says so in the log.

        Does not hold the GIL but to look at the types of the operations.

        Raises:
          DataLossError: The message is not a GraphDef, or not all of one.
            Permanent.
          InvalidArgumentError: An attribute has a number, or a loop has inputs,
            with which TensorFlow would take all memory, or crash. Permanent.
          ServingError: What TensorFlow says of a graph that it cannot import.
        """
        try:
            self.content = graph_content.GraphContent.of(graph_def)
        except wire_format.MalformedError as error:
            raise errors.DataLossError(
                f"graph must be a GraphDef; got {error}"
            ) from None
        self._require_plausible()
        functions = self._functions
        view = buffer.View(graph_def.view())
        options = functions.TF_NewImportGraphDefOptions()
        try:
            with status.Status() as imported:
                functions.TF_GraphImportGraphDef(
                    self.pointer,
                    ctypes.byref(view.struct),
                    options,
                    imported.pointer,
                )
                imported.check()
        finally:
            functions.TF_DeleteImportGraphDefOptions(options)

    def add_operation(
        self,
        op: str,
        name: str,
        inputs: Sequence[str] = (),
        types: Mapping[str, int] = {},
        *,
        after: Sequence[str] = (),
    ) -> None:
        """Adds an operation.

        Args:
          op: The type of the operation, which TensorFlow must know.
          name: The name of the operation.
          inputs: Names of tensors of the graph.
          types: Attributes that are data types, by name; others have their
            defaults, or follow from the inputs.
          after: Names of operations that a run must have done before.

        Raises:
          InvalidArgumentError: There is an operation with the name, or an input
            or another operation is not in the graph, or of the wrong type.
            Permanent.
        """
        functions = self._functions
        outputs = [self.output(each) for each in inputs]
        controls = [self.operation(each) for each in after]
        with status.Status() as added:
            description = functions.TF_NewOperation(
                self.pointer, op.encode(), name.encode()
            )
            for output in outputs:
                functions.TF_AddInput(description, output)
            for control in controls:
                functions.TF_AddControlInput(description, control)
            for attribute, number in types.items():
                functions.TF_SetAttrType(
                    description, attribute.encode(), number
                )
            functions.TF_FinishOperation(description, added.pointer)
            added.check()

    def has_operation(self, name: str) -> bool:
        """Returns whether there is an operation with a name."""
        return self._find(name) is not None

    def operation(self, name: str) -> int:
        """Returns a pointer to an operation, which lives as long as the graph.

        Raises:
          InvalidArgumentError: There is no such operation. Permanent.
        """
        operation = self._find(name)
        if operation is None:
            raise _wrong_name(name, "no operation of the name")
        return operation

    def output(self, name: str) -> library.Output:
        """Returns a tensor by its name, such as "y:0".

        Raises:
          InvalidArgumentError: There is no such tensor. Permanent.
        """
        operation_name, colon, index = name.rpartition(":")
        if not colon or not index.isdecimal():
            raise _wrong_name(name, "not the name of a tensor, such as y:0")
        operation = self._find(operation_name)
        if operation is None:
            raise _wrong_name(name, f"no operation {operation_name!r}")
        num_outputs = self._functions.TF_OperationNumOutputs(operation)
        if int(index) >= num_outputs:
            raise _wrong_name(name, f"an operation with {num_outputs} outputs")
        return library.Output(operation, int(index))

    def tensor_info(self, name: str) -> TensorInfo:
        """Returns what is known of a tensor.

        Raises:
          InvalidArgumentError: There is no such tensor. Permanent.
        """
        output = self.output(name)
        return TensorInfo(
            name, self.output_type(output) % 100, self._shape(output)
        )

    def output_type(self, output: library.Output) -> int:
        """Returns the data type of a tensor, which may be a reference."""
        return int(self._functions.TF_OperationOutputType(output))

    def op_type(self, name: str) -> str:
        """Returns the type of an operation, such as "MatMul".

        Raises:
          InvalidArgumentError: There is no such operation. Permanent.
        """
        return _text(self._functions.TF_OperationOpType(self.operation(name)))

    def does_nothing(self, name: str) -> bool:
        """Returns whether an operation is there, and its run changes nothing.

        Its type says so, and it waits for no other.
        """
        operation = self._find(name)
        return (
            operation is not None
            and self.op_type(name) == "NoOp"
            and not any(self._inputs(operation, set()))
        )

    def device(self, name: str) -> str:
        """Returns the device that an operation asks for; empty for any.

        Raises:
          InvalidArgumentError: There is no such operation. Permanent.
        """
        return _text(self._functions.TF_OperationDevice(self.operation(name)))

    def op_definition(self, op: str) -> op_definition.OpDefinition:
        """Returns the definition of a type of operations.

        Raises:
          NotFoundError: TensorFlow does not know it. Permanent.
        """
        with status.Status() as got, buffer.output() as found:
            self._functions.TF_GraphGetOpDef(
                self.pointer, op.encode(), found, got.pointer
            )
            got.check()
            return op_definition.OpDefinition.parse(buffer.to_bytes(found))

    def stateful_ops(
        self, fetches: Sequence[str], feeds: Sequence[str] = ()
    ) -> frozenset[str]:
        """Returns the types of stateful operations that a run may run.

        Those of the functions that are called are included.

        Args:
          fetches: Names of tensors or operations.
          feeds: Names of tensors; what leads to them only is not run.

        Raises:
          InvalidArgumentError: There is no such tensor or operation. Permanent.
          NotFoundError: A function has an operation that TensorFlow does not
            know. Permanent.
        """
        ops: set[str] = set()
        called: set[str] = set()
        definitions: dict[str, op_definition.OpDefinition] = {}
        for operation, op in self._reached(fetches, feeds):
            ops.add(op)
            if op not in definitions:
                definitions[op] = self.op_definition(op)
            for attribute in definitions[op].function_attributes:
                called.update(self._functions_of(operation, attribute))
        functions = self.content.functions.keys()
        ops |= self.content.closure(called | (ops & functions))
        return frozenset(
            op for op in ops - functions if self.op_definition(op).is_stateful
        )

    def attribute(self, name: str, attribute: str) -> attr_value_pb2.AttrValue:
        """Returns an attribute of an operation.

        Raises:
          InvalidArgumentError: There is no such operation or attribute.
            Permanent.
        """
        return self._attribute(self.operation(name), attribute)

    def reached(
        self, fetches: Sequence[str], feeds: Sequence[str], ops: Set[str]
    ) -> list[str]:
        """Returns the names of operations of some types that a run may run.

        Operations of functions are not among them.

        Args:
          fetches: Names of tensors or operations.
          feeds: Names of tensors; what leads to them only is not run.
          ops: Types of operations.

        Raises:
          InvalidArgumentError: There is no such tensor or operation. Permanent.
        """
        return [
            self._functions.TF_OperationName(operation).decode()
            for operation, op in self._reached(fetches, feeds)
            if op in ops
        ]

    def close(self) -> None:
        """Frees it, once no session has it. Idempotent."""
        pointer, self.pointer = self.pointer, None
        if pointer is not None:
            self._functions.TF_DeleteGraph(pointer)

    def __enter__(self) -> "Graph":
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Frees the graph."""
        self.close()

    def _reached(
        self, fetches: Sequence[str], feeds: Sequence[str]
    ) -> Iterator[tuple[int, str]]:
        """Yields each operation of a run, with its type.

        What functions hold is not part of it.
        """
        fed = {
            (output.operation, output.index)
            for output in map(self.output, feeds)
        }
        waiting = [
            self.output(name).operation if ":" in name else self.operation(name)
            for name in fetches
            if name not in feeds
        ]
        seen = set(waiting)
        while waiting:
            operation = waiting.pop()
            yield (
                operation,
                _text(self._functions.TF_OperationOpType(operation)),
            )
            for before in self._inputs(operation, fed):
                if before not in seen:
                    seen.add(before)
                    waiting.append(before)

    def _require_plausible(self) -> None:
        """Checks values that TensorFlow uses without a check."""
        for name in self.content.broken_loops:
            raise errors.InvalidArgumentError(
                f"operation {name} of a loop must have two inputs; got more"
            )
        for number in self.content.odd_numbers:
            if number.op in self.content.functions:
                continue
            try:
                definition = self.op_definition(number.op)
            except errors.NotFoundError:
                continue  # which an import says better
            least, most = number.value, number.value
            if number.attribute in definition.length_attributes:
                least, most = 0, _MAX_LENGTH
            elif number.op in _OPS_WITH_MAX_NUMBERS:
                most = _MAX_NUMBERS.get(number.attribute, most)
            if not least <= number.value <= most:
                raise errors.InvalidArgumentError(
                    f"attribute {number.attribute} of {number.op} must be at "
                    f"least {least} and at most {most}; got {number.value}"
                )

    def _find(self, name: str) -> int | None:
        if self.pointer is None:
            raise errors.FailedPreconditionError("The graph is closed.")
        found: int | None = self._functions.TF_GraphOperationByName(
            self.pointer, name.encode(errors="surrogateescape")
        )
        return found

    def _shape(self, output: library.Output) -> tuple[int | None, ...] | None:
        with status.Status() as got:
            rank = self._functions.TF_GraphGetTensorNumDims(
                self.pointer, output, got.pointer
            )
            got.check()
            if rank < 0:
                return None
            sizes = (ctypes.c_int64 * rank)()
            self._functions.TF_GraphGetTensorShape(
                self.pointer, output, sizes, rank, got.pointer
            )
            got.check()
        return tuple(None if size < 0 else size for size in sizes)

    def _inputs(
        self, operation: int, fed: set[tuple[int, int]]
    ) -> Iterator[int]:
        """Yields the operations that one waits for."""
        functions = self._functions
        for index in range(functions.TF_OperationNumInputs(operation)):
            output = functions.TF_OperationInput(
                library.Input(operation, index)
            )
            if (output.operation, output.index) not in fed:
                yield output.operation
        count = functions.TF_OperationNumControlInputs(operation)
        controls = (ctypes.c_void_p * count)()
        functions.TF_OperationGetControlInputs(operation, controls, count)
        yield from (each for each in controls if each is not None)

    def _functions_of(self, operation: int, attribute: str) -> set[str]:
        """Returns the names of functions in an attribute."""
        value = self._attribute(operation, attribute)
        listed = {function.name for function in value.list.func}
        return listed | ({value.func.name} if value.HasField("func") else set())

    def _attribute(
        self, operation: int, attribute: str
    ) -> attr_value_pb2.AttrValue:
        with status.Status() as got, buffer.output() as found:
            self._functions.TF_OperationGetAttrValueProto(
                operation, attribute.encode(), found, got.pointer
            )
            got.check()
            return attr_value_pb2.AttrValue.FromString(buffer.to_bytes(found))


def _wrong_name(name: str, found: str) -> errors.InvalidArgumentError:
    return errors.InvalidArgumentError(
        f"fetches and feeds must fit the graph; got {name!r}: {found}"
    )


def _text(value: bytes) -> str:
    return value.decode(errors="replace")
