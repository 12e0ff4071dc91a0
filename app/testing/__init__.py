"""Contract suite for vault adapters, also for external packages: docs/adding-a-vault.md. Needs pytest.

- `sandbox`: a server on a real port that adds faults and call records to any emulator - `forwarding`: puts a
third-party fake behind that server - `case`: what the suite needs to know about one vault - `fixtures`: pytest fixtures
of the tests - `reading`, `writing`: the tests, to be imported by a test module
"""

import pytest

pytest.register_assert_rewrite("app.testing.reading", "app.testing.writing")
