"""Fast stub of the four vaults: nginx with fixed bodies, so that it is never the bottleneck.

Lua runs only for delays and for LoanPro calls for several customers or the large one. The same stub serves every peer
and counts requests.
"""

import json
import re
import subprocess
import urllib.request
from pathlib import Path
from typing import Any, Final

from bench.compare import bodies

# The customer of the large case: every vault answers for any customer, LoanPro with more methods for this one.
LARGE: Final = 1000
METHODS: Final = 10_000


def write(
    folder: Path,
    *,
    port: int,
    counter: int,
    delay_ms: int = 0,
    tls: tuple[Path, Path] | None = None,
    is_changing: bool = False,
    is_renewed: bool = False,
) -> Path:
    """Write nginx's configuration and the bodies into `folder`; returns the configuration's path.

    `counter` is the port of the request counter: see `count`. `is_changing`: no two bodies are equal. `is_renewed`:
    each body of LoanPro or Aloha also changes values of methods.
    """
    edit = _with_new_values if is_renewed else _with_nonce if is_changing else str
    folder.mkdir(parents=True, exist_ok=True)
    listen = f"listen 127.0.0.1:{port} backlog=4096;"
    if tls is not None:
        certificate, key = tls
        listen = (
            f"listen 127.0.0.1:{port} ssl backlog=4096; ssl_certificate {certificate}; "
            f"ssl_certificate_key {key}; ssl_protocols TLSv1.3;"
        )
    # `return` answers before any phase in which Lua can sleep.
    answer, end = ("set $answer", _DELAYED % (delay_ms / 1000)) if delay_ms else ("return 200", "")
    small = bodies.loanpro_customer()
    large = bodies.loanpro_customer(METHODS - bodies.METHODS)
    (folder / "customer.json").write_text(_text(small), "utf-8")
    (folder / "large.json").write_text(_text(_found(large), str(1000 + LARGE), True), "utf-8")
    text = _CONFIGURATION.format(
        folder=folder,
        listen=listen,
        counter=counter,
        large=1000 + LARGE,
        answer=answer,
        end=end,
        nap=f"ngx.sleep({delay_ms / 1000})" if delay_ms else "",
        loanpro=edit(_text(_found(small), "$loanpro_id", True)),
        aloha=edit(_text(bodies.aloha_payments())),
        profile=edit(_text(bodies.jpmorgan_profile(), "$1")),
        status=edit(_text(bodies.jpmorgan_status(), "$1")),
        caselle=edit(_text(bodies.caselle_methods())),
        chosen=edit(_text(bodies.caselle_customer(), "$1")),
    )
    path = folder / "nginx.conf"
    path.write_text(text, "utf-8")
    return path


def _with_nonce(text: str) -> str:
    """Add an unused member to the last object; nginx generates a new value for each request."""
    before, brace, after = text.rpartition("}")
    return f'{before},"nonce":"$request_id"{brace}{after}'


def _with_new_values(text: str) -> str:
    """`_with_nonce`, and new values for two members that the gateway maps but no query here selects."""
    for member, before in (("title", '"Profile"'), ("ZipCode", "null")):
        text = text.replace(f'"{member}":{before}', f'"{member}":"$request_id"')
    return _with_nonce(text)


def start(configuration: Path, core: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["taskset", "-c", str(core), "nginx", "-c", str(configuration)])


def count(counter: int) -> int:
    """The stub's number of requests, without this one."""
    with urllib.request.urlopen(f"http://127.0.0.1:{counter}/", timeout=10) as reply:
        found = re.search(rb"^ \d+ \d+ (\d+) $", reply.read(), re.MULTILINE)
    if found is None:
        raise RuntimeError("nginx does not say how many requests it had")
    return int(found[1]) - 1


def _found(customer: dict[str, Any]) -> dict[str, Any]:
    return {"d": {"results": [customer], "summary": {"total": 1}}}


def _text(body: Any, ref: str = "@ID@", is_number: bool = False) -> str:
    """Replace the customer's ref; where it is a number, without quotes."""
    quoted = '"@ID@"' if is_number else "@ID@"
    return json.dumps(body, separators=(",", ":")).replace(quoted, ref)


_DELAYED = """
      content_by_lua_block {
        ngx.sleep(%s)
        ngx.header.content_length = #ngx.var.answer
        ngx.print(ngx.var.answer)
      }
"""
_CONFIGURATION = """
load_module modules/ndk_http_module.so;
load_module modules/ngx_http_lua_module.so;
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log error;
events {{ worker_connections 20000; }}
http {{
  access_log off;
  keepalive_requests 10000000;
  keepalive_timeout 600s;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  default_type application/json;
  map $args $loanpro_id {{ default 0; "~id(%20|\\+| )eq(%20|\\+| )(?<number>[0-9]+)" $number; }}
  map $args $is_batch {{ default false; "~(%20|\\+| )or(%20|\\+| )" true; }}
  init_by_lua_block {{
    local function read(name) local file = io.open(name); local text = file:read("*a"); file:close(); return text end
    customer, large = read("{folder}/customer.json"), read("{folder}/large.json")
  }}
  server {{
    listen 127.0.0.1:{counter};
    location / {{ stub_status; }}
  }}
  server {{
    {listen}
    location /loanpro/ {{
      if ($is_batch = true) {{ rewrite ^ /batch last; }}
      if ($loanpro_id = {large}) {{ rewrite ^ /large last; }}
      {answer} '{loanpro}'; {end}
    }}
    location = /large {{
      internal;
      content_by_lua_block {{
        {nap}
        ngx.header.content_length = #large
        ngx.print(large)
      }}
    }}
    location = /batch {{
      internal;
      content_by_lua_block {{
        {nap}
        local rows = {{}}
        for id in string.gmatch(ngx.unescape_uri(ngx.var.args or ""), "id eq (%d+)") do
          rows[#rows + 1] = (string.gsub(customer, '"@ID@"', id, 1))
        end
        ngx.print('{{"d":{{"results":[', table.concat(rows, ","), ']}}}}')
      }}
    }}
    location /aloha/ {{ {answer} '{aloha}'; {end} }}
    location ~ ^/jpmorgan/.*consumer-profiles/(\\w+)/payment-methods/ {{ {answer} '{status}'; {end} }}
    location ~ ^/jpmorgan/.*consumer-profiles/(\\w+)$ {{ {answer} '{profile}'; {end} }}
    location ~ ^/caselle/.*customers/(\\w+)/default-payment-method$ {{ {answer} '{chosen}'; {end} }}
    location /caselle/ {{ {answer} '{caselle}'; {end} }}
    location ~ /oauth2/token$ {{
      return 200 '{{"access_token":"stub","expires_in":86400,"token_type":"Bearer"}}';
    }}
  }}
}}
"""
