"""Normalises user input: names, addresses, descriptions."""

import unicodedata


def tidy(value: str) -> str:
    """Normalise to NFC, because vaults reject combining marks, and collapse whitespace to single spaces."""
    return " ".join(unicodedata.normalize("NFC", value).split())
