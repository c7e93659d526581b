"""The rules of the edge when the gateway is busy: the same tests, where everything waits its turn.

What is imported here runs here: pytest takes it for this module's, with the fixture below.
"""

from __future__ import annotations

import pytest

from tests.support import gateway
from tests.support.certificates import Certificate
from tests.wire.test_broken_frames import (  # noqa: F401
    test_a_broken_frame_in_the_packet_of_the_request,
    test_the_first_offence_counts_and_close_is_sent_once,
    test_whoever_breaks_the_protocol_is_told_and_nothing_follows,
)
from tests.wire.test_closing import (  # noqa: F401
    test_a_client_that_closes_and_reads_nothing_is_cut_off,
    test_a_client_that_is_gone_leaves_nothing_behind,
    test_a_client_that_only_ends_its_own_direction_is_gone,
    test_a_client_that_the_hub_cannot_take_costs_nobody_else_his_connection,
    test_a_client_that_upgrades_while_the_gateway_stops,
    test_a_clients_close_is_answered_with_its_own_code,
    test_commands_before_close_are_answered_or_not_but_close_is_last,
    test_nothing_comes_between_a_clients_close_and_the_answer,
    test_stop_says_1012_after_all_that_is_owed,
    test_whoever_asks_and_never_reads_is_cut_off,
)
from tests.wire.test_frames import (  # noqa: F401
    test_a_message_may_be_fragmented_at_every_byte,
    test_frames_of_every_length_form_byte_by_byte,
    test_many_frames_in_one_packet,
)
from tests.wire.test_upgrade import (  # noqa: F401
    test_a_client_that_leaves_within_the_handshake,
    test_a_header_that_is_too_large_is_cut_off,
    test_a_malformed_request_is_refused,
    test_a_request_byte_by_byte,
    test_a_slow_handshake_is_cut_off,
    test_commands_may_come_in_the_same_packet_as_the_request,
    test_health_on_the_clients_port,
    test_one_client_too_many_is_asked_to_come_back,
    test_requests_after_the_first_are_not_answered,
    test_the_handshake_timeout_ends_with_the_handshake,
)
from wsgate import turns


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(autouse=True, params=["plain", "tls"])
def _late(
    request: pytest.FixtureRequest, certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No time is left in any round: one thing of one client is done in each."""
    monkeypatch.setattr(turns, "ROUND_S", -1.0)
    if request.param == "tls":
        monkeypatch.setattr(gateway, "over_tls", certificate)
