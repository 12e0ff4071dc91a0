"""The table of error codes, its page, and every code that is raised."""

import ast
import re
from pathlib import Path

from app.api.compose import limits_of
from app.api.endpoint import EndpointLimits
from app.api.limits import Limits
from app.api.problems import PROBLEMS, RequestRefused
from app.settings.model import ApiSettings, Settings
from app.wallet.problems import ProblemCode

ROOT = Path(__file__).resolve().parents[2]
ROW = re.compile(r"^\| `([A-Z_]+)` \| (\d{3}) \| (.+?) \| (.+?) \|$", re.MULTILINE)
RAISERS = {"RequestRefused", "CodedError", "_over", "_error"}


def test_the_page_and_the_table_say_the_same() -> None:
    page = (ROOT / "docs" / "errors.md").read_text("utf-8")
    documented = {code: int(status) for code, status, _, _ in ROW.findall(page)}
    assert documented == {code: problem.status for code, problem in PROBLEMS.items()}
    assert [code for code, *_ in ROW.findall(page)] == list(PROBLEMS)


def test_the_page_has_every_code_of_a_write() -> None:
    page = (ROOT / "docs" / "errors.md").read_text("utf-8")
    found = {
        heading: set(re.findall(r"^\| `([A-Z_]+)` \| [^|]+ \| [^|]+ \|$", text.partition("\n## ")[0], re.MULTILINE))
        for heading in ("userErrors", "warnings")
        for text in [page.partition(f"\n## In `{heading}`\n")[2]]
    }
    assert found["warnings"] == {"DEFAULT_NOT_MIRRORED", "DUPLICATE"}
    assert found["userErrors"] | found["warnings"] == set(ProblemCode)


def test_every_code_that_is_raised_is_in_the_table() -> None:
    """A code that is not would be masked as a bug."""
    found: set[str] = set()
    for path in [*(ROOT / "app" / "api").rglob("*.py"), *(ROOT / "resolvers").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
                value = node.args[0].value
                is_error = path.name == "errors.py" and name == "__init__"
                if (name in RAISERS or is_error) and isinstance(value, str) and re.fullmatch(r"[A-Z_]{4,}", value):
                    found.add(value)
    assert "INTROSPECTION_DISABLED" in found
    assert "SOURCES_UNAVAILABLE" in found
    assert found <= set(PROBLEMS)


def test_messages_are_sentences() -> None:
    for problem in PROBLEMS.values():
        if not problem.code.startswith("PERSISTED_QUERY"):  # the wording that old clients look for
            assert problem.message[0].isupper(), problem.code
            assert problem.message.endswith("."), problem.code


def test_a_refusal_says_its_code_and_what_else_was_given() -> None:
    refused = RequestRefused("LIST_LIMIT", limit=3, found=4)
    assert refused.status == 400
    assert refused.as_errors() == [
        {"message": "A list in the input is too long.", "extensions": {"code": "LIST_LIMIT", "limit": 3, "found": 4}}
    ]


def test_the_settings_defaults_are_the_codes_own() -> None:
    """Two places hold the numbers; this keeps them one."""
    gate = ApiSettings()
    assert limits_of(Settings()) == Limits()
    for name in EndpointLimits.__dataclass_fields__:
        assert getattr(gate, name) == getattr(EndpointLimits(), name), name
