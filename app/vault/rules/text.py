"""Text that people type: names, addresses, descriptions."""

import unicodedata


def tidy(value: str) -> str:
    """In NFC, because vaults accept letters and not the marks that make them up; every run of blanks a single space."""
    return " ".join(unicodedata.normalize("NFC", value).split())
