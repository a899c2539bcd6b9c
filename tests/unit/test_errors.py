"""Errors pass through the files of what is read ahead without a change."""

from __future__ import annotations

import importlib
import inspect
import pickle
import pkgutil
from collections.abc import Iterator

import pytest

import tap_intercom
from tap_intercom.errors import AuthError, Stopped, TapError

# For what an `__init__` may take, in any error that exists or is added.
ARGUMENTS = {"str": "text", "int": 403, "bool": True, "float": 1.5, "str | None": "text"}
# Modules that need a package which the tap does not need.
NEED_AN_EXTRA = ("tap_intercom.dagster",)


def subclasses(kind: type[BaseException]) -> Iterator[type[BaseException]]:
    yield kind
    for each in kind.__subclasses__():
        yield from subclasses(each)


def errors() -> list[BaseException]:
    """One error of each class of the package, with another value than the default everywhere."""
    for module in pkgutil.walk_packages(tap_intercom.__path__, "tap_intercom."):
        if module.name not in NEED_AN_EXTRA:
            importlib.import_module(module.name)
    found: list[BaseException] = []
    for kind in sorted({*subclasses(TapError), *subclasses(Stopped)}, key=str):
        if not kind.__module__.startswith("tap_intercom."):
            continue
        found.append(kind(*arguments_of(kind)))
    return found


def arguments_of(kind: type[BaseException]) -> list[object]:
    if not inspect.isfunction(kind.__init__):
        return ["text"]
    _, *parameters = inspect.signature(kind.__init__).parameters.values()
    return [ARGUMENTS[each.annotation] for each in parameters]


def assert_survives(error: BaseException) -> None:
    copy = pickle.loads(pickle.dumps(error, pickle.HIGHEST_PROTOCOL))
    assert type(copy) is type(error)
    assert copy.args == error.args
    assert vars(copy) == vars(error)
    assert str(copy) == str(error)


@pytest.mark.parametrize("error", errors(), ids=lambda error: type(error).__name__)
def test_an_error_survives_a_file(error: BaseException) -> None:
    assert_survives(error)


def test_an_attribute_that_was_set_later_survives_a_file() -> None:
    error = AuthError("refused", 403, "forbidden")
    error.stream = "tickets"
    assert_survives(error)


def test_an_error_that_does_not_keep_its_arguments_survives_a_file() -> None:
    assert_survives(OddError("a", number=2))


class OddError(TapError):
    """As one that is added may be: its text is made of what it is given."""

    def __init__(self, name: str, *, number: int) -> None:
        super().__init__(f"{name}: {number}")
        self.number = number
