"""One spelling per vault for each customer ref."""

import pytest

from app.providers.registry import canonical_ref
from app.vault.enums import ProviderName

GUID = "82c6fdcb-534f-415a-9e28-87be989e461f"


@pytest.mark.parametrize(
    ("provider", "spelled", "expected"),
    [
        (ProviderName.ALOHA, GUID, GUID),
        (ProviderName.ALOHA, GUID.upper(), GUID),
        (ProviderName.ALOHA, f" {{{GUID.upper()}}} ", GUID),
        (ProviderName.ALOHA, f"({GUID})", GUID),
        (ProviderName.ALOHA, GUID.replace("-", ""), GUID),
        (ProviderName.ALOHA, f"{{{GUID}", f"{{{GUID}"),
        (ProviderName.ALOHA, f"{{{GUID})", f"{{{GUID})"),
        (ProviderName.ALOHA, " Ada ", "Ada"),
        (ProviderName.LOANPRO, "37", "37"),
        (ProviderName.LOANPRO, " 0037\n", "37"),
        (ProviderName.LOANPRO, "+37", "37"),
        (ProviderName.LOANPRO, "-37", "-37"),
        (ProviderName.LOANPRO, "37.0", "37.0"),
        (ProviderName.LOANPRO, "٣٧", "٣٧"),
        (ProviderName.LOANPRO, "0", "0"),
        (ProviderName.LOANPRO, "", ""),
        (ProviderName.JPMORGAN, "pacjgq ", "PACJGQ"),
        (ProviderName.JPMORGAN, "PACJGQ", "PACJGQ"),
        (ProviderName.JPMORGAN, "order-ß", "order-ß"),
        (ProviderName.CASELLE, " cus_88420 ", "cus_88420"),
        (ProviderName.CASELLE, "CUS_88420", "CUS_88420"),
    ],
)
def test_one_spelling(provider: ProviderName, spelled: str, expected: str) -> None:
    found = canonical_ref(provider, spelled)
    assert found == expected
    assert canonical_ref(provider, found) == found
