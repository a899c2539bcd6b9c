"""The log: its level and form, and no secret in any line."""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tap_intercom import log

Lines = Callable[[], list[str]]


@pytest.fixture
def lines(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Lines]:
    """What the log wrote since the last call; the state of logging stays as it was."""
    names = ("tap_intercom", "tap_intercom.intercom.metrics", *log.LIBRARIES)
    loggers = [logging.getLogger(name) for name in names]
    before = [(each, each.handlers[:], each.propagate, each.level) for each in loggers]
    raises, excepthook = logging.raiseExceptions, threading.excepthook
    monkeypatch.setattr(log, "_secrets", set())
    for variable in (*log.LEVEL_VARIABLES, log.SDK_VARIABLE):
        monkeypatch.delenv(variable, raising=False)
    yield lambda: capfd.readouterr().err.splitlines()
    for logger, handlers, propagate, level in before:
        logger.handlers[:], logger.propagate = handlers, propagate
        logger.setLevel(level)
    logging.raiseExceptions, threading.excepthook = raises, excepthook
    logging.captureWarnings(False)


LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


@pytest.mark.parametrize(
    ("variables", "shown"),
    [
        ({}, LEVELS[1:]),
        ({"LOGLEVEL": "debug"}, LEVELS),
        ({"LOGLEVEL": " Warning "}, LEVELS[2:]),
        ({"TAP_INTERCOM_LOGLEVEL": "ERROR", "LOGLEVEL": "DEBUG"}, LEVELS[3:]),
        ({"TAP_INTERCOM_LOGLEVEL": "", "LOGLEVEL": "ERROR"}, LEVELS[3:]),
    ],
)
def test_the_level_is_that_of_the_environment(
    lines: Lines,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    shown: tuple[str, ...],
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    log.set_up()
    for level in LEVELS:
        log.LOGGER.log(logging.getLevelName(level), "about %s", level.lower())
    found = lines()
    assert len(found) == len(shown)
    for line, level in zip(found, shown, strict=True):
        assert level in line
        assert line.endswith(f"about {level.lower()}")


def test_an_unknown_level_is_told(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGLEVEL", "loud")
    log.set_up()
    log.LOGGER.info("shown")
    log.LOGGER.debug("not shown")
    warning, line = lines()
    assert "LOGLEVEL: unknown level 'LOUD'; INFO is used" in warning
    assert line.endswith("shown")


@pytest.mark.parametrize("style", log.STYLES)
def test_no_secret_is_in_any_part_of_a_line(lines: Lines, style: str) -> None:
    log.hide("hunter2", None, "", 'quo"te')
    log.set_up(style)
    fields: dict[str, Any] = {"url": ["a hunter2"], "more": {"token": 'quo"te'}}
    log.LOGGER.info("the token is %s or %s", "hunter2", 'quo"te', extra={"fields": fields})
    log.LOGGER.error(json.dumps({"token": 'quo"te'}))
    try:
        raise ValueError("hunter2 is wrong")
    except ValueError:
        log.LOGGER.exception("failed")
    logging.getLogger("urllib3").warning("retrying hunter2")
    text = "\n".join(lines())
    assert "hunter2" not in text
    assert 'quo"te' not in text
    assert 'quo\\"te' not in text
    for shown in ("the token is *** or ***", "*** is wrong", "retrying ***"):
        assert shown in text


def test_the_longest_secret_is_hidden_whole(lines: Lines) -> None:
    log.hide("abc", "abcdef")
    log.set_up()
    log.LOGGER.info("it is abcdef")
    (line,) = lines()
    assert line.endswith("it is ***")


def test_json_lines_have_time_level_message_and_fields(lines: Lines) -> None:
    log.set_up("json")
    log.LOGGER.warning("two\nlines\x7f", extra={"fields": {"metric": {"value": 1}}})
    (line,) = lines()
    document = json.loads(line)
    assert "\x7f" not in line
    assert document.pop("time").endswith("Z")
    assert document == {
        "level": "WARNING",
        "message": "two\nlines\x7f",
        "metric": {"value": 1},
    }


def test_json_names_are_not_changed_by_a_secret(lines: Lines) -> None:
    log.hide("level")
    log.set_up("json")
    log.LOGGER.info("a level")
    (line,) = lines()
    assert json.loads(line)["level"] == "INFO"
    assert json.loads(line)["message"] == "a ***"


def test_a_text_stays_on_one_line_and_commands_no_terminal(lines: Lines) -> None:
    log.set_up()
    log.LOGGER.info("red \x1b[31m\r\nand \u202eback")
    (line,) = lines()
    assert "\x1b" not in line
    assert "\u202e" not in line
    assert "\\x1b[31m" in line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Zoë 日本 👍", "Zoë 日本 👍"),
        ("a\tb", "a\tb"),
        ("a\nb", "a\\nb"),
        ("\x00\x9b", "\\x00\\x9b"),
        ("\u2028\ud800", "\\u2028\\ud800"),
    ],
)
def test_foreign_text_is_made_printable(text: str, shown: str) -> None:
    assert log.printable(text) == shown


def test_a_line_that_cannot_be_made_stops_nothing(lines: Lines) -> None:
    log.set_up()
    log.LOGGER.info("%d records", "many")
    log.LOGGER.info("after")
    first, second = lines()
    assert "could not be formatted (TypeError)" in first
    assert second.endswith("after")


# What Meltano requires of a line before it takes level and message from it.
OF_MELTANO = {"level", "pid", "logger_name", "ts", "thread_name", "app_name", "message"}


def test_meltano_gets_lines_with_a_level(
    lines: Lines, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / "tap.singer_sdk_logging.json"
    formatter = {"()": "singer_sdk.logging.StructuredFormatter"}
    config.write_text(json.dumps({"formatters": {"singer_formatter": formatter}}))
    monkeypatch.setenv("SINGER_SDK_LOG_CONFIG", str(config))
    log.set_up()
    log.hide("geheim")
    log.LOGGER.warning("not %s", "geheim")
    try:
        raise ValueError("geheim")
    except ValueError:
        log.LOGGER.critical("a bug", exc_info=True)
    first, second = map(json.loads, lines())
    assert first.keys() >= OF_MELTANO
    assert (first["level"], first["message"]) == ("warning", "not ***")
    assert second["message"].splitlines()[0] == "a bug"
    assert second["message"].splitlines()[-1] == "ValueError: ***"


@pytest.mark.parametrize("content", [None, b"\xff", b'{"format": "%(message)s"}'])
def test_meltano_gets_text_if_it_asks_for_no_other_form(
    lines: Lines, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None
) -> None:
    config = tmp_path / "logging.json"
    if content is not None:
        config.write_bytes(content)
    monkeypatch.setenv("SINGER_SDK_LOG_CONFIG", str(config))
    log.set_up()
    log.LOGGER.warning("text")
    (line,) = lines()
    assert re.fullmatch(r"WARNING \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ text", line)


def test_a_log_that_is_text_in_a_file_is_not_watched(lines: Lines) -> None:
    log.set_up()
    assert not log.is_watched()


@pytest.mark.parametrize("style", log.STYLES)
def test_nothing_follows_the_line_that_says_why_a_process_ends(lines: Lines, style: str) -> None:
    log.set_up(style)
    log.LOGGER.info("first")
    log.LOGGER.critical("the reason", extra=log.LAST_LINE)
    log.LOGGER.info("late")
    logging.getLogger("urllib3").warning("later")
    assert [line for line in lines() if "first" not in line and "the reason" not in line] == []
