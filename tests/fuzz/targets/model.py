"""The core against the model that its tests have: an input is what hypothesis would choose.

Another version of hypothesis may read the same bytes as other choices.
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis.stateful import get_state_machine_test

from tests.core.test_model import CoreAgainstModel

STEPS = 40

fuzz = get_state_machine_test(
    CoreAgainstModel, settings=settings(database=None, stateful_step_count=STEPS, deadline=None)
).hypothesis.fuzz_one_input
