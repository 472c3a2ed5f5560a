"""Breaks the files of models, for tests of loaders.

Half of the broken files differ from the whole one in some bytes, as after a
fault of a disk or of a copy. The others are messages as they should be, with
other content: no file is damaged like that, but a program may have written it.
"""

import random
from collections.abc import Callable, Sequence
from typing import Final

from tensorflow_serving.tensorflow_c.protos import (
    attr_value_pb2,
    meta_graph_pb2,
    node_def_pb2,
    saved_model_pb2,
)

_NUMBERS: Final = (
    *(-(1 << 63), -2, -1, 0, 1, 2, 7, 100),
    *((1 << 31) - 1, 1 << 31, 1 << 40, 1 << 62, (1 << 63) - 1),
)
_OPS: Final = (
    *("Const", "Enter", "Identity", "If", "Merge", "NextIteration"),
    *("Placeholder", "StatefulPartitionedCall", "Switch", "While"),
)
_DEVICES: Final = ("/device:CPU:7", "/gpu:0", "/job:x/task:1", "x")
# The number of data types.
_NUM_TYPES: Final = 34


def mutate_bytes(content: bytes, chance: random.Random) -> bytes:
    """Changes, copies, removes and inserts some of the bytes."""
    data = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 5, 20))):
        if not data:
            break
        at = chance.randrange(len(data))
        kind = chance.randrange(10)
        if kind < 3:
            data[at] ^= 1 << chance.randrange(8)
        elif kind < 6:
            data[at] = chance.choice((0, 1, 127, 128, 255))
        elif kind < 8:
            size = chance.randrange(1, 40)
            start = chance.randrange(len(data))
            data[at : at + size] = data[start : start + size]
        elif kind == 8:
            del data[at : at + chance.randrange(1, 9)]
        else:
            data[at:at] = chance.randbytes(chance.randrange(1, 9))
    return bytes(data)


def mutate_saved_model(content: bytes, seed: int) -> bytes:
    """Returns a broken saved_model.pb; the same one for the same seed."""
    chance = random.Random(seed)
    if seed % 2:
        return mutate_bytes(content, chance)
    saved_model = saved_model_pb2.SavedModel.FromString(content)
    _mutate_graph(saved_model.meta_graphs[0], chance)
    return saved_model.SerializeToString()


def mutate_meta_graph(content: bytes, seed: int) -> bytes:
    """Returns a broken export.meta; the same one for the same seed."""
    chance = random.Random(seed)
    if seed % 2:
        return mutate_bytes(content, chance)
    meta_graph = meta_graph_pb2.MetaGraphDef.FromString(content)
    _mutate_graph(meta_graph, chance)
    return meta_graph.SerializeToString()


def mutate_tflite_model(content: bytes, seed: int) -> bytes:
    """Returns a broken model.tflite; the same one for the same seed.

    All integers of such a file are in places that their size divides.
    """
    chance = random.Random(seed)
    if seed % 2:
        return mutate_bytes(content, chance)
    data = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 5))):
        size = chance.choice((1, 2, 4, 4, 4, 8))
        at = chance.randrange(len(data) // size) * size
        number = chance.choice(_NUMBERS) % (1 << 8 * size)
        data[at : at + size] = number.to_bytes(size, "little")
    return bytes(data)


def _mutate_graph(
    meta_graph: meta_graph_pb2.MetaGraphDef, chance: random.Random
) -> None:
    graph = meta_graph.graph_def
    nodes = [
        *graph.node,
        *(node for each in graph.library.function for node in each.node_def),
    ]
    for _ in range(chance.choice((1, 1, 2, 4))):
        node = chance.choice(nodes)
        if chance.random() < 0.5 and node.attr:
            value = node.attr[chance.choice(sorted(node.attr))]
            _mutate_value(value, nodes, chance)
        else:
            _mutate_node(node, nodes, chance)


def _mutate_node(
    node: node_def_pb2.NodeDef,
    nodes: Sequence[node_def_pb2.NodeDef],
    chance: random.Random,
) -> None:
    """Changes what a node is, or what it is connected with."""
    other = chance.choice(nodes)
    kind = chance.randrange(6)
    if kind == 0:
        node.op = chance.choice((other.op, *_OPS))
    elif kind == 1:
        node.name = other.name
    elif kind == 2:
        node.device = chance.choice(_DEVICES)
    elif kind == 3 or not node.input:
        node.input.append(other.name)
    elif kind == 4:
        del node.input[chance.randrange(len(node.input))]
    else:
        name = chance.choice(("{}", "^{}", "{}:0", "{}:1", "{}:-1", "{}:99999"))
        node.input[chance.randrange(len(node.input))] = name.format(other.name)


def _mutate_value(
    value: attr_value_pb2.AttrValue,
    nodes: Sequence[node_def_pb2.NodeDef],
    chance: random.Random,
) -> None:
    """Changes an attribute of a node."""
    mutations: dict[str, Callable[[], None]] = {
        "type": lambda: setattr(value, "type", chance.randrange(_NUM_TYPES)),
        "i": lambda: setattr(value, "i", chance.choice(_NUMBERS)),
        "b": lambda: setattr(value, "b", not value.b),
        "s": lambda: setattr(value, "s", chance.randbytes(40)),
        "shape": lambda: _mutate_shape(value, chance),
        "tensor": lambda: _mutate_tensor(value, chance),
        "func": lambda: setattr(value.func, "name", chance.choice(nodes).name),
        "list": lambda: _mutate_list(value.list, chance),
    }
    kind = value.WhichOneof("value")
    if kind in mutations:
        mutations[kind]()


def _mutate_shape(
    value: attr_value_pb2.AttrValue, chance: random.Random
) -> None:
    for _ in range(chance.choice((1, 3, 255, 300))):
        value.shape.dim.add(size=chance.choice(_NUMBERS))


def _mutate_tensor(
    value: attr_value_pb2.AttrValue, chance: random.Random
) -> None:
    tensor = value.tensor
    kind = chance.randrange(4)
    if kind == 0:
        tensor.tensor_shape.dim.add(size=chance.choice(_NUMBERS))
    elif kind == 1:
        tensor.tensor_shape.unknown_rank = True
    elif kind == 2:
        tensor.dtype = chance.randrange(_NUM_TYPES)  # type: ignore[assignment]
    else:
        size = chance.randrange(len(tensor.tensor_content) + 1)
        tensor.tensor_content = tensor.tensor_content[:size]


def _mutate_list(
    values: attr_value_pb2.AttrValue.ListValue, chance: random.Random
) -> None:
    if values.type:
        values.type[0] = chance.randrange(_NUM_TYPES)  # type: ignore[call-overload]
    elif values.shape:
        values.shape[0].dim.add(size=chance.choice(_NUMBERS))
    elif values.i:
        values.i[0] = chance.choice(_NUMBERS)
    elif values.func:
        values.func[0].name = "no_such_function"
