"""Checks for text that both SQLite and PostgreSQL can store."""

from app.store.errors import UnstorableText


def is_storable(text: str) -> bool:
    """False for text with NUL (not allowed by PostgreSQL) or a lone surrogate."""
    return "\x00" not in text and (text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text))


def storable(*texts: str | None) -> None:
    """Raise UnstorableText, because a database driver's error would contain the value."""
    if not is_storable("".join([text for text in texts if text is not None])):
        raise UnstorableText("text with characters that cannot be stored")
