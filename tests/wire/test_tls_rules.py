"""The rules of the edge over TLS: the same tests, by clients that encrypt.

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
    test_a_handshake_that_does_not_end_is_ended_by_the_stop,
    test_an_event_rule_may_close_instead_of_a_gap,
    test_commands_before_close_are_answered_or_not_but_close_is_last,
    test_half_a_command_is_no_command,
    test_nothing_comes_between_a_clients_close_and_the_answer,
    test_stop_does_not_wait_for_those_who_do_not_answer,
    test_stop_says_1012_after_all_that_is_owed,
    test_who_is_slow_gets_all_that_is_owed_if_he_reads_in_time,
    test_whoever_asks_and_never_reads_is_cut_off,
)
from tests.wire.test_frames import (  # noqa: F401
    test_frames_of_every_length_form_byte_by_byte,
    test_many_frames_in_one_packet,
)
from tests.wire.test_liveness import (  # noqa: F401
    test_a_client_that_answers_nothing_is_cut_off,
    test_a_slow_reader_is_not_taken_for_dead,
    test_whoever_floods_and_reads_nothing_is_owed_few_pongs,
)
from tests.wire.test_slow_readers import *  # noqa: F403
from tests.wire.test_sockets import (  # noqa: F401
    test_a_client_that_reads_nothing_costs_the_kernel_little,
    test_a_crowd_that_comes_at_once_is_served,
    test_a_server_that_was_given_up_is_made_anew,
    test_connections_that_end_in_the_middle_of_a_flush,
    test_every_accepted_socket_is_bounded_and_does_not_wait,
    test_no_byte_goes_to_a_descriptor_that_is_somebody_elses_by_now,
    test_what_is_owed_together_leaves_in_one_write,
    test_what_is_unsent_is_bounded_for_large_windows_too,
)
from tests.wire.test_turns import (  # noqa: F401
    one_command_each_round,
    test_close_comes_after_what_was_asked_before_it,
    test_each_is_answered_once_and_in_order,
    test_others_are_served_in_between,
)
from tests.wire.test_upgrade import (  # noqa: F401
    test_a_client_that_leaves_within_the_handshake,
    test_a_header_that_is_too_large_is_cut_off,
    test_a_malformed_request_is_refused,
    test_a_plain_get_is_told_to_upgrade,
    test_a_request_byte_by_byte,
    test_a_slow_handshake_is_cut_off,
    test_commands_may_come_in_the_same_packet_as_the_request,
    test_health_on_the_clients_port,
    test_one_client_too_many_is_asked_to_come_back,
    test_requests_after_the_first_are_not_answered,
    test_the_handshake_timeout_ends_with_the_handshake,
)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(autouse=True)
def _over_tls(certificate: Certificate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "over_tls", certificate)
