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


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_request_line_is_redacted_also_by_secrets_learnt_after_one_like_it(form: str) -> None:
    does = """
from app.api.metrics import Metrics
from app.api.request import GraphQLRequest
from app.api.request_record import RequestObserver, RequestRecord
from app.telemetry.redact import REDACTOR
from app.telemetry.trace_context import read_trace_context
ids = {"x-request-id": "secret-of-a-vault", "traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"}
observer = RequestObserver(Metrics())
for round in range(2):
    record = RequestRecord("secret-of-a-vault", ids, trace=read_trace_context(ids), status=200)
    record.request = GraphQLRequest(None, {}, None, {}, document_id="another-secret")
    observer(record)
    for secret in ("secret-of-a-vault", "another-secret", "ab" * 16):
        REDACTOR.learn(secret)
"""
    done = subprocess.run([sys.executable, "-c", START + does, form], capture_output=True, text=True, check=True)
    before, after = done.stderr.splitlines()
    for secret in ("secret-of-a-vault", "another-secret", "ab" * 16):
        assert secret in before
        assert secret not in after
    assert after.count("[redacted]") == 3
