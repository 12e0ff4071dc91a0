"""`vaultgraph serve` with a higher limit that has no setting: the number of methods in one list.

Only for cases with 10,000 methods in one reply; the product returns at most a hundred.
"""

from app.cli.main import main
from bench.compare import stub
from resolvers.context import Services

if __name__ == "__main__":
    defaults = Services.__init__.__kwdefaults__
    assert defaults is not None
    assert "list_limit" in defaults
    defaults["list_limit"] = stub.METHODS
    main()
