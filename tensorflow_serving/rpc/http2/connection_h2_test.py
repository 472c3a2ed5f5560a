"""A connection against the library h2 as its client, step by step at random.

The steps are those of a client, of the server above the connection, and of a
network that delivers bytes in pieces. Whatever their order, both sides agree on
every request and every response, and nothing is lost.
"""

import dataclasses

import h2.config
import h2.connection
import h2.events
import h2.settings
import hypothesis
from absl.testing import absltest
from hypothesis import stateful, strategies

from tensorflow_serving.rpc.http2 import (
    connection,
    frame_script,
    frames,
    header_block,
)
from tensorflow_serving.rpc.http2 import limits as limits_lib
from tensorflow_serving.rpc.http2 import stream as stream_lib

_LIMITS = limits_lib.Limits(
    max_concurrent_streams=4,
    stream_window_bytes=2_000,
    message_room_bytes=20_000,
)
_HEAD = header_block.encode([(b":status", b"200"), (b"a", b"b")])
_TRAILERS = header_block.encode([(b"grpc-status", b"0"), (b"c", b"d" * 200)])
_SETTINGS = strategies.fixed_dictionaries(
    {},
    optional={
        h2.settings.SettingCodes.HEADER_TABLE_SIZE: strategies.sampled_from(
            [0, 100, 4_096, 65_536]
        ),
        h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: strategies.sampled_from(
            [0, 1, 100, 65_535, 1 << 20]
        ),
        h2.settings.SettingCodes.MAX_FRAME_SIZE: strategies.sampled_from(
            [16_384, 20_000, 1 << 20]
        ),
    },
)
_NUMBERS = strategies.integers(0, 1 << 16)
_SIZES = strategies.sampled_from([0, 1, 5, 100, 3_000, 20_000, 100_000])


def _bytes(first: int, size: int) -> bytes:
    """Returns bytes of which every part is different."""
    pattern = bytes((first + i) % 251 for i in range(251))
    return (pattern * (size // 251 + 1))[:size]


@dataclasses.dataclass
class _Call:
    """A call as one side sent it and as the other received it."""

    request: bytes = b""
    is_request_ended: bool = False
    taken: bytes = b""
    response: bytes = b""
    is_begun: bool = False
    is_answered: bool = False
    received: bytes = b""
    # Received bytes that the client has not given back.
    num_unread_bytes: int = 0
    has_response_ended: bool = False
    # Whether one side has reset it.
    is_reset: bool = False


class _BothSides(stateful.RuleBasedStateMachine):
    """A client, a server, and the bytes between them."""

    def __init__(self) -> None:
        super().__init__()
        self._client = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=True, header_encoding=None)
        )
        self._server = connection.Connection(_LIMITS, 0.0)
        self._calls: dict[int, _Call] = {}
        self._streams: dict[int, stream_lib.Stream] = {}
        self._to_server = b""
        self._to_client = b""
        self._awaits_settings = False

    # The client.

    @stateful.initialize(settings=_SETTINGS)
    def say_hello(
        self, settings: dict[h2.settings.SettingCodes | int, int]
    ) -> None:
        """The client sends the preface and its settings."""
        self._client.initiate_connection()
        self._awaits_settings = True
        self._deliver_all()
        self.change_settings(settings)
        self._deliver_all()

    @stateful.rule(number=_NUMBERS, ends=strategies.booleans())
    def open_call(self, number: int, ends: bool) -> None:
        """The client begins a call, if it may."""
        if self._client.open_outbound_streams >= _LIMITS.max_concurrent_streams:
            return
        stream_id = self._client.get_next_available_stream_id()
        self._client.send_headers(
            stream_id,
            [*frame_script.REQUEST_FIELDS, (b"x-number", b"%d" % number)],
            end_stream=ends,
        )
        self._calls[stream_id] = _Call(is_request_ended=ends)

    @stateful.rule(number=_NUMBERS, size=_SIZES, ends=strategies.booleans())
    def send_data(self, number: int, size: int, ends: bool) -> None:
        """The client sends as much data as it may, padded now and then."""
        if (found := self._pick(number, self._sendable())) is None:
            return
        stream_id, call = found
        may_send = min(
            self._client.local_flow_control_window(stream_id),
            self._client.max_outbound_frame_size,
        )
        padding = number % 7 if may_send > 10 and number % 3 == 0 else None
        size = min(size, may_send - (0 if padding is None else padding + 1))
        data = _bytes(len(call.request), size)
        self._client.send_data(stream_id, data, ends, pad_length=padding)
        call.request += data
        call.is_request_ended = ends

    @stateful.rule(number=_NUMBERS)
    def send_trailers(self, number: int) -> None:
        """The client ends a request with trailers."""
        if (found := self._pick(number, self._sendable())) is not None:
            stream_id, call = found
            self._client.send_headers(
                stream_id, [(b"x-checksum", b"1")], end_stream=True
            )
            call.is_request_ended = True

    @stateful.rule(number=_NUMBERS)
    def cancel(self, number: int) -> None:
        """The client takes a call back."""
        open_calls = {
            stream_id: call
            for stream_id, call in self._calls.items()
            if not call.is_reset and not call.has_response_ended
        }
        if (found := self._pick(number, open_calls)) is not None:
            stream_id, call = found
            self._client.reset_stream(stream_id, frames.ErrorCode.CANCEL)
            call.is_reset = True

    @stateful.rule(settings=_SETTINGS)
    def change_settings(
        self, settings: dict[h2.settings.SettingCodes | int, int]
    ) -> None:
        """The client changes its settings, windows included.

        One change at a time: with the acknowledgement of one, h2 would apply
        the values of the next.
        """
        if not self._awaits_settings:
            self._client.update_settings(settings)
            self._awaits_settings = True

    @stateful.rule(number=_NUMBERS)
    def read(self, number: int) -> None:
        """The client reads what it has received, and so opens windows."""
        if (found := self._pick(number, self._calls)) is not None:
            stream_id, call = found
            size = call.num_unread_bytes
            self._client.acknowledge_received_data(size, stream_id)
            call.num_unread_bytes = 0

    @stateful.rule()
    def ping(self) -> None:
        """The client measures the delay."""
        self._client.ping(b"12345678")

    # The server.

    @stateful.rule(number=_NUMBERS, size=_SIZES)
    def begin_response(self, number: int, size: int) -> None:
        """The server sends a part of a response."""
        if (found := self._pick(number, self._answerable())) is not None:
            stream_id, call = found
            stream = self._streams[stream_id]
            if not call.is_begun:
                self._server.send_headers(stream, _HEAD)
                call.is_begun = True
            data = _bytes(len(call.response), size)
            self._server.send_data(stream, data)
            call.response += data

    @stateful.rule(number=_NUMBERS)
    def end_response(self, number: int) -> None:
        """The server ends a response, or answers with trailers only."""
        if (found := self._pick(number, self._answerable())) is not None:
            stream_id, call = found
            block = _TRAILERS if call.is_begun else _HEAD
            self._server.send_end(self._streams[stream_id], block)
            call.is_answered = True

    @stateful.rule()
    def send_whole(self) -> None:
        """The server answers at once all that it can answer so."""
        ready = [
            (self._streams[stream_id], call)
            for stream_id, call in self._answerable().items()
            if not call.is_begun and self._streams[stream_id].is_ended
        ]
        if self._server.may_send_whole(len(ready), 3):
            rendered = b"".join(
                frame_script.headers(stream.id, _HEAD)
                + frame_script.data(stream.id, b"abc")
                + frame_script.trailers(stream.id, _TRAILERS)
                for stream, _ in ready
            )
            self._server.send_whole(
                [stream for stream, _ in ready], rendered, 3
            )
            for _, call in ready:
                call.response = b"abc"
                call.is_answered = True

    @stateful.rule(number=_NUMBERS, size=_SIZES)
    def need_room(self, number: int, size: int) -> None:
        """The server finds that a message is large."""
        if (found := self._pick(number, self._answerable())) is not None:
            stream = self._streams[found[0]]
            self._server.incoming.need_room(stream, max(size, 1))

    @stateful.rule(number=_NUMBERS)
    def take(self, number: int) -> None:
        """The server takes data, and asks for more."""
        if (found := self._pick(number, self._answerable())) is not None:
            stream_id, call = found
            stream = self._streams[stream_id]
            call.taken += stream.take(stream.num_received_bytes)
            self._server.consume(stream)

    @stateful.rule(number=_NUMBERS)
    def reset(self, number: int) -> None:
        """The server ends a call without a response."""
        if (found := self._pick(number, self._answerable())) is not None:
            stream_id, call = found
            self._server.reset(
                self._streams[stream_id], frames.ErrorCode.INTERNAL_ERROR
            )
            call.is_reset = True

    # The network.

    @stateful.rule(size=_NUMBERS)
    def deliver_to_server(self, size: int) -> None:
        """Some bytes of the client arrive."""
        self._to_server += self._client.data_to_send()
        arrived, self._to_server = (
            self._to_server[:size],
            self._to_server[size:],
        )
        for stream in self._server.receive(arrived, 0.0):
            self._streams[stream.id] = stream

    @stateful.rule(size=_NUMBERS)
    def deliver_to_client(self, size: int) -> None:
        """Some bytes of the server arrive."""
        self._to_client += self._server.take_output()
        arrived, self._to_client = (
            self._to_client[:size],
            self._to_client[size:],
        )
        for event in self._client.receive_data(arrived):
            self._notice(event)

    def _notice(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.DataReceived):
            call = self._calls[event.stream_id]
            call.received += event.data
            call.num_unread_bytes += event.flow_controlled_length
        elif isinstance(event, h2.events.SettingsAcknowledged):
            self._awaits_settings = False
        elif isinstance(event, h2.events.StreamEnded):
            self._calls[event.stream_id].has_response_ended = True
        elif isinstance(event, h2.events.StreamReset):
            call = self._calls[event.stream_id]
            # After an early answer, it only asks for no more data.
            if event.error_code != frames.ErrorCode.NO_ERROR:
                call.is_reset = True
            call.is_request_ended = True

    def _deliver_all(self) -> None:
        while True:
            self.deliver_to_server(1 << 30)
            self.deliver_to_client(1 << 30)
            self._to_server += self._client.data_to_send()
            if not self._to_server and not self._server.has_output:
                return

    # The invariants.

    @stateful.invariant()
    def nobody_finds_fault(self) -> None:
        """h2 keeps to the rules, and so does the server: h2 would raise."""
        assert self._server.fault is None, self._server.fault

    @stateful.invariant()
    def nothing_is_changed_on_the_way(self) -> None:
        """The received bytes are a prefix of the sent bytes."""
        for stream_id, call in self._calls.items():
            assert call.response.startswith(call.received)
            assert call.request.startswith(call.taken)
            if stream_id in self._streams:
                stream = self._streams[stream_id]
                rest = call.request[len(call.taken) :]
                assert rest.startswith(b"".join(stream.chunks))

    def teardown(self) -> None:
        """Both sides end what is open, and then agree about all calls."""
        if not self._to_client and not self._calls:
            return
        self._deliver_all()
        for stream_id, call in self._sendable().items():
            self._client.end_stream(stream_id)
            call.is_request_ended = True
        self.change_settings(
            {h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 1 << 24}
        )
        self._client.increment_flow_control_window(1 << 28)
        self._deliver_all()
        for stream_id, call in self._answerable().items():
            stream = self._streams[stream_id]
            assert stream.is_ended
            call.taken += stream.take(stream.num_received_bytes)
            assert call.taken == call.request
            self._server.send_end(stream, _TRAILERS if call.is_begun else _HEAD)
            call.is_answered = True
        self._deliver_all()
        self.nobody_finds_fault()
        for call in self._calls.values():
            assert call.is_reset or call.is_answered
            assert call.is_reset or call.received == call.response
            assert call.is_reset or call.has_response_ended
        self._go_away()

    def _go_away(self) -> None:
        """The server ends the connection, and the client understands it."""
        self._server.finish_going_away()
        events = self._client.receive_data(self._server.take_output())
        assert [
            (event.error_code, event.last_stream_id)
            for event in events
            if isinstance(event, h2.events.ConnectionTerminated)
        ] == [(frames.ErrorCode.NO_ERROR, max(self._calls, default=0))]
        assert self._server.is_over

    def _sendable(self) -> dict[int, _Call]:
        """Returns the calls of which the client has not sent all."""
        return {
            stream_id: call
            for stream_id, call in self._calls.items()
            if not call.is_request_ended and not call.is_reset
        }

    def _answerable(self) -> dict[int, _Call]:
        """Returns the calls that the server has not answered."""
        return {
            stream_id: self._calls[stream_id]
            for stream_id, stream in self._streams.items()
            if not stream.is_closed and not self._calls[stream_id].is_answered
        }

    def _pick(
        self, number: int, calls: dict[int, _Call]
    ) -> tuple[int, _Call] | None:
        choices = list(calls.items())
        return choices[number % len(choices)] if choices else None


_SETTINGS_OF_TEST = hypothesis.settings(
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=400,
    stateful_step_count=40,
    suppress_health_check=list(hypothesis.HealthCheck),
    report_multiple_bugs=False,
    phases=(hypothesis.Phase.generate, hypothesis.Phase.shrink),
)


class H2Test(absltest.TestCase):
    """The library h2, which many clients are made with."""

    def test_both_sides_agree_whatever_happens(self) -> None:
        """Calls, windows, settings and resets in any order lose nothing."""
        stateful.run_state_machine_as_test(
            _BothSides, settings=_SETTINGS_OF_TEST
        )


if __name__ == "__main__":
    absltest.main()
