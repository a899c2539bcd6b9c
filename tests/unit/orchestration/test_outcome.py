from __future__ import annotations

import pytest

from tap_intercom.errors import EXIT_CODES
from tap_intercom.orchestration.outcome import Action, outcome


@pytest.mark.parametrize(
    ("code", "action"),
    [
        (0, Action.SUCCEED),
        (1, Action.FAIL),
        (2, Action.FAIL),
        (3, Action.FAIL),
        (4, Action.RETRY),
        (5, Action.FAIL),
        (6, Action.RETRY),
        (75, Action.WAIT),
        (127, Action.FAIL),
        (130, Action.RETRY),
        (141, Action.RETRY),
        (143, Action.RETRY),
        (137, Action.RETRY),
        (-9, Action.RETRY),
        (99, Action.RETRY),
    ],
)
def test_an_exit_code_decides(code: int, action: Action) -> None:
    assert outcome(code).action is action


def test_a_known_code_has_the_meaning_in_the_documentation() -> None:
    for code, meaning in EXIT_CODES.items():
        assert outcome(code).meaning == meaning


def test_a_signal_is_named() -> None:
    assert outcome(-9).meaning == outcome(137).meaning
    assert "SIGKILL, perhaps for lack of memory" in outcome(-9).meaning
    assert "SIGSEGV;" in outcome(-11).meaning
    assert outcome(99).meaning == "The run ended with the unknown exit code 99."
