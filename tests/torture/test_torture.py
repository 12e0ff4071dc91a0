"""Writes while the gateway is killed and vaults lose answers; `python -m bench.torture` runs the same for longer."""

from pathlib import Path

import pytest

from bench.torture import torture

ROUNDS = 10


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_every_key_has_one_effect_and_the_answer_says_so(tmp_path: Path, seed: int) -> None:
    report = await torture(tmp_path, ROUNDS, seed)
    assert report.wrong == []
    assert report.rounds == ROUNDS
    assert report.kills >= ROUNDS
    assert report.lost_in_flight > 0
    assert min(report.writes[kind] for kind in ("add", "default", "update", "delete")) > 0
