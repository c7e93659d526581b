"""What clients are promised, once more for who speaks wsgate.delta.v1: the same, word for word.

What is imported here runs here: pytest takes it for this module's, with the fixture below.
"""

from __future__ import annotations

import pytest

from tests.support import gateway
from tests.wire.test_pace import *  # noqa: F403
from tests.wire.test_recovery import *  # noqa: F403
from tests.wire.test_slow_readers import (  # noqa: F401
    test_a_frame_larger_than_every_buffer,
    test_a_slow_client_that_unsubscribes_gets_nothing_of_it_after_the_reply,
    test_many_slow_clients_each_in_his_own_way,
    test_others_are_not_concerned_by_a_slow_one,
    test_replies_overtake_what_waits_but_never_cut_into_a_frame,
)
from tests.wire.test_subscriptions import *  # noqa: F403


@pytest.fixture(autouse=True)
def _speak_delta(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "speak_delta", True)
