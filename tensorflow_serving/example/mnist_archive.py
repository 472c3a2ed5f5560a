"""Files whose content is known, found in folders or downloaded.

What counts is the content: the gzip container differs from site to site, so
checksums are of the uncompressed files.
"""

import dataclasses
import gzip
import hashlib
import os
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Mapping, Sequence

import pooch
from absl import logging

from tensorflow_serving.util import errors, progress

# How long a mirror may take to answer at all, and between two packets.
_PROBE_SECONDS = 5.0
_TIMEOUT_SECONDS = 10.0

# Run in a process of its own: a name server or a firewall that swallows packets
# can hold a lookup or a connection for much longer than any timeout says.
_PROBE = """
import sys, urllib.request
urllib.request.urlopen(urllib.request.Request(sys.argv[1], method="HEAD"))
"""


@dataclasses.dataclass(frozen=True)
class Archive:
    """A set of gzipped files that several sites offer."""

    # SHA-256 of the uncompressed content, by file name.
    checksums: Mapping[str, str]
    # Addresses that end in a slash, in order of preference.
    mirrors: Sequence[str]

    def read(
        self, names: Sequence[str], folders: Sequence[str]
    ) -> dict[str, bytes]:
        """Returns the uncompressed content of files, by name.

        Each is taken from the first folder that has it whole; else it is
        downloaded into the first folder, which is made if it does not exist.

        Args:
          names: Keys of checksums.
          folders: Where to look; at least one.

        Raises:
          UnavailableError: A file is nowhere to be had.
        """
        contents = {name: self._find(name, folders) for name in names}
        missing = [name for name in names if contents[name] is None]
        if missing:
            mirrors = _Mirrors(self.mirrors, missing[0])
            os.makedirs(folders[0], exist_ok=True)
            for name in missing:
                contents[name] = self._download(name, folders[0], mirrors)
        return {
            name: content
            for name, content in contents.items()
            if content is not None
        }

    def _find(self, name: str, folders: Sequence[str]) -> bytes | None:
        for folder in folders:
            path = os.path.join(folder, name)
            if os.path.isfile(path):
                content = self._read_checked(path, name)
                if content is not None:
                    return content
                logging.warning(
                    "%s must have the published content; got a corrupt or "
                    "truncated file, which is not used: looking further",
                    path,
                )
        return None

    def _download(self, name: str, folder: str, mirrors: "_Mirrors") -> bytes:
        for mirror in list(mirrors.usable):
            url = mirror + name
            try:
                with tempfile.NamedTemporaryFile(dir=folder) as file:
                    pooch.HTTPDownloader(
                        progressbar=progress.bar(f"Fetching {url}", 0, "bytes"),
                        timeout=_TIMEOUT_SECONDS,
                    )(url, file.name, None)
                    content = self._read_checked(file.name, name)
                    if content is not None:
                        _publish(file.name, os.path.join(folder, name))
                        return content
                mirrors.drop(mirror, f"{url} has not the published content")
            except OSError as error:
                mirrors.drop(mirror, f"{url}: {error}")
        raise errors.UnavailableError(
            f"{name} must be in {folder}, in MNIST_DATA_DIR or on a mirror; "
            f"got {'; '.join(mirrors.reasons) or 'no mirror'}"
        )

    def _read_checked(self, path: str, name: str) -> bytes | None:
        """Returns the uncompressed content, or None if it is wrong."""
        try:
            with gzip.open(path) as file:
                content = file.read()
        except (OSError, EOFError, zlib.error):
            return None
        checksum = hashlib.sha256(content).hexdigest()
        return content if checksum == self.checksums[name] else None


def _publish(source: str, path: str) -> None:
    """Makes a temporary file permanent, all at once."""
    link = source + ".link"
    os.link(source, link)
    os.chmod(link, 0o644)
    os.replace(link, path)


class _Mirrors:
    """Those mirrors that have not failed yet, and why the others did."""

    def __init__(self, mirrors: Sequence[str], name: str) -> None:
        """Asks all of them at once whether they have a file."""
        self.usable: list[str] = list(mirrors)
        self.reasons: list[str] = []
        probes = [
            subprocess.Popen(
                [sys.executable, "-c", _PROBE, mirror + name],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            for mirror in mirrors
        ]
        deadline = time.monotonic() + _PROBE_SECONDS
        for mirror, probe in zip(mirrors, probes, strict=True):
            try:
                _, stderr = probe.communicate(
                    timeout=max(0.0, deadline - time.monotonic())
                )
            except subprocess.TimeoutExpired:
                probe.kill()
                probe.communicate()
                self.drop(
                    mirror, f"{mirror} did not answer in {_PROBE_SECONDS:g} s"
                )
            else:
                if probe.returncode:
                    *_, reason = ["no reason", *stderr.splitlines()]
                    self.drop(mirror, f"{mirror}{name}: {reason}")

    def drop(self, mirror: str, reason: str) -> None:
        """Uses a mirror no more."""
        self.usable.remove(mirror)
        self.reasons.append(reason)
