"""Builds parts of the API from settings."""

from app.api.cors import CorsPolicy, is_local_host
from app.api.endpoint import EndpointLimits
from app.api.limits import Limits
from app.api.streams.websocket import SocketLimits
from app.server.addresses import TrustedProxies, is_ip_address
from app.settings.model import Settings


def limits_of(settings: Settings) -> Limits:
    gate = settings.gate
    return Limits(
        document_characters=gate.document_characters,
        tokens=gate.tokens,
        depth=gate.depth,
        aliases=gate.aliases,
        fields=gate.fields,
        root_fields=gate.root_fields,
        mutation_fields=gate.mutation_fields,
        directives=gate.directives,
        definitions=gate.definitions,
        variables=gate.variables,
        comparisons=gate.comparisons,
        list_items=gate.list_items,
        variable_values=gate.variable_values,
        variable_depth=gate.variable_depth,
        cost=gate.cost,
        response_fields=gate.response_fields,
        response_bytes=gate.response_bytes,
    )


def endpoint_limits(settings: Settings) -> EndpointLimits:
    gate = settings.gate
    return EndpointLimits(
        body_bytes=gate.body_bytes,
        json_depth=gate.json_depth,
        body_timeout_s=gate.body_timeout_s,
        document_characters=gate.document_characters,
        response_fields=gate.response_fields,
        response_bytes=gate.response_bytes,
        max_in_flight=gate.max_in_flight,
        batch_items=gate.batch_items,
        compress_from_bytes=gate.compress_from_bytes,
        send_timeout_s=gate.send_timeout_s,
        recheck_s=gate.recheck_s,
    )


def socket_limits(settings: Settings) -> SocketLimits:
    gate = settings.gate
    return SocketLimits(
        connections=gate.socket_connections,
        connections_per_address=gate.socket_connections_per_address,
        connections_per_caller=gate.socket_connections_per_caller,
        init_timeout_s=gate.socket_init_timeout_s,
        operations_per_connection=gate.socket_operations,
        operations_per_caller=gate.socket_operations_per_caller,
        send_timeout_s=gate.send_timeout_s,
        recheck_s=gate.recheck_s,
        trusted_proxies=TrustedProxies(gate.trusted_proxies),
    )


def browser_of(settings: Settings) -> CorsPolicy:
    """In development the GraphiQL page contains a token, so it is served only under local host names. With `dev --host`
    it is also served under IP addresses and that host: an IP address cannot be used for DNS rebinding.
    """
    gate = settings.gate
    if gate.hosts or settings.mode != "development":
        return CorsPolicy(gate.cors_origins, gate.hosts, headers=gate.cors_headers)
    is_exposed = not is_local_host(settings.host)

    def serves(host: str) -> bool:
        return is_local_host(host) or (is_exposed and (is_ip_address(host) or host == settings.host.lower()))

    return CorsPolicy(gate.cors_origins, headers=gate.cors_headers, serves=serves)
