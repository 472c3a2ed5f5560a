"""Channels to servers, and why one could not be reached.

client_channel.require_address(address, "--server")
with client_channel.insecure(address) as channel:
...
"""

import ipaddress
import os
import re
import socket
from collections.abc import Sequence

import grpc

from tensorflow_serving.util import errors

# In the order in which gRPC looks at them.
_PROXY_VARIABLES = ("grpc_proxy", "https_proxy", "http_proxy")
_NO_PROXY_VARIABLES = ("no_grpc_proxy", "no_proxy")

# The start of a connection, and SETTINGS without any: RFC 9113, section 3.4.
_HTTP2_START = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
_FRAME_HEAD_BYTES = 9
_SETTINGS = 4
# The first byte of a TLS record that holds an alert.
_TLS_ALERT = 21


def insecure(
    address: str, options: Sequence[tuple[str, int]] = ()
) -> grpc.Channel:
    """Returns a channel without TLS.

    A server on this machine is reached directly, whatever proxy the environment
    names; one elsewhere as gRPC does it.
    """
    if is_local(address):
        options = [*options, ("grpc.enable_http_proxy", 0)]
    return grpc.insecure_channel(address, options=options)


def is_local(address: str) -> bool:
    """Returns whether an address is on this machine."""
    if address.startswith(("unix:", "unix-abstract:")):
        return True
    host, _ = _split(address)
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def require_address(address: str, name: str) -> None:
    """Raises InvalidArgumentError if an address cannot belong to a server.

    Args:
      address: Host and port, unix:PATH, or dns:///HOST:PORT.
      name: Where the address comes from: a flag.
    """
    if address.startswith(("unix:", "unix-abstract:")):
        return
    if problem := _problem(address):
        raise errors.InvalidArgumentError(
            f"{name} must {problem}, for example localhost:9000; got "
            f"{address!r}"
        )


def proxy_variable(address: str) -> str | None:
    """Returns the variable whose proxy leads to a server, if any."""
    if is_local(address):
        return None
    host, _ = _split(address)
    for variable in _NO_PROXY_VARIABLES:
        if suffixes := os.environ.get(variable):
            if any(
                host.endswith(suffix.strip())
                for suffix in suffixes.split(",")
                if suffix.strip()
            ):
                return None
            break
    return next(
        (name for name in _PROXY_VARIABLES if os.environ.get(name)), None
    )


def diagnose(address: str, timeout_seconds: float) -> str:
    """Tries to reach a server that gRPC could not; returns what happened.

    Args:
      address: As require_address() takes it.
      timeout_seconds: How long each step may take.
    """
    if variable := proxy_variable(address):
        return (
            f"it was not reached through the proxy that {variable} names; set "
            "no_proxy to reach it directly"
        )
    try:
        with _connect(address, timeout_seconds) as connection:
            try:
                connection.sendall(_HTTP2_START)
                answer = connection.recv(_FRAME_HEAD_BYTES)
            except TimeoutError:
                return "it accepts connections but does not answer"
            except OSError:
                return "it closes connections; it may want TLS"
    except socket.gaierror as error:
        return f"its host is not known: {error.strerror}"
    except TimeoutError:
        return "it does not answer; it may be down or behind a firewall"
    except OSError as error:
        return f"nothing listens there: {error.strerror}"
    return _meaning(answer)


def _split(address: str) -> tuple[str, str]:
    """Returns host and port; the port is empty if there is none."""
    address = address.removeprefix("dns:///")
    address = re.sub(r"^ipv[46]:", "", address)
    if match := re.fullmatch(r"\[(.*)\](?::(.*))?", address):
        return match[1], match[2] or ""
    if address.count(":") > 1:
        return address, ""
    host, _, port = address.partition(":")
    return host, port


def _problem(address: str) -> str | None:
    """Returns what an address must be, if it is not."""
    host, port = _split(address)
    scheme = re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", address)
    if not address:
        return "be a host and a port"
    if scheme and not address.startswith("dns:///"):
        return f"be a host and a port without {scheme[0]}"
    if address.endswith("/"):
        return "have no / at its end"
    if not host:
        return "have a host before the port"
    if not port:
        return "have a port after the host (and IPv6 in brackets)"
    is_number = port.isascii() and port.isdecimal() and len(port) <= 5
    if not is_number or not 1 <= int(port) <= 65535:
        return "have a port from 1 to 65535"
    return None


def _connect(address: str, timeout_seconds: float) -> socket.socket:
    if address.startswith("unix:"):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(timeout_seconds)
        try:
            path = address.removeprefix("unix:")
            connection.connect(path.removeprefix("//"))
        except BaseException:
            connection.close()
            raise
        return connection
    host, port = _split(address)
    return socket.create_connection((host, int(port)), timeout_seconds)


def _meaning(answer: bytes) -> str:
    """Returns what the first bytes of a server say about it."""
    if not answer:
        return "it closes connections; it may want TLS"
    if answer.startswith(b"HTTP/1"):
        return "it speaks HTTP/1; gRPC may have another port"
    if answer[0] == _TLS_ALERT:
        return "it wants TLS"
    if len(answer) == _FRAME_HEAD_BYTES and answer[3] == _SETTINGS:
        return "it speaks HTTP/2 but was not ready in time; try again"
    return "it does not speak HTTP/2"
