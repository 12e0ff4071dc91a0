"""`vaultgraph sandbox methods|noc|fault|clock|reset` change a running sandbox; tables, JSON and completion."""

import json
import subprocess
from pathlib import Path

from tests.support.command import environment, on_terminal, vaultgraph
from tests.support.sandbox import RunningSandbox

ALEX = ("caselle", "cus_88420")


def sandbox_command(sandbox: RunningSandbox, *words: str) -> subprocess.CompletedProcess[str]:
    return vaultgraph("sandbox", *words, "--sandbox-url", sandbox.url)


def printed(sandbox: RunningSandbox, *words: str) -> str:
    done = sandbox_command(sandbox, *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_notification_of_change(sandbox: RunningSandbox) -> None:
    method = json.loads(printed(sandbox, "methods", *ALEX, "--json"))[0]["ref"]
    result = printed(sandbox, "noc", "caselle", method, "--last4", "4321", "--expiry", "2034-07")
    assert result.startswith("methods changed: 1; event ")
    changed = next(one for one in sandbox.held(*ALEX) if one["ref"] == method)
    assert changed["last4"] == "4321"
    assert sandbox_command(sandbox, "noc", "caselle", method).returncode == 2
    assert sandbox_command(sandbox, "noc", "caselle", method, "--expiry", "2034-13").returncode == 2
    missed = sandbox_command(sandbox, "noc", "caselle", "spm_unknown", "--last4", "4321")
    assert "vaultgraph sandbox methods caselle" in missed.stderr
    refused = sandbox_command(sandbox, "noc", "loanpro", method, "--last4", "4321")
    assert (refused.returncode, refused.stderr) == (1, "vaultgraph: provider: loanpro sends no webhooks.\n")


def test_faults_are_added_listed_and_removed(sandbox: RunningSandbox) -> None:
    printed(sandbox, "fault", "aloha", "status", "--status", "503", "--method", "GET", "--times", "2")
    rewrite = ["--set", "/d/results=[]", "--set", "/note=text", "--remove", "/d/summary", "--header", "x-a=b"]
    printed(sandbox, "fault", "loanpro", "rewrite", *rewrite)
    first, second = sandbox.control("GET", "/faults")
    assert (first["provider"], first["kind"], first["status"], first["method"]) == ("aloha", "status", 503, "GET")
    assert first["times"] == 2
    assert (second["set"], second["remove"]) == ({"/d/results": [], "/note": "text"}, ["/d/summary"])
    assert second["headers"] == {"x-a": "b"}
    assert [line.split("\t")[1:3] for line in printed(sandbox, "fault").splitlines()] == [
        ["aloha", "status"],
        ["loanpro", "rewrite"],
    ]
    assert [one["id"] for one in json.loads(printed(sandbox, "fault", "loanpro", "--json"))] == [second["id"]]
    assert printed(sandbox, "fault", "aloha", "--clear") == "1 faults removed\n"
    assert printed(sandbox, "fault", "--clear") == "1 faults removed\n"
    refused = sandbox_command(sandbox, "fault", "aloha", "delay")
    assert (refused.returncode, refused.stderr) == (1, "vaultgraph: delay_ms: A delay needs it.\n")


def test_the_clock_is_set_and_moved(sandbox: RunningSandbox) -> None:
    assert printed(sandbox, "clock", "--set", "2031-01-01T00:00:00").startswith("2031-01-01T00:00:00")
    assert printed(sandbox, "clock", "--advance", "30d").startswith("2031-01-31T00:00")
    assert json.loads(printed(sandbox, "clock", "--json"))["now"].startswith("2031-01-31T00:0")
    assert sandbox_command(sandbox, "clock", "--advance", "soon").returncode == 2
    printed(sandbox, "reset")
    assert not printed(sandbox, "clock").startswith("2031")


def test_without_a_sandbox_the_next_step_is_named() -> None:
    done = vaultgraph("sandbox", "clock", "--sandbox-url", "http://127.0.0.1:1")
    assert done.returncode == 1
    assert "start `vaultgraph dev`" in done.stderr


def test_a_terminal_shows_a_table(sandbox: RunningSandbox) -> None:
    shown = on_terminal("sandbox", "methods", *ALEX, "--sandbox-url", sandbox.url)
    assert "IS DEFAULT" in shown
    assert all(one["ref"] in shown for one in sandbox.held(*ALEX))


def completed(*words: str) -> set[str]:
    names = {"_VAULTGRAPH_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
    return {line.partition(",")[2] for line in vaultgraph(**names).stdout.splitlines()}


def test_the_shell_completes_commands_and_options(tmp_path: Path) -> None:
    assert completed("vaultgraph", "p") == {"partner", "payments"}
    assert completed("vaultgraph", "webhooks", "re") == {"replay"}
    assert completed("vaultgraph", "documents", "list", "--js") == {"--json"}
    script = vaultgraph(_VAULTGRAPH_COMPLETE="bash_source").stdout
    path = tmp_path / "completion.bash"
    path.write_text(script, "utf-8")
    checked = f"source {path} && complete -p vaultgraph"
    done = subprocess.run(["bash", "-c", checked], capture_output=True, text=True, env=environment(), check=False)
    assert (done.returncode, "_vaultgraph_completion" in done.stdout) == (0, True), done.stderr
