"""`vaultgraph serve` with a limit raised that no setting raises: how many methods one list may have.

Only the cases with 10,000 methods in one answer start it so: the product itself answers a hundred at most.
"""

from app.cli import main
from bench.compare import stub
from resolvers.context import Services

if __name__ == "__main__":
    defaults = Services.__init__.__kwdefaults__
    assert defaults is not None
    assert "list_limit" in defaults
    defaults["list_limit"] = stub.METHODS
    main()
