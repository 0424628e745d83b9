"""Every interpreter that finds this on its path has a wall clock that jumps by days, four times a second.

The monotonic clocks run on. What asks ``time.time`` for a duration gets one of days, or a negative one.
"""

import time

DAY_S = 86_400.0
JUMPS_S = (0.0, 3 * DAY_S, -5 * DAY_S, 40 * DAY_S)
STEP_S = 0.25

_true = time.time
_true_ns = time.time_ns
_monotonic = time.monotonic


def _jump_s() -> float:
    return JUMPS_S[int(_monotonic() / STEP_S) % len(JUMPS_S)]


time.time = lambda: _true() + _jump_s()
time.time_ns = lambda: _true_ns() + int(_jump_s() * 1e9)
