"""Every process writes to standard error through the redactor only."""

import subprocess
import sys

import pytest

CARD = "4111" + "1111" * 3
START = f"""
import asyncio, logging, sys, threading, warnings
own = logging.StreamHandler()
logging.getLogger("some.library").addHandler(own)
logging.getLogger("some.library").propagate = False
from app.telemetry.logs import LINES, configure_logging
configure_logging("info", sys.argv[1])
CARD = "{CARD}"
def fail():
    raise ValueError("card " + CARD)
"""


@pytest.mark.parametrize(
    "does",
    [
        "logging.getLogger('asyncio').error('x %s', CARD)",
        "try:\n    fail()\nexcept ValueError:\n    logging.getLogger('sqlalchemy.pool').exception('broken')",
        "try:\n    fail()\nexcept ValueError:\n    logging.getLogger('uvicorn.error').exception('broken')",
        "try:\n    fail()\nexcept ValueError:\n    logging.getLogger('some.library').exception('broken')",
        "LINES.info('request', operation=CARD)",
        "warnings.warn(CARD)",
        "fail()",
        "thread = threading.Thread(target=fail); thread.start(); thread.join()",
        "class Bad:\n    def __del__(self):\n        fail()\nBad()",
        "async def main():\n    asyncio.create_task(later())\n    await asyncio.sleep(0.01)\n"
        "async def later():\n    fail()\nasyncio.run(main())",
    ],
)
@pytest.mark.parametrize("form", ["console", "json"])
def test_a_card_number_is_redacted_for_every_writer(does: str, form: str) -> None:
    done = subprocess.run([sys.executable, "-c", START + does, form], capture_output=True, text=True, check=False)
    assert "[redacted]" in done.stderr, done.stderr
    assert CARD not in done.stderr
