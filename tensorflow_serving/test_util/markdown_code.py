"""The Python examples of a Markdown page, so that a test can run them.

```python
assert 6 * 7 == 42
```
"""

import dataclasses
import os
import pathlib
import sys
import types
from collections.abc import Sequence

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
      InvalidArgumentError: There is none, one has no end, or a fence is
        indented; the text has the number of the line.
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
    if not blocks:
        raise errors.InvalidArgumentError(
            f"page must have a block of {_LANGUAGE}; got none: {page}"
        )
    return blocks


def run(page: str | os.PathLike[str]) -> None:
    """Runs the blocks one after the other, as if they were one module.

    What they raise passes through; its stack names the page and the line.

    Raises:
      InvalidArgumentError: See python_blocks().
    """
    path = pathlib.Path(page)
    blocks = python_blocks(path)
    # Dataclasses look their module up.
    module = types.ModuleType(path.name)
    sys.modules[path.name] = module
    try:
        for block in blocks:
            # The empty lines give each line the number it has in the page.
            code = "\n" * (block.line - 1) + block.code
            compiled = compile(code, str(path), "exec", dont_inherit=True)
            exec(compiled, module.__dict__)
    finally:
        del sys.modules[path.name]
