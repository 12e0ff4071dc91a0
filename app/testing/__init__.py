"""The contract suite for vaults, for packages outside this one too: docs/adding-a-vault.md. Needs pytest.

- `sandbox`: a server on a real port, whose faults and call records stand between an adapter and what it calls
- `forwarding`: puts a fake that somebody else wrote behind that server
- `case`: what the suite must know about one vault
- `fixtures`: what the tests ask for
- `reading`, `writing`: the tests, to be imported by a test module
"""

import pytest

pytest.register_assert_rewrite("app.testing.reading", "app.testing.writing")
