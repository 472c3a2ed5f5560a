"""A client that is connected: its socket, its connection, its time."""

import collections
import math
import random
import time
from typing import Protocol

from absl import logging

from tensorflow_serving.rpc import event_loop, transport, wire_call
from tensorflow_serving.rpc.http2 import connection as connection_lib
from tensorflow_serving.rpc.http2 import limits as limits_lib
from tensorflow_serving.rpc.http2 import stream as stream_lib

# How long a peer may take to close its side after the server has closed its.
_LINGER_SECONDS = 1.0
# How long a peer may take to acknowledge the end.
_GOODBYE_SECONDS = 1.0
# How much is read of a peer at a time, at first. If what it sent took long to
# handle, it is half as much, so that others have their turn before the next
# piece; after a piece that was handled quickly, twice as much. A few hundred
# bytes can be dozens of calls, and 128 KiB one message.
_FIRST_READ_BYTES = 4 << 10
_LEAST_READ_BYTES = 512
# Limits of a quick turn and of a long one.
_QUICK_SECONDS = 0.0005
_LONG_SECONDS = 0.001
# How much the age of a connection varies.
_AGE_JITTER = 0.1

# The answer to somebody who speaks HTTP/1 to this port.
_HTTP_1_METHODS = (
    b"GET ",
    b"HEAD",
    b"POST",
    b"PUT ",
    b"OPTI",
    b"DELE",
    b"PATC",
)
_HTTP_1_RESPONSE = (
    b"HTTP/1.1 400 Bad Request\r\n"
    b"Content-Type: text/plain\r\n"
    b"Content-Length: 53\r\n"
    b"Connection: close\r\n"
    b"\r\n"
    b"This port must be called with gRPC, which is HTTP/2.\n"
)


class Router(Protocol):
    """The part of a CallRouter that peers use."""

    def advance(self, peer: "Peer", stream: stream_lib.Stream) -> None:
        """Looks at a stream with news."""

    def resume(self, call: wire_call.WireStreamCall) -> None:
        """Lets the service of a call send more."""


class Owner(Protocol):
    """The part of a lane that its peers use."""

    loop: event_loop.EventLoop
    limits: limits_lib.Limits
    peers: "set[Peer]"
    # Those that have something to send at the end of the round.
    to_flush: "list[Peer]"

    @property
    def router(self) -> Router:
        """Begins the calls in streams."""


class Peer:
    """Moves bytes between a socket and a connection, on the lane's thread.

    What a peer sends is read as long as it reads what it is sent. Nothing is
    sent before the first bytes have come: they may be those of HTTP/1, whose
    clients want to be answered in their language.
    """

    def __init__(
        self, owner: Owner, the_transport: transport.Transport
    ) -> None:
        """Takes over a transport."""
        self._owner = owner
        self._router = owner.router
        self._loop = owner.loop
        self._transport = the_transport
        now = self._loop.now
        self.connection = connection_lib.Connection(owner.limits, now)
        # Calls that wait until more can be sent.
        self.blocked_calls: dict[wire_call.WireStreamCall, None] = {}
        self._unsent: collections.deque[memoryview] = collections.deque()
        self._num_unsent_bytes = 0
        # How much of replies was in the output that was taken so far.
        self._num_taken_bytes = 0
        self._is_to_flush = False
        self._is_first_read = True
        self._read_bytes = _FIRST_READ_BYTES
        self._is_closing = False
        self._is_closed = False
        self._events = event_loop.READ
        self._loop.watch(the_transport.fileno(), self._events, self._on_ready)
        owner.peers.add(self)
        self._last_read_time = now
        self._last_call_time = now
        # Whether there were calls when that was last looked at.
        self._has_calls = False
        # When the PING was sent that has no answer yet.
        self._ping_time = math.inf
        self._handshake_deadline = now + owner.limits.handshake_seconds
        self._age_deadline = _age_deadline(now, owner.limits.max_age_seconds)
        self._grace_deadline = math.inf
        self._goodbye_deadline = math.inf
        self._close_deadline = math.inf
        self._timer = self._loop.call_at(self._next_time(), self._on_time)

    def wants_to_send(self) -> None:
        """Sends the output of the connection at the end of this round."""
        if not self._is_to_flush:
            self._is_to_flush = True
            self._owner.to_flush.append(self)

    @property
    def is_writable(self) -> bool:
        """Whether the peer takes what it is sent."""
        return self._num_unsent_bytes <= self._owner.limits.write_buffer_bytes

    def has_room_for(self, num_bytes: int) -> bool:
        """Returns whether a reply can wait here until the peer takes it."""
        outgoing = self.connection.outgoing
        num_waiting_bytes = (
            outgoing.num_waiting_bytes
            + (outgoing.num_sent_bytes - self._num_taken_bytes)
            + self._num_unsent_bytes
        )
        limit = self._owner.limits.reply_room_bytes
        return not num_waiting_bytes or num_waiting_bytes + num_bytes <= limit

    def flush(self) -> None:
        """Sends what there is, as far as the socket takes it."""
        self._is_to_flush = False
        if self._is_closed:
            return
        data = self.connection.take_output()
        self._num_taken_bytes = self.connection.outgoing.num_sent_bytes
        try:
            if data and not self._unsent:
                # Nearly always all of it goes.
                size = self._transport.send(data)
                if size < len(data):
                    self._unsent.append(memoryview(data)[size:])
            elif data:
                self._unsent.append(memoryview(data))
            if self._unsent:
                self._send_unsent()
        except OSError:
            self.close()
            return
        if self._unsent or self._num_unsent_bytes:
            self._count_unsent()
        if self.blocked_calls:
            self._unblock_calls()
        if self.connection.is_over and not self._unsent:
            self._finish()
        self._watch()

    def go_away(self) -> None:
        """Asks the peer to begin no calls, and closes after its last one."""
        self.connection.go_away()
        self._goodbye_deadline = self._loop.now + _GOODBYE_SECONDS
        self._reset_timer()
        self.wants_to_send()

    def calls(self) -> list[wire_call.AnyWireCall]:
        """Returns the calls that have not ended."""
        return [
            stream.call
            for stream in self.connection.streams
            if stream.call is not None and stream.call is not wire_call.ENDED
        ]

    @property
    def num_unfinished(self) -> int:
        """How many calls have no end, or one that is not all sent."""
        is_owed = bool(self._unsent) and self._transport.can_send
        return self.connection.num_streams + is_owed

    def close(self) -> None:
        """Closes at once; calls that are left learn that the peer is gone."""
        if not self._is_closed:
            self._is_closed = True
            self._loop.cancel(self._timer)
            self._loop.unwatch(self._transport.fileno())
            self._transport.close()
            self._owner.peers.discard(self)
            for stream in self.connection.abandon():
                self._router.advance(self, stream)

    def _on_ready(self, events: int) -> None:
        try:
            self._move(events)
        except Exception:
            # The socket would call back again at once, with what is left.
            logging.exception("A peer could not be read from; closing")
            self.close()

    def _move(self, events: int) -> None:
        if events & event_loop.WRITE and not self._transport.wants_to_write:
            self.flush()
            if events == event_loop.WRITE:
                return
        if not self._is_closed:
            self._read()

    def _read(self) -> None:
        data = self._transport.receive(self._read_bytes)
        if data is None:
            # A handshake goes on, or is over and lets something be sent.
            self._watch()
            return
        if not data:
            self.close()
            return
        now = self._loop.now
        self._last_read_time = now
        if self._is_closing:
            return  # what crossed with the end
        if self._is_first_read:
            self._is_first_read = False
            if data.startswith(_HTTP_1_METHODS):
                self._refuse_http_1()
                return
        connection = self.connection
        # If it was not full, nothing waits behind it.
        is_full = len(data) >= self._read_bytes
        start = time.thread_time() if is_full else 0.0
        for stream in connection.receive(data, now):
            self._last_call_time = now
            self._router.advance(self, stream)
        if connection.has_output or connection.is_over:
            self.wants_to_send()
        if is_full:
            # Not the time of the clock, in which another process may have run.
            self._adapt(time.thread_time() - start)

    def _adapt(self, seconds: float) -> None:
        """Reads few enough bytes at a time that other peers wait briefly."""
        if seconds > _LONG_SECONDS:
            self._read_bytes = max(self._read_bytes // 2, _LEAST_READ_BYTES)
        elif seconds < _QUICK_SECONDS:
            self._read_bytes = min(
                self._read_bytes * 2, transport.MAX_READ_BYTES
            )

    def _refuse_http_1(self) -> None:
        self.connection.take_output()
        self._unsent.append(memoryview(_HTTP_1_RESPONSE))
        self._num_unsent_bytes += len(_HTTP_1_RESPONSE)
        self.connection.abandon()
        self.connection.take_output()
        self.wants_to_send()

    def _send_unsent(self) -> None:
        while self._unsent:
            data = self._unsent[0]
            size = self._transport.send(data)
            if size < len(data):
                self._unsent[0] = data[size:]
                break
            self._unsent.popleft()

    def _count_unsent(self) -> None:
        was_writable = self.is_writable
        self._num_unsent_bytes = sum(map(len, self._unsent))
        if was_writable and not self.is_writable:
            # Also those whose responses are all in the buffer.
            for call in self.calls():
                if isinstance(call, wire_call.WireStreamCall):
                    self.blocked_calls[call] = None

    def _unblock_calls(self) -> None:
        calls, self.blocked_calls = self.blocked_calls, {}
        for call in calls:
            if call.is_writable:
                self._router.resume(call)
            elif call.is_active:
                self.blocked_calls[call] = None

    def _watch(self) -> None:
        """Watches the socket for what is of use now."""
        if self._is_closed:
            return
        events = event_loop.READ if self.is_writable else 0
        if (
            self._unsent and self._transport.can_send
        ) or self._transport.wants_to_write:
            events |= event_loop.WRITE
        if events != self._events:
            self._events = events
            self._loop.rewatch(self._transport.fileno(), events)

    def _finish(self) -> None:
        """Closes, once the peer had time to read the last that it was sent."""
        if not self._is_closing:
            self._is_closing = True
            self._transport.shut_down()
            self._close_deadline = self._loop.now + _LINGER_SECONDS
            self._reset_timer()

    # Time.

    def _reset_timer(self) -> None:
        self._loop.cancel(self._timer)
        self._timer = self._loop.call_at(self._next_time(), self._on_time)

    def _next_time(self) -> float:
        """Returns when there may be something to do."""
        limits = self._owner.limits
        if self._is_closing:
            return self._close_deadline
        times = [
            self._handshake_deadline,
            self._age_deadline,
            self._grace_deadline,
            self._goodbye_deadline,
            self._ping_time + limits.keep_alive_timeout_seconds,
        ]
        if limits.keep_alive_seconds:
            last_time = self._last_read_time
            if self._ping_time < math.inf:
                # It may be answered before its time is up.
                last_time = self._loop.now
            times.append(last_time + limits.keep_alive_seconds)
        if limits.max_idle_seconds and not self.connection.is_going_away:
            last_time = self._last_call_time
            if self.connection.num_streams or self._has_calls:
                last_time = self._loop.now
            times.append(last_time + limits.max_idle_seconds)
        return min(times)

    def _on_time(self) -> None:
        now = self._loop.now
        if self._is_overdue(now):
            self.close()
            return
        if now >= self._goodbye_deadline:
            self._goodbye_deadline = math.inf
            self.connection.finish_going_away()
            self.wants_to_send()
        self._end_if_old_or_idle(now)
        self._ask_for_a_sign(now)
        # Not just a new timer: going away has made one.
        self._reset_timer()

    def _is_overdue(self, now: float) -> bool:
        """Returns whether the peer had time enough for what it had to do."""
        limits = self._owner.limits
        if now >= min(self._close_deadline, self._grace_deadline):
            return True
        if now >= self._handshake_deadline:
            self._handshake_deadline = math.inf
            if not self.connection.is_established:
                return True
        if now >= self._goodbye_deadline and not self._transport.can_send:
            return True  # a handshake that was not ended
        if not self.connection.is_ping_unanswered:
            self._ping_time = math.inf
        elif now >= self._ping_time + limits.keep_alive_timeout_seconds:
            logging.warning("A peer did not answer a PING; closing")
            return True
        return False

    def _end_if_old_or_idle(self, now: float) -> None:
        limits = self._owner.limits
        connection = self.connection
        if now >= self._age_deadline:
            self._grace_deadline = now + limits.max_age_grace_seconds
        if connection.num_streams:
            self._has_calls = True
        elif self._has_calls:
            # The last one has ended since the last time.
            self._has_calls = False
            self._last_call_time = now
        if now >= self._age_deadline or (
            limits.max_idle_seconds
            and not connection.num_streams
            and now >= self._last_call_time + limits.max_idle_seconds
        ):
            self._age_deadline = math.inf
            if not connection.is_going_away:
                self.go_away()

    def _ask_for_a_sign(self, now: float) -> None:
        limits = self._owner.limits
        if (
            limits.keep_alive_seconds
            and now >= self._last_read_time + limits.keep_alive_seconds
            and not self.connection.is_ping_unanswered
        ):
            self.connection.ping()
            self._ping_time = now
            self.wants_to_send()


def _age_deadline(now: float, max_age_seconds: float) -> float:
    """Returns when a connection is old; infinite for never."""
    if not max_age_seconds:
        return math.inf
    return now + max_age_seconds * random.uniform(
        1 - _AGE_JITTER, 1 + _AGE_JITTER
    )
