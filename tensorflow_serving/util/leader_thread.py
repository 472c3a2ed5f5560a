"""A thread that works in rounds, and another that takes over when it hangs.

Example:
    def lead(takes_over: bool) -> None:
        while not is_over:
            read_what_came()
            thread.begin_step()
            do_work_that_may_hang()
            if not thread.end_step():
                return  # another thread leads now
            write_what_is_ready()

    thread = LeaderThread(lead, "rpc_events")
    thread.start()

The pattern is known as Leader/Followers. Here the leader does everything
itself as long as its steps are short, so that no work changes threads.
"""

import threading
from collections.abc import Callable
from typing import Final

from absl import logging

# A step that takes longer holds the thread up.
_MAX_STEP_SECONDS: Final = 0.02


class LeaderThread:
    """One thread at a time that leads, and one that follows it.

    When a step holds the leader up, the follower becomes the leader, and gets a
    follower of its own. The thread that was held up ends with its step; if no
    other could be started, it is the follower then.

    Thread-safe, but begin_step() and end_step() are for the leader.
    """

    def __init__(
        self,
        lead: Callable[[bool], None],
        name: str,
        max_step_seconds: float = _MAX_STEP_SECONDS,
    ) -> None:
        """Has no thread yet.

        Args:
          lead: Does the work, and returns when it is over, or when end_step()
            has returned False. Its argument is whether it goes on in place of a
            thread whose step holds that up, and has not ended. Must not raise
            anything but in a step.
          name: The name of the threads.
          max_step_seconds: How long a step may take.
        """
        self._lead = lead
        self._name = name
        self._max_step_seconds = max_step_seconds
        # Reentrant: what run() runs may call it.
        self._lock = threading.RLock()
        # There is a step to watch, or the work is over.
        self._news = threading.Condition(self._lock)
        # All below are guarded by _lock; _leader_id is also read without it, as
        # only the leader finds its own there.
        self._leader_id: int | None = None
        self._leader: threading.Thread | None = None
        self._follower: threading.Thread | None = None
        self._num_steps = 0
        self._is_in_step = False
        # Whether the follower looks at steps; otherwise the next one wakes it.
        self._is_watching = False
        self._is_over = False

    def start(self) -> None:
        """Starts the leader and its follower.

        Raises:
          RuntimeError: The system has no more threads.
        """
        self._start_thread(leads=False)
        try:
            self._start_thread(leads=True)
        except RuntimeError:
            self._end()
            raise

    @property
    def is_leading(self) -> bool:
        """Whether the calling thread leads."""
        return self._leader_id == threading.get_ident()

    def begin_step(self) -> None:
        """Begins a step, which may hold the thread up.

        A step changes nothing that belongs to the leader but by run(). If it
        raises, the thread ends with it, and is replaced.
        """
        with self._lock:
            self._num_steps += 1
            self._is_in_step = True
            if not self._is_watching:
                self._is_watching = True
                self._news.notify_all()

    def end_step(self) -> bool:
        """Ends the step; returns whether the thread still leads."""
        with self._lock:
            if not self.is_leading:
                return False
            self._is_in_step = False
        return True

    def run(self, function: Callable[[], None]) -> bool:
        """Runs a function if this thread leads; returns whether it does.

        Nobody takes over before the function has returned.
        """
        if not self.is_leading:
            return False
        with self._lock:
            if not self.is_leading:
                return False
            function()
        return True

    def join(self, max_seconds: float) -> bool:
        """Waits until the work is over; returns whether it is."""
        with self._lock:
            if not self._news.wait_for(lambda: self._is_over, max_seconds):
                return False
            threads = [self._leader, self._follower]
        for thread in threads:
            if thread is not None:
                thread.join()
        return True

    def _start_thread(self, *, leads: bool) -> None:
        threading.Thread(
            target=self._run, args=(leads,), name=self._name
        ).start()

    def _run(self, leads: bool) -> None:
        """Runs on each thread: leads, or follows, until the work is over."""
        if leads:
            with self._lock:
                self._become_leader()
            self._lead_to_the_end(takes_over=False)
        while self._follow():
            try:
                self._start_thread(leads=False)
            except RuntimeError as error:
                logging.warning("No thread can follow: %s", error)
            self._lead_to_the_end(takes_over=True)

    def _lead_to_the_end(self, *, takes_over: bool) -> None:
        self._lead(takes_over)
        if self.is_leading:
            self._end()

    def _end(self) -> None:
        with self._lock:
            self._is_over = True
            # Another thread may get the same one.
            self._leader_id = None
            self._news.notify_all()

    def _become_leader(self) -> None:
        """Needs the lock."""
        self._leader = threading.current_thread()
        self._leader_id = threading.get_ident()
        self._is_in_step = False

    def _follow(self) -> bool:
        """Waits until a step holds the leader up, and takes its place.

        Returns False if the work is over, or somebody else follows.
        """
        with self._lock:
            if self._follower is not None or self._is_over:
                return False
            self._follower = threading.current_thread()
            while not self._is_over:
                if not self._is_watching:
                    self._news.wait()
                elif self._sees_a_step_too_long():
                    self._follower = None
                    self._become_leader()
                    return True
        return False

    def _sees_a_step_too_long(self) -> bool:
        """Waits for as long as a step may take; needs the lock."""
        num_steps = self._num_steps
        self._news.wait(self._max_step_seconds)
        if num_steps != self._num_steps or self._is_over:
            return False
        # Without a step the next one wakes this thread.
        self._is_watching = self._is_in_step
        return self._is_in_step
