"""The names of the vaults, and the location of each `ProviderSpec`. Imports no adapter; `app.providers.registry` does.

Further vaults are installed packages with an entry point in the group `vaultgraph.providers`, whose name is the vault's
and whose object is its `ProviderSpec`.
"""

import re
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Final

from app.errors import SettingsError

GROUP: Final = "vaultgraph.providers"
BUILT_IN: Final = {
    "loanpro": "app.providers.loanpro.spec:SPEC",
    "aloha": "app.providers.aloha.spec:SPEC",
    "jpmorgan": "app.providers.jpmorgan.spec:SPEC",
    "caselle": "app.providers.caselle.spec:SPEC",
}
_NAME: Final = re.compile(r"[a-z][a-z0-9]{1,15}")  # part of TOML and URLs; 16 characters in the store


@cache
def provider_entries() -> dict[str, EntryPoint]:
    """Entry points by name: built-in vaults first, then installed ones by name. Imports nothing.

    Raises SettingsError for an invalid name or one used by two vaults.
    """
    found = {name: EntryPoint(name, value, GROUP) for name, value in BUILT_IN.items()}
    for entry in sorted(entry_points(group=GROUP), key=lambda one: (one.name, one.value)):
        if _NAME.fullmatch(entry.name) is None:
            raise SettingsError(f"{GROUP}: a vault's name is 2 to 16 small letters and digits, a letter first")
        if entry.name in found and found[entry.name].value != entry.value:
            raise SettingsError(f"{GROUP}: two vaults are named {entry.name}: {found[entry.name].value}, {entry.value}")
        found.setdefault(entry.name, entry)
    return found
