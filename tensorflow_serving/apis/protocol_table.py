"""The protocol as a table: protocol.txt, and what the protos really hold."""

import pathlib
import re
from collections.abc import Iterator

from google.protobuf import descriptor, descriptor_pb2

_TABLE = pathlib.Path(__file__).with_name("protocol.txt")


def expected() -> dict[str, list[str]]:
    """Returns the lines of the table for each file, by the path of the file."""
    files: dict[str, list[str]] = {}
    text = re.sub(r"\n {6}", " ", _TABLE.read_text("utf-8"))
    for block in text.split("\n\n")[1:]:
        path, *lines = block.splitlines()
        files[path] = [line.strip() for line in lines]
    return files


def lines(file: descriptor.FileDescriptor) -> Iterator[str]:
    """Yields the lines that the table should have for a file."""
    proto = descriptor_pb2.FileDescriptorProto()
    file.CopyToProto(proto)
    yield from map(_enum, proto.enum_type)
    for message in proto.message_type:
        yield from _message(message)
    for service in proto.service:
        for method in service.method:
            names = [
                name.rpartition(".")[2]
                for name in (method.input_type, method.output_type)
            ]
            yield f"{service.name}.{method.name}({names[0]}) -> {names[1]}"


def _field(field: descriptor_pb2.FieldDescriptorProto) -> str:
    kind = field.type_name.rpartition(".")[2] or (
        descriptor_pb2.FieldDescriptorProto.Type.Name(field.type)[5:].lower()
    )
    if field.label == field.LABEL_REPEATED:
        kind = f"repeated {kind}"
    if field.proto3_optional:
        kind = f"optional {kind}"
    first, *others = field.name.split("_")
    usual_json_name = first + "".join(map(str.capitalize, others))
    json_name = ""
    if field.json_name not in ("", usual_json_name):
        json_name = f" as {field.json_name}"
    return f"{field.number} {field.name}{json_name}: {kind}"


def _message(
    message: descriptor_pb2.DescriptorProto, scope: str = ""
) -> Iterator[str]:
    name = scope + message.name
    fields = []
    for field in sorted(message.field, key=lambda field: field.number):
        text = _field(field)
        if field.HasField("oneof_index") and not field.proto3_optional:
            text += f" in {message.oneof_decl[field.oneof_index].name}"
        fields.append(text)
    yield f"{name} {{{'; '.join(fields)}}}"
    for enum in message.enum_type:
        yield _enum(enum, f"{name}.")
    for nested in message.nested_type:
        yield from _message(nested, f"{name}.")


def _enum(enum: descriptor_pb2.EnumDescriptorProto, scope: str = "") -> str:
    values = [f"{value.number} {value.name}" for value in enum.value]
    return f"{scope}{enum.name} {{{'; '.join(values)}}}"
