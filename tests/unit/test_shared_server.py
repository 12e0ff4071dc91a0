"""The test session's one PostgreSQL: started once, and one failure when it cannot start."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support import postgres
from tests.support.shared import SharedServer, ask


def test_all_who_ask_get_the_one_server_which_ends_with_the_session() -> None:
    steps = []

    @contextmanager
    def start() -> Iterator[str]:
        steps.append("started")
        yield "the server"
        steps.append("stopped")

    shared = SharedServer("A server", start)
    assert steps == []
    assert [ask(shared.address), ask(shared.address)] == ["the server", "the server"]
    assert steps == ["started"]
    shared.close()
    assert steps == ["started", "stopped"]


def test_a_server_that_cannot_start_fails_one_test_and_skips_the_others() -> None:
    @contextmanager
    def start() -> Iterator[str]:
        raise RuntimeError("initdb exited 127: no library\nmore of it")
        yield

    shared = SharedServer("A server", start)
    try:
        with pytest.raises(pytest.fail.Exception) as failed:
            ask(shared.address)
        assert "initdb exited 127: no library\nmore of it" in str(failed.value)
        for _ in range(2):
            with pytest.raises(pytest.skip.Exception) as skipped:
                ask(shared.address)
            assert str(skipped.value).count("\n") == 0
            assert "initdb exited 127" in str(skipped.value)
    finally:
        shared.close()


def test_what_postgresql_says_is_in_the_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "_FAST_INIT", ("--no-such-option",))
    with pytest.raises(RuntimeError, match=r"initdb exited 1: .*no-such-option"), postgres.running_postgres():
        pass


def test_postgresql_starts_where_temporary_files_are_private(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    private = tmp_path_factory.mktemp("private")
    private.chmod(0o700)
    monkeypatch.setattr(postgres.tempfile, "tempdir", str(private))
    with postgres.running_postgres() as server:
        assert (server.directory / "data" / "PG_VERSION").read_text().strip() == "18"
