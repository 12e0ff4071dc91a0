"""ISO 3166-1 codes in any form that a vault uses."""

from app.vault.countries import ALPHA2_OF, ALPHA3_OF


def alpha2(code: object) -> str | None:
    """Alpha-2 of an alpha-2 or alpha-3 code in any case; None for anything else."""
    if not isinstance(code, str):
        return None
    upper = code.strip().upper()
    return upper if upper in ALPHA3_OF else ALPHA2_OF.get(upper)


def alpha3(code: object) -> str | None:
    """Alpha-3 of an alpha-2 or alpha-3 code in any case; None for anything else."""
    if not isinstance(code, str):
        return None
    upper = code.strip().upper()
    return upper if upper in ALPHA2_OF else ALPHA3_OF.get(upper)
