"""Odd things that real storage has in base paths and in versions.

    for case in hostile_folders.IN_BASE_PATH:
        ...  # put a whole version into <base>/1
        case.build(base)
        ...  # all of case.served is served, and case.reported has an error

They know no format of models. Their paths are made for Linux.
"""

import dataclasses
import os
import shutil
import stat
from collections.abc import Callable
from typing import Final

# The whole version that every builder finds in a base path.
WHOLE_VERSION: Final = 1
_MANY = 1_500


def _nothing(path: str) -> None:
    """Changes nothing."""


@dataclasses.dataclass(frozen=True)
class HostileFolder:
    """Something odd, and what is to become of it."""

    name: str
    # Adds it to a folder, whose path it takes.
    build: Callable[[str], None]
    # Changes it, again and again while somebody looks.
    change: Callable[[str], None] = _nothing
    # Which versions of the base path are served with it.
    served: frozenset[int] = frozenset({WHOLE_VERSION})
    # Which ones are reported with an error.
    reported: frozenset[int] = frozenset()


def _link(name: str, target: str) -> Callable[[str], None]:
    return lambda path: os.symlink(target, os.path.join(path, name))


def _node(name: str, kind: int) -> Callable[[str], None]:
    return lambda path: os.mknod(os.path.join(path, name), kind | 0o600)


def _folders(*names: str, mode: int = 0o755) -> Callable[[str], None]:
    def build(path: str) -> None:
        for name in names:
            os.mkdir(os.path.join(path, name))
            os.chmod(os.path.join(path, name), mode)

    return build


def _file(name: str) -> Callable[[str], None]:
    """Appends to a file, and makes it first if there is none."""

    def build(path: str) -> None:
        os.makedirs(os.path.dirname(os.path.join(path, name)), exist_ok=True)
        with open(os.path.join(path, name), "a", encoding="utf-8") as file:
            file.write("text\n")

    return build


def _undecodable(path: str) -> None:
    os.mkdir(os.fsencode(path) + b"/\xff2")


def _mounted_config_map(path: str) -> None:
    """Lays out version 2 as Kubernetes lays out what it mounts."""
    os.mkdir(os.path.join(path, "..2016_12_31"))
    shutil.copytree(
        os.path.join(path, str(WHOLE_VERSION)),
        os.path.join(path, "..2016_12_31", "2"),
    )
    os.symlink("..2016_12_31", os.path.join(path, "..data"))
    os.symlink("..data/2", os.path.join(path, "2"))


def _come_and_go(name: str) -> Callable[[str], None]:
    def change(path: str) -> None:
        try:
            os.remove(os.path.join(path, name))
        except FileNotFoundError:
            _file(name)(path)

    return change


_TWO = frozenset({2})

# Beside a whole version, in a base path.
IN_BASE_PATH: Final = (
    HostileFolder("link_to_itself", _link("2", "2"), reported=_TWO),
    HostileFolder("link_to_nothing", _link("2", "nowhere")),
    HostileFolder("link_to_root", _link("2", "/"), reported=_TWO),
    HostileFolder("link_to_base_path", _link("2", "."), reported=_TWO),
    HostileFolder("named_pipe", _node("2", stat.S_IFIFO)),
    HostileFolder("socket", _node("2", stat.S_IFSOCK)),
    HostileFolder("file", _file("2")),
    HostileFolder("unreadable", _folders("2", mode=0), reported=_TWO),
    HostileFolder("undecodable_name", _undecodable),
    HostileFolder(
        "names_that_are_no_numbers",
        _folders("[1-9]*?", "2\\", " 2", "2 ", "+2", "-2", "2_0", "2.0", "٢"),
    ),
    HostileFolder("huge_numbers", _folders("9" * 250, str(2**63))),
    HostileFolder("left_behind", _folders("lost+found", ".git", "2-tmp")),
    HostileFolder(
        "mounted_config_map", _mounted_config_map, served=frozenset({2})
    ),
    HostileFolder("file_that_grows", _file("log"), _file("log")),
    HostileFolder(
        "many_incomplete",
        _folders(*map(str, range(2, 2 + _MANY))),
        # The newest ones.
        reported=frozenset({_MANY, _MANY + 1}),
    ),
)

# Within a whole version, which is served all the same.
IN_VERSION: Final = (
    HostileFolder("log_that_grows", _file("log.txt"), _file("log.txt")),
    HostileFolder(
        "nfs_file", _file(".nfs0001"), change=_come_and_go(".nfs0001")
    ),
    HostileFolder("unreadable", _folders("lost+found", mode=0)),
    HostileFolder("link_to_itself", _link("loop", "loop")),
    HostileFolder("link_to_nothing", _link("link", "nowhere")),
    HostileFolder("link_to_root", _link("root", "/")),
    HostileFolder("link_to_itself_in_assets", _link("assets/loop", "loop")),
    HostileFolder("link_to_parent", _link("assets/up", "..")),
    HostileFolder("named_pipe", _node("pipe", stat.S_IFIFO)),
    HostileFolder("named_pipe_in_assets", _node("assets/x", stat.S_IFIFO)),
    HostileFolder("socket", _node("socket", stat.S_IFSOCK)),
    HostileFolder("undecodable_name", _undecodable),
    HostileFolder("odd_names", _folders("[a-z]*?", "a\\b", " ", "%d", "\n")),
    HostileFolder("kept_by_git", _file("eval/.gitkeep")),
    HostileFolder(
        "many_entries", _folders(*(f"step_{n}" for n in range(_MANY)))
    ),
)

# In place of a file that the format names: they take its path, where nothing is
# any longer. The version is reported with an error, and nobody waits for it.
IN_PLACE_OF_FILE: Final = (
    HostileFolder("named_pipe", os.mkfifo),
    HostileFolder("socket", lambda path: os.mknod(path, stat.S_IFSOCK | 0o600)),
    HostileFolder("folder", os.mkdir),
    HostileFolder("link_to_itself", lambda path: os.symlink(path, path)),
    HostileFolder("link_to_nothing", lambda path: os.symlink("gone", path)),
    HostileFolder("link_to_root", lambda path: os.symlink("/", path)),
    HostileFolder("link_to_zeros", lambda path: os.symlink("/dev/zero", path)),
    HostileFolder(
        "empty_file", lambda path: os.mknod(path, stat.S_IFREG | 0o600)
    ),
)
