"""gRPC on sockets of our own: one thread that reads, begins calls and replies.

In each round of its loop the thread

1. reads what has come, on all sockets that have something, and begins the
   calls in it: a method that answers later only records its call;
2. lets the services work on what they recorded, which may run a batch here;
3. sends what there is to send, at most once for each peer.

So one recv() brings many calls, one batch runs them, and one send() carries
their replies. Replies that come from other threads are posted to this one.

If the second step does not end, another thread goes on with the third and all
further rounds; see LeaderThread.
"""

import functools
import math
import os
import resource
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence

from absl import logging
from typing_extensions import override

from tensorflow_serving.rpc import call as call_lib
from tensorflow_serving.rpc import (
    call_router,
    event_loop,
    gate,
    lane,
    listener,
    tls,
    transport,
)
from tensorflow_serving.rpc import options as options_lib
from tensorflow_serving.rpc import peer as peer_lib
from tensorflow_serving.util import background_log, leader_thread

# How many connections are accepted in a row, while those that are there wait.
_MAX_ACCEPTS = 16
# How long accepting pauses when there are no descriptors left.
_ACCEPT_PAUSE_SECONDS = 0.1
# How often that is logged.
_COMPLAINT_SECONDS = 10.0
_HEARTBEAT_SECONDS = 1.0
# How long the thread may take to end, once it has nothing else to do.
_END_SECONDS = 1.0
# The exit code of a process whose thread died: a fault inside it.
_EXIT_CODE = 70


class WireLane(lane.Lane):
    """See Lane.

    The end of its thread by an error is the end of the process: what listens
    and does not answer would be worse.
    """

    @override
    def __init__(
        self, methods: lane.Methods, options: options_lib.Options
    ) -> None:
        self.loop = event_loop.EventLoop()
        self.limits = options.limits
        self.peers: set[peer_lib.Peer] = set()
        self.to_flush: list[peer_lib.Peer] = []
        self.router = call_router.CallRouter(methods, options, self)
        self._options = options
        self._tls: ssl.SSLContext | None = None
        if options.tls:
            self._tls = tls.create_context(options.tls)
        self._listeners: list[listener.Listener] = []
        self._thread = leader_thread.LeaderThread(self._serve, "rpc_events")
        self._is_started = False
        # The work of this round.
        self._work: Sequence[call_lib.Work] = ()
        self._methods = methods
        self._next_complaint_time = 0.0
        self._is_stopping = False
        # How many calls the end of the grace has cut off, replies included that
        # their callers had not taken.
        self._num_aborted = 0
        self._stop_lock = threading.Lock()
        self._is_clean: bool | None = None  # guarded by _stop_lock

    @override
    def listen(self, address: str) -> int:
        listening = listener.Listener(
            address,
            reuse_port=self._options.reuse_port,
            takes_over=self._options.takes_over_sockets,
        )
        self._listeners.append(listening)
        return listening.port

    @override
    def start(self) -> None:
        _raise_descriptor_limit()
        for each in self._listeners:
            for sock in each.sockets:
                self.loop.watch(
                    sock.fileno(),
                    event_loop.READ,
                    functools.partial(self._on_connections, sock),
                )
        if self._options.heartbeat is not None:
            self._beat(self._options.heartbeat)
        self.router.start()
        self._thread.start()
        self._is_started = True

    @override
    def stop(self, grace_seconds: float) -> bool:
        with self._stop_lock:
            if self._is_clean is None:
                self._is_clean = self._stop(grace_seconds)
            return self._is_clean

    def run(self, function: Callable[[], None]) -> None:
        """Runs a function on the thread of the lane: now, if that is it."""
        if not self._thread.run(function):
            self.loop.post(function)

    def _serve(self, takes_over: bool) -> None:
        """Runs on the thread of the lane, or on one that takes its place."""
        try:
            if takes_over:
                self._take_over()
            self._turn_rounds()
        except BaseException:
            logging.exception("The thread that answers calls failed; exiting")
            background_log.flush()
            os._exit(_EXIT_CODE)

    def _take_over(self) -> None:
        """Leaves the work that holds the other thread up."""
        logging.log_every_n_seconds(
            logging.WARNING,
            "A run takes longer than others of its size; calls of other models "
            "do not wait for it",
            _COMPLAINT_SECONDS,
        )
        for work in self._work:
            try:
                work.leave()
            except BaseException:  # see gate.begin()
                logging.exception("A service failed when it was held up")

    def _turn_rounds(self) -> None:
        """Returns at the end, or when another thread has taken over.

        It begins with the end of a round, as a thread that takes over does.
        """
        router = self.router
        has_more = self._send()
        while not self.loop.is_stopped:
            self.loop.run_once(0.0 if has_more else math.inf)
            if router.has_begun:
                router.has_begun = False
                self._work = self._take_work()
                if self._work:
                    self._thread.begin_step()
                    self._run_work()
                    if not self._thread.end_step():
                        return
            has_more = self._send()

    def _take_work(self) -> Sequence[call_lib.Work]:
        """Returns the work of all services; a fault of one costs no other."""
        all_work = []
        for when_idle in self._methods.when_idle:
            try:
                work = when_idle()
            except BaseException:  # see gate.begin()
                logging.exception("A service failed when it was idle")
            else:
                if work is not None:
                    all_work.append(work)
        return all_work

    def _run_work(self) -> None:
        for work in self._work:
            try:
                if work.run():
                    self.run(self.router.come_back)
            except BaseException:  # see gate.begin()
                logging.exception("A service failed in its work")

    def _send(self) -> bool:
        """Sends what there is to send; returns whether to go on soon."""
        peers, self.to_flush = self.to_flush, []
        for peer in peers:
            self._flush(peer)
        if self._is_stopping and not self.peers:
            self.loop.stop()
        # Sending may let services send more; not before others had a turn.
        return self.router.has_begun or bool(self.to_flush)

    def _flush(self, peer: peer_lib.Peer) -> None:
        """Sends to a peer; a fault of ours costs that peer."""
        try:
            peer.flush()
        except Exception:
            logging.exception("A peer could not be sent to")
            peer.close()

    def _on_connections(self, listening: socket.socket, events: int) -> None:
        self._accept(_MAX_ACCEPTS, listening)

    def _accept(self, num_accepts: int, listening: socket.socket) -> None:
        """Lets in those who wait, up to a number of them."""
        for _ in range(num_accepts):
            try:
                sock, _ = listening.accept()
            except BlockingIOError:
                return
            except ConnectionError:
                continue  # it is gone already
            except (OSError, MemoryError) as error:
                self._pause_accepting(listening, error)
                return
            self._admit(sock)

    def _admit(self, sock: socket.socket) -> None:
        try:
            if self._tls:
                peer_lib.Peer(self, transport.TlsTransport(sock, self._tls))
            else:
                peer_lib.Peer(self, transport.PlainTransport(sock))
        except OSError:  # it is gone already
            sock.close()

    def _pause_accepting(
        self, listening: socket.socket, error: Exception
    ) -> None:
        """Lets new peers wait: there are too few descriptors, or no memory."""
        now = time.monotonic()
        if now >= self._next_complaint_time:
            self._next_complaint_time = now + _COMPLAINT_SECONDS
            logging.error("New connections must wait: %s", error)
        self.loop.rewatch(listening.fileno(), 0)
        self.loop.call_at(
            self.loop.now + _ACCEPT_PAUSE_SECONDS,
            functools.partial(self._go_on_accepting, listening),
        )

    def _go_on_accepting(self, listening: socket.socket) -> None:
        if not self._is_stopping:
            self.loop.rewatch(listening.fileno(), event_loop.READ)

    def _beat(self, heartbeat: Callable[[], None]) -> None:
        heartbeat()
        self.loop.call_at(
            self.loop.now + _HEARTBEAT_SECONDS,
            functools.partial(self._beat, heartbeat),
        )

    # The end.

    def _stop(self, grace_seconds: float) -> bool:
        if not self._is_started:
            self._close_listeners()
            self.loop.close()
            return True
        self.loop.post(self._begin_to_stop)
        is_over = self._thread.join(grace_seconds)
        if not is_over:
            self.loop.post(self._abort)
            is_over = self._thread.join(_END_SECONDS)
        self.router.close()
        if not is_over:
            return False
        self.loop.close()
        return not self._num_aborted

    def _begin_to_stop(self) -> None:
        """Takes no more connections, and has clients make no more calls."""
        for each in self._listeners:
            for sock in each.sockets:
                # Those who were let in already have a right to an answer.
                self._accept(listener.BACKLOG, sock)
                self.loop.unwatch(sock.fileno())
        self._close_listeners()
        self._is_stopping = True
        for peer in list(self.peers):
            peer.go_away()
            self.router.drain(peer.calls())

    def _close_listeners(self) -> None:
        for each in self._listeners:
            each.close()

    def _abort(self) -> None:
        """Answers what is left, as far as it can be sent at once."""
        for peer in list(self.peers):
            self._num_aborted += peer.num_unfinished
            for call in peer.calls():
                call.abort(gate.stopping_error())
            peer.flush()
            peer.close()


def _raise_descriptor_limit() -> None:
    """Lets the process have as many connections as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):  # a system with another limit
            logging.info("The limit of open files stays at %d", soft)
