"""Text that both backends can hold."""

from app.store.errors import UnstorableText


def is_storable(text: str) -> bool:
    """PostgreSQL has no NUL in text, and neither backend has half a surrogate pair."""
    return "\x00" not in text and (text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text))


def storable(*texts: str | None) -> None:
    """Raise UnstorableText before a backend raises something of its own that quotes the value."""
    if not all(text is None or is_storable(text) for text in texts):
        raise UnstorableText("text with characters that cannot be stored")
