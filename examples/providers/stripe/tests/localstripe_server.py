"""localstripe, a stateful fake of Stripe that others wrote, as a process on a free port."""

import json
import socket
import subprocess
import sys
from types import TracebackType
from typing import Any, Final
from urllib.parse import urlencode
from urllib.request import Request, urlopen

KEY: Final = "sk_test_contract"
VISA: Final = "4242424242424242"
DECLINED: Final = "4000000000000002"

# Its own command keeps what it has in a file in /tmp, the same for everyone on the machine, and listens everywhere.
_LAUNCH: Final = """
import socket, sys
from aiohttp import web
from localstripe.resources import Store
from localstripe.server import app
Store.dump_to_disk = lambda store: None
web.run_app(app, sock=socket.socket(fileno=int(sys.argv[1])), print=None)
"""


class LocalStripe:
    """A context manager. `url` is its address; the methods make what a browser and an operator would make."""

    def __init__(self) -> None:
        self.url = ""

    def __enter__(self) -> "LocalStripe":
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(128)  # connections queue from here on, so callers need not wait until the process is up
            self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            number = listener.fileno()
            self._process = subprocess.Popen([sys.executable, "-c", _LAUNCH, str(number)], pass_fds=[number])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(10)

    def ask(self, method: str, path: str, **form: Any) -> Any:
        """One call, as an operator would make it with curl; raises HTTPError for a refusal."""
        body = urlencode(form).encode() if method == "POST" else None
        headers = {"Authorization": f"Bearer {KEY}"}
        with urlopen(Request(f"{self.url}/v1/{path}", body, headers, method=method), timeout=20) as reply:
            return json.load(reply)

    def new_method(self, number: str = VISA) -> str:
        """What Stripe.js makes in the browser: the id of an unattached PaymentMethod."""
        card = {"number": number, "exp_month": 12, "exp_year": 2039, "cvc": "123"}
        fields = {f"card[{name}]": value for name, value in card.items()}
        found: str = self.ask("POST", "payment_methods", type="card", **fields)["id"]
        return found

    def new_customer(self, methods: int = 0) -> str:
        """A customer with so many cards, the first of which is its default."""
        ref: str = self.ask("POST", "customers", name="Ada Example")["id"]
        for place in range(methods):
            method = self.attach(ref, self.new_method())
            if place == 0:
                self.ask("POST", f"customers/{ref}", **{"invoice_settings[default_payment_method]": method})
        return ref

    def attach(self, ref: str, method: str) -> str:
        found: str = self.ask("POST", f"payment_methods/{method}/attach", customer=ref)["id"]
        return found
