"""Serves lookup tables: from CSV files to dicts.

That a table is a servable like any other shows that the core knows no model
format.
"""

import csv
import os
import sys
from typing import TextIO

from tensorflow_serving.core import simple_loader_source_adapter
from tensorflow_serving.util import errors

# Values may be as long as memory allows; csv refuses more than 128 KiB.
csv.field_size_limit(sys.maxsize)

# The table of a version whose path is a folder.
HASHMAP_FILENAME = "hashmap.csv"


class HashmapSourceAdapter(
    simple_loader_source_adapter.SimpleLoaderSourceAdapter[str, dict[str, str]]
):
    """Loads a dict from a CSV file, or from hashmap.csv in a folder.

    Each line has a key and a value, in UTF-8 (with a byte order mark or
    without), with quotes as in
    https://www.rfc-editor.org/rfc/rfc4180. Of lines with the same key the first
    one counts. A table has no estimate of its resources: it is taken for 0.
    """

    def __init__(self) -> None:
        """Takes no options."""
        super().__init__(load_hashmap, lambda path: 0)


def load_hashmap(path: str) -> dict[str, str]:
    """Returns the table in a file, or in a folder of a version.

    Raises:
      NotFoundError: There is no such file. Permanent.
      InvalidArgumentError: A line has not exactly two columns, or is no CSV in
        UTF-8; the text has the number of the line. Permanent.
      UnavailableError: The storage failed. Transient.
    """
    if os.path.isdir(path):
        path = os.path.join(path, HASHMAP_FILENAME)
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            return _read(path, file)
    except (FileNotFoundError, NotADirectoryError):
        raise errors.NotFoundError(
            f"Hashmap file must exist; got none: {path}"
        ) from None
    except OSError as error:
        raise errors.UnavailableError(
            f"Storage must be readable; got {error}"
        ) from None


def _read(path: str, file: TextIO) -> dict[str, str]:
    rows = csv.reader(file, strict=True)
    table: dict[str, str] = {}
    try:
        for row in rows:
            if len(row) != 2:
                raise errors.InvalidArgumentError(
                    "Line of a hashmap must have 2 columns, key,value; got "
                    f"{len(row)}: {path}, line {rows.line_num}"
                )
            table.setdefault(row[0], row[1])
    except (csv.Error, UnicodeDecodeError) as error:
        raise errors.InvalidArgumentError(
            f"Hashmap must be CSV in UTF-8; got {error}: {path}, after line "
            f"{rows.line_num}"
        ) from None
    return table
