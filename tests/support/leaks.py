"""Every card number, account number, token and IBAN that a test sends is written down and searched for afterwards."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

SENT: set[str] = set()
_SECRET_NAMES = frozenset({"token", "accountNumber", "iban", "fingerprint", "caselleProcessorToken"})
_SHORTEST = 8  # shorter strings occur by chance


def note(*values: str) -> None:
    """Remember what must never be found again."""
    SENT.update(value for value in values if len(value) >= _SHORTEST)


def note_variables(value: Any) -> None:
    """Remember every secret field of a request's variables, however deep."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if name in _SECRET_NAMES and isinstance(inner, str):
                note(inner)
            note_variables(inner)
    elif isinstance(value, list):
        for inner in value:
            note_variables(inner)


def forms_of(secret: str) -> Iterator[bytes]:
    """The spellings in which a secret could lie somewhere: as it is, without separators, hex."""
    yield secret.encode()
    bare = re.sub(r"[\s-]", "", secret)
    if bare != secret:
        yield bare.encode()
    yield secret.encode().hex().encode()


def found_in(*texts: bytes, secrets: Iterable[str] | None = None) -> list[str]:
    """Where secrets were found, told by their last four characters alone."""
    return [
        f"...{secret[-4:]}"
        for secret in (SENT if secrets is None else secrets)
        if any(form in text for form in forms_of(secret) for text in texts)
    ]


def found_in_folder(folder: Path) -> list[str]:
    """Search every file of a folder, database files and their logs included. The sandbox's own state is left out."""
    return [
        f"{path.name}: {leak}"
        for path in folder.rglob("*")
        if path.is_file() and "sandbox" not in path.relative_to(folder).parts
        for leak in found_in(path.read_bytes())
    ]
