"""structlog without the packages that it loads if they are installed: rich alone would cost a server 0.1 s and 8 MB."""

import sys
from typing import Final

_UNUSED: Final = [name for name in ("rich", "twisted", "better_exceptions") if name not in sys.modules]

sys.modules.update(dict.fromkeys(_UNUSED))  # type: ignore[arg-type]  # None: an import of it fails
try:
    import structlog as structlog
finally:
    for _name in _UNUSED:
        del sys.modules[_name]
