"""Which operations a serialized graph holds, functions included.

Asked once for a graph, before it is imported. Nodes are passed by one after the
other, and none is kept.

Field numbers: tensorflow/core/framework/graph.proto, function.proto,
node_def.proto and attr_value.proto.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Final

from tensorflow_serving.tensorflow_c import wire_format

_GRAPH_DEF_NODE: Final = 1
_GRAPH_DEF_LIBRARY: Final = 2
_LIBRARY_FUNCTION: Final = 1
_FUNCTION_SIGNATURE: Final = 1
_FUNCTION_NODE: Final = 3
_OP_DEF_NAME: Final = 1
_NODE_NAME: Final = 1
_NODE_OP: Final = 2
_NODE_INPUT: Final = 3
_NODE_ATTR: Final = 5
_ENTRY_KEY: Final = 1
_ENTRY_VALUE: Final = 2
_ATTR_LIST: Final = 1
_ATTR_FUNC: Final = 10
_LIST_FUNC: Final = 9
_FUNC_NAME: Final = 1


# The tag of AttrValue.i, and how many bytes it is at least with a number of
# 2 ** 21 or more, or with a negative one.
_TAG_OF_NUMBER: Final = 3 << 3
_NUM_BYTES_OF_ODD: Final = 5


@dataclasses.dataclass(frozen=True)
class OddNumber:
    """An attribute of an operation with a large number, or a negative one.

    Large is 2 ** 21 and more.
    """

    op: str
    attribute: str
    value: int


# In a loop of TensorFlow 1, the first begins each round, and the second ends
# it.
_MERGES: Final = {b"Merge", b"RefMerge"}
_NEXT_ITERATIONS: Final = {b"NextIteration", b"RefNextIteration"}
_NUM_INPUTS_OF_LOOP: Final = 2


@dataclasses.dataclass(frozen=True)
class Body:
    """The operations of a graph or of a function."""

    # The types of its operations. The name of a function may be one.
    ops: frozenset[str]
    # The functions that its operations name in their attributes.
    functions: frozenset[str]
    odd_numbers: frozenset[OddNumber] = frozenset()
    # The names of those that begin a round of a loop, and have more than the
    # two inputs of a loop.
    broken_loops: frozenset[str] = frozenset()


@dataclasses.dataclass(frozen=True)
class GraphContent:
    """The operations of a GraphDef, and of its functions."""

    num_nodes: int
    graph: Body
    # By name.
    functions: Mapping[str, Body]

    @classmethod
    def of(cls, graph_def: wire_format.Message) -> "GraphContent":
        """Reads a GraphDef.

        Raises:
          MalformedError: It is not one, or not all of one.
        """
        data = graph_def.data
        num_nodes = 0
        graph = _Reader(data)
        functions: dict[str, Body] = {}
        for number, begin, stop in wire_format.fields(graph_def):
            if number == _GRAPH_DEF_NODE:
                num_nodes += 1
                graph.read_node(begin, stop)
            elif number == _GRAPH_DEF_LIBRARY:
                functions.update(_functions(data, begin, stop))
        return cls(num_nodes, graph.body(), functions)

    @property
    def ops(self) -> frozenset[str]:
        """The types of all operations, including those in functions."""
        return self.graph.ops.union(
            *(body.ops for body in self.functions.values())
        )

    @property
    def odd_numbers(self) -> frozenset[OddNumber]:
        """Attributes of all operations, also of those in functions."""
        return self.graph.odd_numbers.union(
            *(body.odd_numbers for body in self.functions.values())
        )

    @property
    def broken_loops(self) -> frozenset[str]:
        """Names in the graph and in all functions."""
        return self.graph.broken_loops.union(
            *(body.broken_loops for body in self.functions.values())
        )

    def closure(self, functions: Iterable[str]) -> frozenset[str]:
        """Returns the types of operations of functions and what they call."""
        waiting = set(functions)
        seen: set[str] = set()
        ops: set[str] = set()
        while waiting:
            name = waiting.pop()
            seen.add(name)
            if name in self.functions:
                body = self.functions[name]
                ops |= body.ops
                # An operation may have the name of the function that it calls.
                waiting |= (body.functions | body.ops) - seen
        return frozenset(ops - self.functions.keys())


EMPTY: Final = GraphContent(0, Body(frozenset(), frozenset()), {})


class _Reader:
    """Collects what the nodes of a graph or a function are made of."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._ops: set[bytes] = set()
        self._functions: set[bytes] = set()
        # The inputs of each, by name.
        self._merges: dict[bytes, list[bytes]] = {}
        self._next_iterations: set[bytes] = set()
        self._odd_numbers: set[tuple[bytes, bytes, int]] = set()

    def read_node(self, start: int, end: int) -> None:
        """Reads a NodeDef."""
        data = self._data
        name = op = b""
        odd = []
        inputs = []
        for number, begin, stop in wire_format.spans(data, start, end):
            if number == _NODE_ATTR:
                key = b""
                for part, left, right in wire_format.spans(data, begin, stop):
                    if part == _ENTRY_KEY:
                        key = data[left:right]
                    elif part == _ENTRY_VALUE and left < right:
                        # The first byte of a value tells which kind it is, as
                        # there is only one: no need to look into a tensor.
                        tag = data[left]
                        if tag in _TAGS_OF_FUNCTIONS:
                            self._read_value(left, right)
                        elif (
                            tag == _TAG_OF_NUMBER
                            and right - left >= _NUM_BYTES_OF_ODD
                        ):
                            value = wire_format.number(data, left + 1, right)
                            odd.append((key, value))
            elif number == _NODE_INPUT:
                if not op or op in _MERGES:
                    inputs.append(data[begin:stop])
            elif number == _NODE_OP:
                op = data[begin:stop]
            elif number == _NODE_NAME:
                name = data[begin:stop]
        self._ops.add(op)
        if op in _MERGES:
            self._merges[name] = inputs
        elif op in _NEXT_ITERATIONS:
            self._next_iterations.add(name)
        self._odd_numbers.update((op, *each) for each in odd)

    def body(self) -> Body:
        """Returns what was read."""
        return Body(
            _texts(self._ops),
            _texts(self._functions),
            frozenset(
                OddNumber(_text(op), _text(key), value)
                for op, key, value in self._odd_numbers
            ),
            _texts(filter(self._is_broken_loop, self._merges)),
        )

    def _is_broken_loop(self, merge: bytes) -> bool:
        operations = [
            name.partition(b":")[0]
            for name in self._merges[merge]
            if not name.startswith(b"^")
        ]
        return len(operations) > _NUM_INPUTS_OF_LOOP and bool(
            self._next_iterations.intersection(operations)
        )

    def _read_value(self, start: int, end: int) -> None:
        """Reads an AttrValue with a function or a list."""
        data = self._data
        for number, begin, stop in wire_format.spans(data, start, end):
            if number == _ATTR_FUNC:
                self._read_name(begin, stop)
            elif number == _ATTR_LIST:
                for kind, left, right in wire_format.spans(data, begin, stop):
                    if kind == _LIST_FUNC:
                        self._read_name(left, right)

    def _read_name(self, start: int, end: int) -> None:
        """Reads a NameAttrList."""
        data = self._data
        for number, begin, stop in wire_format.spans(data, start, end):
            if number == _FUNC_NAME:
                self._functions.add(data[begin:stop])


# The tags of AttrValue.func and AttrValue.list.
_TAGS_OF_FUNCTIONS: Final = {_ATTR_FUNC << 3 | 2, _ATTR_LIST << 3 | 2}


def _functions(data: bytes, start: int, end: int) -> dict[str, Body]:
    """Returns the functions of a FunctionDefLibrary, by name."""
    functions = {}
    for number, begin, stop in wire_format.spans(data, start, end):
        if number != _LIBRARY_FUNCTION:
            continue
        name = b""
        reader = _Reader(data)
        for field, left, right in wire_format.spans(data, begin, stop):
            if field == _FUNCTION_SIGNATURE:
                for key, first, last in wire_format.spans(data, left, right):
                    if key == _OP_DEF_NAME:
                        name = data[first:last]
            elif field == _FUNCTION_NODE:
                reader.read_node(left, right)
        functions[_text(name)] = reader.body()
    return functions


def _texts(values: Iterable[bytes]) -> frozenset[str]:
    return frozenset(map(_text, values))


def _text(value: bytes) -> str:
    return value.decode(errors="replace")
