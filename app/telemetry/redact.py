"""Redacts card numbers and secrets in logs, traces and recordings."""

import logging
import traceback
from collections import OrderedDict
from threading import Lock
from typing import Any, Final
from urllib.parse import quote, quote_plus

from app.vault.pan import card_number_spans

MASK: Final = "[redacted]"
_SHORTEST: Final = 6  # redacting shorter secrets would hide ordinary words
_MOST_LEARNED: Final = 1000
_STANDARD: Final = frozenset(vars(logging.LogRecord("", 0, "", 0, "", (), None))) | {"message", "asctime"}


class Redactor:
    """Replaces card numbers and registered secrets by ``[redacted]``.

    Holds at most 1,000 secrets and evicts the oldest: access tokens are short-lived.
    """

    def __init__(self) -> None:
        self._secrets: OrderedDict[str, tuple[str, ...]] = OrderedDict()
        self._ordered: tuple[str, ...] = ()
        self._lock = Lock()
        self.version = 0
        """Changes when a secret is registered: text redacted before may hold it."""

    def learn(self, secret: str) -> None:
        """Register `secret`, also in its percent-encoded and escaped forms. Secrets under 6 characters are ignored."""
        if len(secret) < _SHORTEST:
            return
        escaped = secret.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
        with self._lock:
            self._secrets[secret] = (secret, quote(secret, safe=""), quote_plus(secret), escaped)
            self._secrets.move_to_end(secret)
            while len(self._secrets) > _MOST_LEARNED:
                self._secrets.popitem(last=False)
            forms = {form for spellings in self._secrets.values() for form in spellings}
            self._ordered = tuple(sorted(forms, key=len, reverse=True))  # longest first: one may contain another
            self.version += 1

    def text(self, text: str) -> str:
        for secret in self._ordered:
            if secret in text:
                text = text.replace(secret, MASK)
        spans = card_number_spans(text)
        for start, end in reversed(spans):
            text = f"{text[:start]}{MASK}{text[end:]}"
        return text

    def value(self, value: Any) -> Any:
        """`value` if its text contains no secret, otherwise the redacted text; recurses into containers."""
        if value is None or isinstance(value, bool | float):
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.value(key): self.value(item) for key, item in value.items()}
        if type(value) in (list, tuple):
            return type(value)(self.value(item) for item in value)
        shown = value.decode("utf-8", "replace") if isinstance(value, bytes | bytearray) else str(value)
        redacted = self.text(shown)
        return value if redacted == shown else redacted


REDACTOR: Final = Redactor()
"""The redactor of the process. Holders of credentials and tokens register them here."""


class RedactingFilter(logging.Filter):
    """Redacts a log record: message, arguments, exception and stack text, and extra fields.

    Attach it to handlers: a logger's filter does not see the records of child loggers.
    """

    def __init__(self, redactor: Redactor = REDACTOR) -> None:
        super().__init__()
        self._redactor = redactor

    def filter(self, record: logging.LogRecord) -> bool:
        redact = self._redactor
        self._scrub_message(record)
        if record.exc_info:
            self._scrub_exception(record)
        if record.exc_text:
            record.exc_text = redact.text(record.exc_text)
        if record.stack_info:
            record.stack_info = redact.text(record.stack_info)
        for name in record.__dict__.keys() - _STANDARD:
            record.__dict__[name] = redact.value(record.__dict__[name])
        return True

    def _scrub_message(self, record: logging.LogRecord) -> None:
        redact = self._redactor
        record.msg = redact.value(record.msg)
        if record.args:
            record.args = redact.value(record.args)
        try:
            message = record.getMessage()
        except (TypeError, ValueError):  # redaction turned a %d argument into text, or the arguments did not match
            record.msg, record.args = redact.text(f"{record.msg} {record.args}"), ()
            return
        clean = redact.text(message)
        if clean != message:  # the secret is split over message and arguments
            record.msg, record.args = clean, ()

    def _scrub_exception(self, record: logging.LogRecord) -> None:
        """Drop the exception object if its text needs redaction."""
        assert record.exc_info
        shown = "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
        clean = self._redactor.text(shown)
        record.exc_text = clean
        if clean != shown:
            record.exc_info = None
