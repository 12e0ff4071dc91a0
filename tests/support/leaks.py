"""Records every card number, account number, token and IBAN that a test sends, and searches for them afterwards."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

SENT: set[str] = set()
_SECRET_NAMES = frozenset({"token", "accountNumber", "iban", "fingerprint", "caselleProcessorToken"})
_SHORTEST = 8  # shorter strings occur by chance


def note(*values: str) -> None:
    """Add a secret to search for."""
    SENT.update(value for value in values if len(value) >= _SHORTEST)


def note_variables(value: Any) -> None:
    """Add every secret field of a request's variables, at any depth."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if name in _SECRET_NAMES and isinstance(inner, str):
                note(inner)
            note_variables(inner)
    elif isinstance(value, list):
        for inner in value:
            note_variables(inner)


def forms_of(secret: str) -> Iterator[bytes]:
    """Forms in which a secret could be stored: as it is, without separators, hex."""
    yield secret.encode()
    bare = re.sub(r"[\s-]", "", secret)
    if bare != secret:
        yield bare.encode()
    yield secret.encode().hex().encode()


def found_in(*texts: bytes, secrets: Iterable[str] | None = None) -> list[str]:
    """The places where secrets were found, each shown by its last four characters."""
    return [
        f"...{secret[-4:]}"
        for secret in (tuple(SENT) if secrets is None else secrets)  # a copy: other threads go on sending
        if any(form in text for form in forms_of(secret) for text in texts)
    ]


def found_in_folder(folder: Path) -> list[str]:
    """Search every file of a folder, including database files and logs. Excludes the sandbox's state."""
    return [
        f"{path.name}: {leak}"
        for path in folder.rglob("*")
        if path.is_file() and "sandbox" not in path.relative_to(folder).parts
        for leak in found_in(path.read_bytes())
    ]
