"""Python's GraphQL clients, including older versions in use, load the schema and query a wallet."""

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.support.gateway import RunningGateway
from tests.support.python_clients import FOLDER, ROOT, python_clients, run_python

SCHEMA = ROOT / "schema.graphql"
CODEGEN = "from ariadne_codegen.main import main; main()"

pytestmark = [pytest.mark.xdist_group("python_clients"), pytest.mark.timeout(600)]


@pytest.mark.parametrize(("is_old", "versions"), [(True, ("3.5", "3.2")), (False, ("4.", "3.3"))], ids=["3.5", "4"])
def test_gql_by_introspection_and_from_the_file(
    is_old: bool, versions: tuple[str, str], demo_gateway: RunningGateway
) -> None:
    site = python_clients() if is_old else None
    words = [FOLDER / "with_gql.py", f"{demo_gateway.url}/graphql", demo_gateway.token(), SCHEMA]
    result = json.loads(run_python(*words, site=site, cwd=FOLDER))
    assert result["gql"].startswith(versions[0])
    assert result["core"].startswith(versions[1])
    expected = demo_gateway.data('{ customer(id: "cus_alex") { name paymentMethods { label } } }')
    assert result["introspected"] == result["fromFile"] == expected


def test_the_clients_page_for_gql(demo_gateway: RunningGateway, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "clients.md").read_text("utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (tmp_path / "guide.py").write_text(block.replace("http://127.0.0.1:8000/graphql", f"{demo_gateway.url}/graphql"))
    printed = run_python("guide.py", site=None, cwd=tmp_path, TOKEN=demo_gateway.token())
    assert printed.split("\n") == ["[]", "SUCCEEDED", ""]


@pytest.mark.parametrize("source", ["file", "introspection"])
def test_ariadne_codegen_makes_a_client_that_works(source: str, demo_gateway: RunningGateway, tmp_path: Path) -> None:
    site = python_clients()
    url, token = f"{demo_gateway.url}/graphql", demo_gateway.token()
    schema = {
        "file": f'schema_path = "{SCHEMA}"',
        "introspection": f'remote_schema_url = "{url}"\nremote_schema_headers = {{Authorization = "$GATEWAY_TOKEN"}}',
    }
    for name in ("wallet.graphql", "with_codegen.py"):
        shutil.copy(FOLDER / name, tmp_path)
    (tmp_path / "pyproject.toml").write_text(
        "[tool.ariadne-codegen]\n"
        f"{schema[source]}\n"
        'queries_path = "wallet.graphql"\ntarget_package_path = "."\ntarget_package_name = "wallet_client"\n'
    )
    run_python("-c", CODEGEN, site=site, cwd=tmp_path, GATEWAY_TOKEN=f"Bearer {token}")
    result = json.loads(run_python("with_codegen.py", url, token, site=site, cwd=tmp_path))
    wallet = demo_gateway.data('{ customer(id: "cus_alex") { name paymentMethods { label } } }')["customer"]
    assert (result["name"], result["methods"]) == (wallet["name"], len(wallet["paymentMethods"]))
    assert len(result["kinds"]) == 2, result
