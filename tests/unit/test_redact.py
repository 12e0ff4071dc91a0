"""The redactor and the log filter: no secret passes, in any part of a log record."""

import io
import logging
import sys
from collections.abc import Callable
from types import TracebackType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.telemetry.redact import MASK, RedactingFilter, Redactor

CARD = "4111111111111111"
SECRET = "tok/en+with spaces&more"


@pytest.fixture
def redactor() -> Redactor:
    made = Redactor()
    made.learn(SECRET)
    return made


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def log(redactor: Redactor, stream: io.StringIO) -> logging.Logger:
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    handler.addFilter(RedactingFilter(redactor))
    logger = logging.Logger("test")
    logger.addHandler(handler)
    return logger


def test_secrets_are_redacted_in_every_encoding(redactor: Redactor) -> None:
    spellings = [SECRET, "tok%2Fen%2Bwith%20spaces%26more", "tok%2Fen%2Bwith+spaces%26more"]
    for spelling in spellings:
        assert redactor.text(f"a {spelling} b") == f"a {MASK} b"
    assert redactor.text(f"a {CARD} b 4111 1111 1111 1111") == f"a {MASK} b {MASK}"


def test_overlapping_secrets_are_redacted_completely() -> None:
    redactor = Redactor()
    redactor.learn("secret")
    redactor.learn("secret-and-longer")
    assert redactor.text("secret-and-longer secret") == f"{MASK} {MASK}"


def test_short_secrets_are_ignored_and_old_ones_evicted() -> None:
    redactor = Redactor()
    redactor.learn("")
    redactor.learn("abcde")
    assert redactor.text("abcde") == "abcde"
    for number in range(1100):
        redactor.learn(f"access-token-{number:04}")
    assert redactor.text("access-token-0050 access-token-1099") == f"access-token-0050 {MASK}"


def test_values_keep_their_type_unless_redacted(redactor: Redactor) -> None:
    kept = {"a": 1, "b": [True, None, 2.5, "x"], "c": ("y", 7)}
    assert redactor.value(kept) == kept
    assert redactor.value(int(CARD)) == MASK
    assert redactor.value({CARD: [SECRET, (CARD,)]}) == {MASK: [MASK, (MASK,)]}
    assert redactor.value(f"x{SECRET}".encode()) == f"x{MASK}"


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        (lambda log: log.info(f"card {CARD}"), f"INFO card {MASK}"),
        (lambda log: log.info("card %s", CARD), f"INFO card {MASK}"),
        (lambda log: log.info("card %d", int(CARD)), f"INFO card %d ('{MASK}',)"),
        (lambda log: log.info("halves %s%s", CARD[:8], CARD[8:]), f"INFO halves {MASK}"),
        (lambda log: log.info("5%% of %s%s", CARD[:8], CARD[8:]), f"INFO 5% of {MASK}"),
        (lambda log: log.info("%(pan)s", {"pan": CARD}), f"INFO {MASK}"),
        (lambda log: log.info("token %r", SECRET), f"INFO token '{MASK}'"),
        (lambda log: log.info(ValueError(f"bad {CARD}")), f"INFO bad {MASK}"),
        (lambda log: log.info("100 % done " + CARD), f"INFO 100 % done {MASK}"),
        (lambda log: log.info("%d of %d in %.1f s", 1, 2, 0.5), "INFO 1 of 2 in 0.5 s"),
        (lambda log: log.info("wrong %s %s", "one"), "INFO wrong %s %s ('one',)"),
    ],
)
def test_messages_and_arguments(
    log: logging.Logger, stream: io.StringIO, write: Callable[[logging.Logger], None], expected: str
) -> None:
    write(log)
    assert stream.getvalue() == expected + "\n"


def test_exceptions_are_redacted_with_their_causes(log: logging.Logger, stream: io.StringIO) -> None:
    try:
        try:
            raise OSError(f"Cannot connect with {SECRET}")
        except OSError as error:
            raise RuntimeError(f"card {CARD}") from error
    except RuntimeError:
        log.exception("failed")
    said = stream.getvalue()
    assert said.startswith("ERROR failed\nTraceback (most recent call last):\n")
    assert f"OSError: Cannot connect with {MASK}" in said
    assert f"RuntimeError: card {MASK}" in said
    assert CARD not in said
    assert SECRET not in said


def caught() -> tuple[type[BaseException], BaseException, TracebackType]:
    try:
        raise KeyError("plain")
    except KeyError:
        kind, error, trace = sys.exc_info()
    assert kind is not None
    assert error is not None
    assert trace is not None
    return kind, error, trace


def test_an_exception_without_secrets_is_kept_for_other_handlers(redactor: Redactor) -> None:
    info = caught()
    record = logging.LogRecord("n", logging.ERROR, "f", 1, "m", (), info)
    assert RedactingFilter(redactor).filter(record)
    assert record.exc_info is info
    assert "KeyError: 'plain'" in (record.exc_text or "")


def test_extra_fields_and_stacks_are_scrubbed(redactor: Redactor) -> None:
    record = logging.LogRecord("n", logging.INFO, "f", 1, "m", (), None)
    record.__dict__.update(customer="cus_1", note=f"x {CARD}", nested={"t": [SECRET]})
    record.stack_info = f"Stack: {SECRET}"
    RedactingFilter(redactor).filter(record)
    assert (record.__dict__["customer"], record.__dict__["note"]) == ("cus_1", f"x {MASK}")
    assert record.__dict__["nested"] == {"t": [MASK]}
    assert record.stack_info == f"Stack: {MASK}"


def test_arguments_that_a_formatter_unpacks_keep_their_shape(redactor: Redactor) -> None:
    """uvicorn's access formatter unpacks five positional arguments."""
    args = ("127.0.0.1:5", "GET", f"/x?pan={CARD}", "1.1", 200)
    record = logging.LogRecord("uvicorn.access", logging.INFO, "f", 1, '%s - "%s %s HTTP/%s" %d', args, None)
    RedactingFilter(redactor).filter(record)
    assert record.args == ("127.0.0.1:5", "GET", f"/x?pan={MASK}", "1.1", 200)


@given(st.text(max_size=80), st.text(min_size=6, max_size=40), st.text(max_size=80))
def test_a_registered_secret_is_always_redacted(before: str, secret: str, after: str) -> None:
    redactor = Redactor()
    redactor.learn(secret)
    clean = redactor.text(before + secret + after)
    assert all(secret not in rest for rest in clean.split(MASK))
