"""House rules for English: habits that make docstrings and comments hard.

A rule takes a SourceTree and yields a line of text for each violation.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator

from tools.lint import source_tree

# Each habit with what to write instead. A sentence that shows one of them
# has to be read twice, or means nothing to somebody who does not see the code.
_FIRST_WORDS = (
    (r"What\b", "name the thing, or begin with a verb"),
    (r"(?:Of|That of|Those of)\b", "write a sentence with a subject"),
    (r"For\b(?! example\b)", "write a sentence with a subject"),
)
_ARGUMENT = re.compile(r"^ +\*{0,2}\w+: (Of|That|That of|Those|For) .*", re.M)
_PHRASES = (
    (r"\b(?:is|are|was|were|be|being) (?:not )?told\b", "is notified, learns"),
    (r"\b(?:[Tt]akes?|took|taking) note\b", "records"),
    (r"\b[Hh]ears?\b", "learns, is notified"),
    (r"\bany more\b(?! than)", "any longer"),
    (r"\bno more\b(?=[.,;:)]|$| and\b| of\b| use\b)", "no longer, none"),
    (r"\bfor ever\b", "forever"),
    (r"\bas yet\b", "so far, yet"),
    (r"\bof late\b", "recently"),
    (r"\b(?:has|have|had) not (?:an?|the|its|any|\d+)\b", "does not have"),
    (r"(?<![Tt]here )\b(?:is|are|was|were) none\b", "is not one, is missing"),
    (r"\b(?:come|comes|came) to (?:its|their) end\b", "ends"),
    (r"\bof (?:which|whom) it is said\b", "name it"),
)

# A sentence that begins with one of these goes on after a comma, or is the end
# of one that stands elsewhere, such as in the name of a test.
_SUBORDINATE = re.compile(
    r"(?:Also|Although|And|As|At|Because|Before|Between|Beside|But|By|Even"
    r"|From|However|If|In|Instead|Into|Nor|Not|Of|On|Once|So|Such|Than|That"
    r"|Then|Though|Unless|Until|Up|When|Where|Whether|Which|Whichever"
    r"|Whatever|While|With|Without|Yet)\b[^,]*$"
)
_MIN_WORDS = 4


def _patterns(
    table: tuple[tuple[str, str], ...],
) -> tuple[tuple[re.Pattern[str], str], ...]:
    return tuple((re.compile(pattern), instead) for pattern, instead in table)


_FIRST_WORD_PATTERNS = _patterns(_FIRST_WORDS)
_PHRASE_PATTERNS = _patterns(_PHRASES)


def prose_is_plain(tree: source_tree.SourceTree) -> Iterator[str]:
    """Docstrings, comments and pages have none of the listed habits."""
    for path, module in tree.modules.items():
        for line, text in (*_docstrings(module), *_comments(tree.text(path))):
            habits = (*_first_words(text), *_phrases(text))
            yield from (f"{path}:{line}: {habit}" for habit in habits)
        yield from (f"{path}:{each}" for each in _arguments(module))
    for path in tree.files:
        if path.endswith(".md"):
            for line, text in _paragraphs(tree.text(path)):
                yield from (f"{path}:{line}: {each}" for each in _phrases(text))


def tests_state_facts(tree: source_tree.SourceTree) -> Iterator[str]:
    """The docstring of a test is a sentence; a failure shows it alone."""
    for path, module in tree.modules.items():
        if not path.endswith("_test.py"):
            continue
        for node in source_tree.nodes(module):
            if isinstance(node, ast.FunctionDef) and node.name[:5] == "test_":
                text = " ".join((ast.get_docstring(node) or "").split())
                clause = re.split(r"[.;:](?: |$)", text)[0]
                if (
                    len(text.split()) < _MIN_WORDS
                    or not text.endswith(".")
                    or _SUBORDINATE.match(clause)
                ):
                    yield (
                        f"{path}:{node.lineno}: docstring must be a whole "
                        f"sentence; got {text!r}"
                    )


def _first_words(text: str) -> Iterator[str]:
    for pattern, instead in _FIRST_WORD_PATTERNS:
        if match := pattern.match(text):
            yield (
                f"first words must not be {match[0]!r} ({instead}); got "
                f"{text[:60]!r}"
            )


def _arguments(module: ast.Module) -> Iterator[str]:
    """Yields what is said of arguments without a noun."""
    for node in source_tree.nodes(module):
        if isinstance(node, ast.FunctionDef):
            text = ast.get_docstring(node) or ""
            for match in _ARGUMENT.finditer(text.partition("Args:")[2]):
                yield (
                    f"{node.lineno}: an argument must be named; got "
                    f"{match[0].strip()[:60]!r}"
                )


def _phrases(text: str) -> Iterator[str]:
    for pattern, instead in _PHRASE_PATTERNS:
        for match in pattern.finditer(text):
            around = text[max(match.start() - 20, 0) : match.end() + 20]
            yield f"{match[0]!r} must be plainer ({instead}); got {around!r}"


def _docstrings(module: ast.Module) -> Iterator[tuple[int, str]]:
    """Yields each docstring on one line, with the number of its first."""
    owners = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in source_tree.nodes(module):
        if isinstance(node, owners) and (text := ast.get_docstring(node)):
            yield node.body[0].lineno, " ".join(text.split())


def _comments(text: str) -> Iterator[tuple[int, str]]:
    """Yields each comment on one line, with the number of its first.

    Comments that stand below each other in the same column are one.
    """
    block: list[tokenize.TokenInfo] = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type != tokenize.COMMENT:
            continue
        row, column = token.start
        if block and block[-1].start != (row - 1, column):
            yield _joined(block)
            block = []
        block.append(token)
    if block:
        yield _joined(block)


def _joined(block: list[tokenize.TokenInfo]) -> tuple[int, str]:
    words = " ".join(token.string.lstrip("#: ") for token in block)
    return block[0].start[0], " ".join(words.split())


def _paragraphs(text: str) -> Iterator[tuple[int, str]]:
    """Yields each paragraph on one line, with the number of its first."""
    line = 1
    for paragraph in text.split("\n\n"):
        yield line, " ".join(paragraph.split())
        line += paragraph.count("\n") + 2
