"""Decodes and checks header fields of requests; encodes those of responses.

Format: RFC 7541 (HPACK); rules for fields: RFC 9113, section 8.2 and 8.3.
"""

import dataclasses
import re
from collections.abc import Iterable, Sequence
from typing import Any

import hpack

from tensorflow_serving.rpc.http2 import frames

Field = tuple[bytes, bytes]

# A client repeats its header blocks: this many are remembered, if they are no
# larger than that.
_MAX_REMEMBERED = 64
_MAX_REMEMBERED_BYTES = 1024

# RFC 9113, 8.2.1: no upper case, no control characters, no colon but the first.
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_BAD_VALUE = re.compile(rb"[\x00\r\n]|^[ \t]|[ \t]$")
# 8.2.1 forbids it around a value. Clients of gRPC send it all the same, and its
# protocol lets a server remove it.
_SPACE = b" \t"
_LENGTH = re.compile(rb"[0-9]{1,18}")
# 8.2.2: these belong to HTTP/1.
_OF_ONE_HOP = frozenset(
    [
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"transfer-encoding",
        b"upgrade",
    ]
)
_NEEDED_PSEUDO = frozenset([b":method", b":scheme", b":path"])
_KNOWN_PSEUDO = _NEEDED_PSEUDO | {b":authority"}
# 8.5: of a CONNECT request.
_CONNECT_PSEUDO = frozenset([b":method", b":authority"])

# The bytes that RFC 9113, 6.5.2 counts for each field in addition to its name
# and value.
_FIELD_BYTES = 32


@dataclasses.dataclass(eq=False)
class Head:
    """The header fields of a request, shared by all requests that repeat them.

    The layer above has the field `meaning` for itself.
    """

    # Without pseudo-header fields, in the order in which they came.
    fields: Sequence[Field] = ()
    method: bytes = b""
    # Empty for CONNECT.
    path: bytes = b""
    # None if the request does not say.
    content_length: int | None = None
    # Whether it breaks a rule of RFC 9113, section 8.
    is_malformed: bool = False
    # Whether it is larger than MAX_HEADER_LIST_SIZE.
    is_too_large: bool = False
    # Any: the layer above decides what a head means.
    meaning: Any = None


class Decoder:
    """Decodes the header blocks of one connection, in their order.

    A block that changes nothing in the table of HPACK means the same until the
    next one that does: it is looked up by its bytes.
    """

    __slots__ = ("_decoder", "_heads", "_max_list_bytes")

    def __init__(
        self, max_header_list_bytes: int, max_decoded_header_bytes: int
    ) -> None:
        """Takes the fields of Limits with these names."""
        self._max_list_bytes = max_header_list_bytes
        self._decoder = hpack.Decoder(max_decoded_header_bytes)
        self._heads: dict[bytes, Head] = {}

    def decode(self, block: bytes) -> Head:
        """Returns what a header block says.

        Raises:
          Http2ConnectionError: It cannot be decoded, and so none after it
            can be.
        """
        head = self._heads.get(block)
        return head if head is not None else self._decode(block)

    def decode_trailers(self, block: bytes) -> bool:
        """Decodes what follows a request; returns whether it is well-formed.

        Raises:
          Http2ConnectionError: See decode().
        """
        fields, _ = self._fields(block)
        return all(
            _NAME.fullmatch(name)
            and name not in _OF_ONE_HOP
            and not _BAD_VALUE.search(value.strip(_SPACE))
            for name, value in fields
        )

    def _decode(self, block: bytes) -> Head:
        fields, may_change_table = self._fields(block)
        size = sum(len(name) + len(value) for name, value in fields)
        if size + _FIELD_BYTES * len(fields) > self._max_list_bytes:
            return Head(is_too_large=True)
        head = read(fields)
        if not may_change_table and len(block) <= _MAX_REMEMBERED_BYTES:
            if len(self._heads) >= _MAX_REMEMBERED:
                self._heads.clear()
            self._heads[block] = head
        return head

    def _fields(self, block: bytes) -> tuple[list[Field], bool]:
        """Returns the fields, and whether the block may change the table."""
        before = self._newest_entry()
        try:
            fields: list[Field] = list(self._decoder.decode(block, raw=True))
        except hpack.OversizedHeaderListError:
            raise frames.Http2ConnectionError(
                frames.ErrorCode.ENHANCE_YOUR_CALM,
                "a list of header fields must be much smaller",
            ) from None
        # The library does not convert all that broken blocks raise in it.
        except (hpack.HPACKError, ValueError, IndexError, TypeError):
            raise frames.Http2ConnectionError(
                frames.ErrorCode.COMPRESSION_ERROR,
                "a header block must be valid HPACK",
            ) from None
        # An insertion makes a new object, or empties the table. Otherwise,
        # entries are only removed by a new size of the table, which is at the
        # beginning of a block (RFC 7541, 6.3). It matters even if it removes
        # nothing, because it decides which insertions have an effect.
        may_change_table = self._newest_entry() is not before or (
            b"\x20" <= block[:1] < b"\x40"
        )
        if may_change_table:
            self._heads.clear()
        return fields, may_change_table

    def _newest_entry(self) -> object:
        entries = self._decoder.header_table.dynamic_entries
        return entries[0] if entries else None


def read(fields: Sequence[Field]) -> Head:
    """Returns the head of a request with these fields."""
    pseudo: dict[bytes, bytes] = {}
    regular: list[Field] = []
    lengths: set[bytes] = set()
    for name, value in fields:
        if name.startswith(b":"):
            if regular or name in pseudo or name not in _KNOWN_PSEUDO:
                return Head(is_malformed=True)
            pseudo[name] = value
        else:
            value = value.strip(_SPACE)
            if (
                not _NAME.fullmatch(name)
                or name in _OF_ONE_HOP
                or (name == b"te" and value != b"trailers")
            ):
                return Head(is_malformed=True)
            regular.append((name, value))
            if name == b"content-length":
                lengths.add(value)
        if _BAD_VALUE.search(value):
            return Head(is_malformed=True)
    if pseudo.get(b":method") == b"CONNECT":
        is_malformed = pseudo.keys() != _CONNECT_PSEUDO
    else:
        is_malformed = not (
            pseudo.keys() >= _NEEDED_PSEUDO and pseudo[b":path"]
        )
    if is_malformed:
        return Head(is_malformed=True)
    if len(lengths) > 1 or not all(map(_LENGTH.fullmatch, lengths)):
        return Head(is_malformed=True)
    return Head(
        fields=regular,
        method=pseudo[b":method"],
        path=pseudo.get(b":path", b""),
        content_length=int(lengths.pop()) if lengths else None,
    )


def encode(fields: Iterable[Field]) -> bytes:
    """Returns a header block that leaves the peer's HPACK table as it is.

    Each field is a literal without indexing; RFC 7541, 6.2.2. Only ":status
    200" is in the static table.
    """
    block = bytearray()
    for name, value in fields:
        if (name, value) == (b":status", b"200"):
            block.append(0x88)
            continue
        block.append(0x00)
        for text in (name, value):
            block += _length(len(text))
            block += text
    return bytes(block)


# A size update that empties the table (RFC 7541, 6.3). It must begin the next
# header block once the peer wants a smaller table than the default (4.2).
EMPTY_TABLE = b"\x20"


def _length(length: int) -> bytes:
    """Returns an integer with a 7-bit prefix; RFC 7541, 5.1."""
    if length < 0x7F:
        return bytes([length])
    encoded = bytearray([0x7F])
    length -= 0x7F
    while length >= 0x80:
        encoded.append(length & 0x7F | 0x80)
        length >>= 7
    encoded.append(length)
    return bytes(encoded)
