"""The Python examples of a Markdown page, so that a test can run them.

```python
assert 6 * 7 == 42
```
"""

import contextlib
import dataclasses
import os
import pathlib
import sys
import types
from collections.abc import Iterator, Sequence

from tensorflow_serving.util import errors

_FENCE = "```"
_LANGUAGE = "python"


@dataclasses.dataclass(frozen=True)
class Block:
    """An example, without its fences."""

    # The number of its first line in the page, from 1.
    line: int
    code: str


def python_blocks(page: str | os.PathLike[str]) -> Sequence[Block]:
    """Returns the blocks between ```python and ```, in their order.

    Raises:
      InvalidArgumentError: One has no end, or a fence is indented; the text has
        the number of the line.
    """
    blocks = []
    language: str | None = None  # None outside of a block
    start = 0
    lines = pathlib.Path(page).read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, start=1):
        if not line.lstrip().startswith(_FENCE):
            continue
        if not line.startswith(_FENCE):
            raise errors.InvalidArgumentError(
                f"fence must start its line; got spaces: {page}:{number}"
            )
        if language is None:
            language, start = line.removeprefix(_FENCE).strip(), number
            continue
        if language == _LANGUAGE:
            code = "\n".join(lines[start : number - 1]) + "\n"
            blocks.append(Block(start + 1, code))
        language = None
    if language is not None:
        raise errors.InvalidArgumentError(
            f"block must have an end; got none: {page}:{start}"
        )
    return blocks


def run(page: str | os.PathLike[str]) -> None:
    """Runs the blocks one after the other, as if they were one module.

    What they raise passes through; its stack names the page and the line.

    Raises:
      InvalidArgumentError: There is no block; see also python_blocks().
    """
    blocks = python_blocks(page)
    if not blocks:
        raise errors.InvalidArgumentError(
            f"page must have a block of {_LANGUAGE}; got none: {page}"
        )
    with module_of(page) as module:
        for block in blocks:
            execute(block, page, module)


@contextlib.contextmanager
def module_of(page: str | os.PathLike[str]) -> Iterator[types.ModuleType]:
    """Yields the module of the blocks of a page, where dataclasses find it."""
    name = pathlib.Path(page).name
    module = sys.modules[name] = types.ModuleType(name)
    try:
        yield module
    finally:
        del sys.modules[name]


def execute(
    block: Block, page: str | os.PathLike[str], module: types.ModuleType
) -> None:
    """Runs a block of a page in its module."""
    # The empty lines give each line the number it has in the page.
    code = "\n" * (block.line - 1) + block.code
    compiled = compile(code, os.fspath(page), "exec", dont_inherit=True)
    exec(compiled, module.__dict__)
