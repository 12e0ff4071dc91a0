"""Mapping of J.P. Morgan's errors."""

from typing import Any

import pytest

from app.errors import RejectReason, VaultRejected, VaultReplyUnreadable, VaultTimeout
from app.http.message import Effect, VaultReply
from app.providers.jpmorgan.errors import refusal


def reply(status: int, body: bytes = b"", **headers: str) -> VaultReply:
    return VaultReply(status, headers, body)


VALIDATION = (
    b'{"responseStatus":"ERROR","responseCode":"MP_REQ_001","responseMessage":"no","requestId":"r-9",'
    b'"validationErrors":[{"code":"MP_REQ_001","message":"4111111111111111","entity":"cardList[0].cardType"},'
    b'{"code":"X","message":"m","entity":"cardList[0].consumerProfileAddress.postalCode"},'
    b'{"code":"X","message":"m","entity":"cardList[0].firstName"},{"code":"X","message":"m"}]}'
)


def test_refused_write_names_reason_code_and_fields() -> None:
    error = refusal(reply(400, VALIDATION), Effect.WRITE, RejectReason.CUSTOMER_NOT_FOUND)
    assert isinstance(error, VaultRejected)
    assert (error.reason, error.provider_code) == (RejectReason.INVALID_INPUT, "MP_REQ_001")
    assert error.provider_request_id == "r-9"
    assert [fault.path for fault in error.faults] == [
        ("brand",),
        ("billing_address", "postal_code"),
        ("first_name",),
    ]
    assert "4111111111111111" not in str(error) + str(error.faults)


def test_refused_update_names_the_holder() -> None:
    error = refusal(reply(400, VALIDATION), Effect.WRITE, RejectReason.METHOD_NOT_FOUND, is_update=True)
    assert isinstance(error, VaultRejected)
    assert error.faults[-1].path == ("holder", "first")


def test_taken_external_id_is_a_duplicate() -> None:
    body = b'{"responseCode":"MP_REQ_001","validationErrors":[{"entity":"externalConsumerProfileIdentifier"}]}'
    error = refusal(reply(400, body), Effect.WRITE, RejectReason.CONTRACT)
    assert isinstance(error, VaultRejected)
    assert error.reason is RejectReason.DUPLICATE_CUSTOMER


@pytest.mark.parametrize(
    ("body", "is_unknown"),
    [
        (b'{"responseStatus":"ERROR","responseCode":"PROFILE_NOT_FOUND","responseMessage":"Not found"}', True),
        (b'{"responseStatus":"ERROR","responseCode":"NOT_FOUND","responseMessage":"No such consumer profile"}', True),
        (b'{"responseStatus":"ERROR","responseCode":"NOT_FOUND","responseMessage":"Not found"}', False),
        (b'{"responseStatus":"ERROR","responseCode":"NOT_FOUND","responseMessage":"No such payment method"}', False),
        (b'{"errorSource":"APG-EDGE","errorCode":"EDG00404","errorDescription":"no such profile"}', False),
        (b'{"message":"profile not found"}', False),
        (b"<html>profile", False),
        (b"", False),
    ],
)
def test_only_a_404_that_names_the_profile_says_that_the_customer_is_unknown(body: bytes, is_unknown: bool) -> None:
    error = refusal(reply(404, body), Effect.READ, RejectReason.CUSTOMER_NOT_FOUND)
    if is_unknown:
        assert isinstance(error, VaultRejected)
        assert error.reason is RejectReason.CUSTOMER_NOT_FOUND
    else:
        assert isinstance(error, VaultReplyUnreadable)


@pytest.mark.parametrize(
    ("status", "effect", "kind", "code"),
    [
        (400, Effect.READ, VaultReplyUnreadable, "PROVIDER_UNAVAILABLE"),
        (403, Effect.READ, None, "PROVIDER_AUTH"),
        (403, Effect.WRITE, None, "PROVIDER_AUTH"),
        (404, Effect.READ, VaultReplyUnreadable, "PROVIDER_UNAVAILABLE"),
        (404, Effect.WRITE, VaultRejected, "PROVIDER_REJECTED"),
        (408, Effect.READ, VaultTimeout, "PROVIDER_TIMEOUT"),
        (405, Effect.WRITE, VaultRejected, "PROVIDER_REJECTED"),
    ],
)
def test_refusals_by_status(status: int, effect: Effect, kind: Any, code: str) -> None:
    error = refusal(reply(status, b"<html>"), effect, RejectReason.CUSTOMER_NOT_FOUND, sent_id="ours")
    assert error.code == code
    assert kind is None or isinstance(error, kind)
    assert (error.provider_code, error.provider_request_id) == (f"HTTP_{status}", "ours")
    if isinstance(error, VaultRejected):
        assert error.reason is (RejectReason.CUSTOMER_NOT_FOUND if status == 404 else RejectReason.CONTRACT)
