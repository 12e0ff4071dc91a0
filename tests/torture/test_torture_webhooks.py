"""Webhooks while the gateway is killed; `python -m bench.torture_webhooks` runs the same for longer."""

from pathlib import Path

from bench.torture_webhooks import torture

ROUNDS = 8


async def test_every_change_is_reported_once_though_its_gateway_is_killed(tmp_path: Path) -> None:
    report = await torture(tmp_path, ROUNDS, seed=4)
    assert report.wrong == []
    assert (report.rounds, report.kills) == (ROUNDS, ROUNDS)
    assert 0 < report.kills_between < ROUNDS
    assert report.sent > report.changes >= ROUNDS
