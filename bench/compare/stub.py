"""The fast stub of the four vaults: nginx with fixed bodies, so that it is never the limit.

Only a LoanPro call for several customers, and a delay, run a line of Lua. The same stub serves every peer.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

from bench.compare import bodies


def write(folder: Path, *, port: int, delay_ms: int = 0, tls: tuple[Path, Path] | None = None, extra: int = 0) -> Path:
    """Write nginx's configuration and the bodies into `folder`; answers the configuration's path."""
    folder.mkdir(parents=True, exist_ok=True)
    listen = f"listen 127.0.0.1:{port} backlog=4096;"
    if tls is not None:
        certificate, key = tls
        listen = (
            f"listen 127.0.0.1:{port} ssl backlog=4096; ssl_certificate {certificate}; "
            f"ssl_certificate_key {key}; ssl_protocols TLSv1.3;"
        )
    sleep = f"access_by_lua_block {{ ngx.sleep({delay_ms / 1000}) }}" if delay_ms else ""
    customer = json.dumps(bodies.loanpro_customer(extra), separators=(",", ":"))
    (folder / "customer.json").write_text(customer, "utf-8")
    text = _CONFIGURATION.format(
        folder=folder,
        listen=listen,
        sleep=sleep,
        loanpro=_text({"d": {"results": [bodies.loanpro_customer(0)], "summary": {"total": 1}}}, "$loanpro_id", True),
        aloha=_text(bodies.aloha_payments()),
        profile=_text(bodies.jpmorgan_profile(), "$1"),
        status=_text(bodies.jpmorgan_status(), "$1"),
        caselle=_text(bodies.caselle_methods()),
        use_lua_for_one="true" if extra else "false",
    )
    path = folder / "nginx.conf"
    path.write_text(text, "utf-8")
    return path


def start(configuration: Path, core: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["taskset", "-c", str(core), "nginx", "-c", str(configuration)])


def _text(body: Any, ref: str = "", is_number: bool = False) -> str:
    quoted = '"@ID@"' if is_number else "@ID@"
    return json.dumps(body, separators=(",", ":")).replace(quoted, ref)


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
  map $args $is_batch {{ default {use_lua_for_one}; "~(%20|\\+| )or(%20|\\+| )" true; }}
  init_by_lua_block {{
    local file = io.open("{folder}/customer.json"); customer = file:read("*a"); file:close()
  }}
  server {{
    {listen}
    {sleep}
    location /loanpro/ {{
      if ($is_batch = true) {{ rewrite ^ /batch last; }}
      return 200 '{loanpro}';
    }}
    location /batch {{
      content_by_lua_block {{
        local rows = {{}}
        for id in string.gmatch(ngx.unescape_uri(ngx.var.args or ""), "id eq (%d+)") do
          rows[#rows + 1] = (string.gsub(customer, '"@ID@"', id, 1))
        end
        ngx.print('{{"d":{{"results":[', table.concat(rows, ","), ']}}}}')
      }}
    }}
    location /aloha/ {{ return 200 '{aloha}'; }}
    location ~ ^/jpmorgan/.*consumer-profiles/(\\w+)/payment-methods/ {{ return 200 '{status}'; }}
    location ~ ^/jpmorgan/.*consumer-profiles/(\\w+)$ {{ return 200 '{profile}'; }}
    location /caselle/ {{ return 200 '{caselle}'; }}
    location ~ /oauth2/token$ {{
      return 200 '{{"access_token":"stub","expires_in":86400,"token_type":"Bearer"}}';
    }}
  }}
}}
"""
