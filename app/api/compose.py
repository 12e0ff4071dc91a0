"""Builds parts of the API from settings."""

from dataclasses import fields
from typing import TYPE_CHECKING, TypeVar

from app.api.cors import OriginPolicy, is_local_host
from app.api.documents.descriptions import Descriptions
from app.api.endpoint import EndpointLimits, GraphQLEndpoint
from app.api.limits import Limits
from app.api.mcp.endpoint import AgentEndpoint
from app.api.protocols import RequestPolicy
from app.api.streams.websocket import SocketLimits
from app.server.addresses import TrustedProxies, is_ip_address
from app.settings.model import ApiSettings, Settings

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


Made = TypeVar("Made", bound="DataclassInstance")


def _same_names(kind: type[Made], gate: ApiSettings) -> Made:
    """An instance with the setting of the same name for each field."""
    return kind(**{one.name: getattr(gate, one.name) for one in fields(kind)})


def limits_of(settings: Settings) -> Limits:
    return _same_names(Limits, settings.gate)


def endpoint_limits(settings: Settings) -> EndpointLimits:
    return _same_names(EndpointLimits, settings.gate)


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


def agent_endpoint(
    settings: Settings,
    endpoint: GraphQLEndpoint,
    policy: RequestPolicy,
    descriptions: Descriptions,
    origins: OriginPolicy,
) -> AgentEndpoint | None:
    """None if it is disabled."""
    if not settings.mcp.enabled:
        return None
    issuers = tuple(one.issuer for one in settings.auth.trusted().values())
    url, limits = settings.mcp.url, endpoint_limits(settings)
    return AgentEndpoint(endpoint, policy, descriptions, origins, limits, url=url, issuers=issuers)


def origin_policy(settings: Settings) -> OriginPolicy:
    """In development the GraphiQL page contains a token, so it is served only under local host names. With `dev --host`
    it is also served under IP addresses and that host: an IP address cannot be used for DNS rebinding.
    """
    gate = settings.gate
    if gate.hosts or settings.mode != "development":
        return OriginPolicy(gate.cors_origins, gate.hosts, headers=gate.cors_headers)
    is_exposed = not is_local_host(settings.host)

    def serves(host: str) -> bool:
        return is_local_host(host) or (is_exposed and (is_ip_address(host) or host == settings.host.lower()))

    return OriginPolicy(gate.cors_origins, headers=gate.cors_headers, serves=serves)
