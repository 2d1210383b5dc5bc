"""Errors that cross from one process to another stay what they were."""

from __future__ import annotations

import pytest

from actors import ActorsError, InvalidMessage, ModelStopped, QueryFailed, Rejected, UnknownName
from actors.worker_processes.wire.error_codec import pack_error, unpack_error
from storage import MessageTooLarge, StoreLocked
from storage.codec.codec import Codec


class OutOfStock(Rejected):
    """A domain's own."""


class Picky(Exception):
    """Can't be made from its arguments."""

    def __init__(self, *, text: str) -> None:
        super().__init__()
        self.text = text

    def __str__(self) -> str:
        return f"picky: {self.text}"


def crossed(error: BaseException) -> Exception:
    codec = Codec()
    return unpack_error(pack_error(error, codec), codec)


@pytest.mark.parametrize(
    "error",
    [
        QueryFailed("it failed"),
        ModelStopped("it is stopped"),
        Rejected("no", code="shop.closed", until=5),
        OutOfStock("none left", code="stock", left=0),
        InvalidMessage.of("ListProduct", "price", "int", "str 'abc'"),
        UnknownName("replica", "x", ["a", "b"]),
        StoreLocked("held", "process 7"),
        MessageTooLarge("too large", 7, 5),
        FileNotFoundError(2, "No such file", "/nowhere"),
        KeyError("key"),
        Picky(text="indeed"),
        ValueError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_class_text_and_attributes_are_the_same(error: Exception) -> None:
    other = crossed(error)
    assert type(other) is type(error)
    assert str(other) == str(error)
    assert other.args == error.args
    assert vars(other) == vars(error)


def test_causes_come_along_with_where_they_were_raised() -> None:
    try:
        try:
            raise LookupError("deep", 7)
        except LookupError as cause:
            raise QueryFailed("query Deep failed") from cause
    except QueryFailed as raised:
        other = crossed(raised)
    cause = other.__cause__
    assert type(cause) is LookupError
    assert cause.args == ("deep", 7)
    assert "test_error_codec.py" in cause.__notes__[0]


def test_a_class_that_only_the_worker_has_is_told_by_name() -> None:
    class Hidden(Exception):
        pass

    other = crossed(Hidden("something"))
    assert type(other) is RuntimeError
    assert "Hidden" in str(other)
    assert "something" in str(other)


def test_what_has_no_encoding_is_told_as_text() -> None:
    class Odd:
        def __repr__(self) -> str:
            return "<odd>"

    other = crossed(Rejected("no", code="odd", thing=Odd()))
    assert isinstance(other, ActorsError)
    assert other.details == {"thing": "<odd>"}  # type: ignore[attr-defined]


def test_an_error_whose_text_fails_or_is_no_text_is_told_all_the_same() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise ValueError("no")

    assert "Mute" in str(crossed(Mute()))
    assert "�" in str(crossed(ValueError("\ud800"))) or "?" in str(crossed(ValueError("\ud800")))


def test_what_is_no_exception_of_a_program_is_one_when_it_arrives() -> None:
    assert isinstance(crossed(KeyboardInterrupt("stop")), RuntimeError)
