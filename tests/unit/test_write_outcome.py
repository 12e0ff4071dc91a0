"""The tables of documented replies to writes: every status, with documented and other bodies."""

from typing import Any

import orjson
import pytest

from app.errors import OutcomeUnknown, RejectReason, VaultRejected
from app.http.message import VaultReply
from app.providers.aloha import errors as aloha
from app.providers.caselle import errors as caselle
from app.providers.jpmorgan import errors as jpmorgan
from app.providers.loanpro import errors as loanpro
from app.providers.write_outcome import WriteAnswers, WriteVerdict, require_done
from app.vault.enums import ProviderName

APPLIED, REFUSED, UNKNOWN = WriteVerdict.APPLIED, WriteVerdict.REFUSED, WriteVerdict.UNKNOWN
GUID = "93f5f620-ec93-47dd-ab24-c07bbf0b16bf"
PROBLEM = {"type": "about:blank", "title": "Bad Request", "status": 400, "code": "validation_failed", "errors": {}}
MESSAGES = {"responseStatus": "ERROR", "responseCode": "MP_REQ_001", "responseMessage": "Invalid request parameter"}
ENTITY = {"error": {"message": {"lang": "en-US", "value": "no"}, "type": "EntityException", "code": 409}}
PROFILE = {"consumerProfileId": "PACJGQ", "paymentMethodType": {"cardList": []}}

Bodies = dict[tuple[int, ...], Any]
TABLES: dict[str, tuple[WriteAnswers, Bodies, Bodies]] = {
    "loanpro": (loanpro.WRITTEN, {(200, 201): {"d": {"id": 37}}}, {(409,): ENTITY}),
    "aloha-add": (aloha.TOKEN_ADDED, {(200, 201): GUID}, {(400,): {"Message": "BadRequest"}}),
    "aloha-create": (
        aloha.CUSTOMER_CREATED,
        {(200, 201): {"CustomerId": GUID}},
        {(400, 409): {"Message": "DuplicateKey"}},
    ),
    "jpmorgan-add": (jpmorgan.METHOD_ADDED, {(200, 201): PROFILE}, {(400, 403, 404): MESSAGES}),
    "jpmorgan-create": (jpmorgan.PROFILE_CREATED, {(200, 201): PROFILE}, {(400, 403): MESSAGES}),
    "jpmorgan-change": (jpmorgan.METHOD_CHANGED, {(200,): PROFILE}, {(400, 403, 404): MESSAGES}),
    "jpmorgan-delete": (jpmorgan.METHOD_DELETED, {(200,): PROFILE}, {(400, 403): MESSAGES}),
    "jpmorgan-erase": (jpmorgan.PROFILE_DELETED, {(200,): {"responseStatus": "SUCCESS"}}, {(400, 403): MESSAGES}),
    "caselle-create": (caselle.CUSTOMER_CREATED, {(200, 201): {"uid": "cus_1"}}, {(400, 403, 404, 422): PROBLEM}),
    "caselle-save": (
        caselle.METHOD_SAVED,
        {(200, 201): {"saved_payment_method_uid": "spm_1"}},
        {(400, 403, 404, 422): PROBLEM},
    ),
    "caselle-default": (
        caselle.DEFAULT_SET,
        {(200,): {"uid": "cus_1", "default_saved_payment_method_uid": "spm_1"}},
        {(400, 403, 404, 422): PROBLEM},
    ),
    "caselle-delete": (caselle.METHOD_DELETED, {}, {(400, 403): PROBLEM}),
    "caselle-quote": (
        caselle.QUOTED,
        {(200, 201): {"uid": "pay_1", "processing_fee_amount": 99, "total_amount": 199}},
        {(400, 403, 404, 422): PROBLEM},
    ),
    "caselle-capture": (
        caselle.CAPTURED,
        {(200, 201, 202): {"uid": "pay_1", "status": "processing"}},
        {(400, 402, 403, 404, 422): {"code": "card_declined"}},
    ),
    "caselle-session": (
        caselle.SESSION_CREATED,
        {(200, 201): {"session_id": "cs_1", "hosted_url": "https://checkout.example/cs_1"}},
        {(400, 403, 404, 422): PROBLEM},
    ),
    "caselle-import": (caselle.IMPORTED, {(200,): {"results": []}}, {(400, 403, 404, 422): PROBLEM}),
}
"""Per operation its table, and per documented body the statuses under which it is understood."""

STRANGE = [b"<html></html>", b"[]", b"{}", b"null", b'"ok"', b"0", b'{"error":"sandbox fault: status"}', b"\xff", b"{"]


def reply(status: int, body: Any) -> VaultReply:
    return VaultReply(status, {}, body if isinstance(body, bytes) else orjson.dumps(body))


@pytest.mark.parametrize("name", TABLES)
def test_an_answer_is_understood_under_its_own_statuses_alone(name: str) -> None:
    table, applied, refused = TABLES[name]
    for verdict, bodies in ((APPLIED, applied), (REFUSED, refused)):
        for statuses, body in bodies.items():
            found = {status for status in range(200, 600) if table.classify(reply(status, body)) is verdict}
            assert found == set(statuses), body
            assert {table.classify(reply(one, body)) for one in range(100, 600) if one not in found} == {UNKNOWN}


@pytest.mark.parametrize("name", TABLES)
def test_a_strange_body_is_understood_under_no_status(name: str) -> None:
    table, _, _ = TABLES[name]
    for body in (b"", *STRANGE):
        assert {table.classify(reply(status, body)) for status in range(200, 600)} == {UNKNOWN}, body


@pytest.mark.parametrize("name", TABLES)
def test_the_answer_to_another_operation_is_unknown(name: str) -> None:
    """A success under a refusal's status, and the other way round."""
    table, applied, refused = TABLES[name]
    for body in applied.values():
        assert REFUSED not in {table.classify(reply(status, body)) for status in range(200, 600)}
    for body in refused.values():
        assert APPLIED not in {table.classify(reply(status, body)) for status in range(200, 600)}


@pytest.mark.parametrize("code", ["already_captured", "payment_exists", "duplicate", "payment_processing", "conflict"])
@pytest.mark.parametrize("status", [400, 404, 409, 422])
def test_what_may_be_there_already_was_not_refused(status: int, code: str) -> None:
    for table in (caselle.CUSTOMER_CREATED, caselle.METHOD_SAVED, caselle.CAPTURED, caselle.IMPORTED):
        assert table.classify(reply(status, {"code": code})) is UNKNOWN


@pytest.mark.parametrize("name", ["InternalServerError", "Error", "An error has occurred."])
def test_an_error_of_alohas_own_was_not_refused(name: str) -> None:
    for table in (aloha.TOKEN_ADDED, aloha.CUSTOMER_CREATED):
        assert {table.classify(reply(status, {"Message": name})) for status in range(200, 600)} == {UNKNOWN}


def test_reading_gives_the_body_the_refusal_or_an_unknown_outcome() -> None:
    refusal = VaultRejected(ProviderName.CASELLE, RejectReason.INVALID_INPUT)
    read = caselle.METHOD_DELETED.read
    saved = {"saved_payment_method_uid": "spm_1"}
    assert caselle.METHOD_SAVED.read(ProviderName.CASELLE, reply(201, saved), lambda: refusal) == saved
    with pytest.raises(VaultRejected):
        read(ProviderName.CASELLE, reply(400, PROBLEM), lambda: refusal)
    for status, is_in_flight in ((202, True), (404, False), (500, True)):
        with pytest.raises(OutcomeUnknown) as unknown:
            read(ProviderName.CASELLE, reply(status, b"{}"), lambda: refusal)
        assert (unknown.value.is_in_flight, unknown.value.provider_code) == (is_in_flight, f"HTTP_{status}")


async def test_an_answer_that_says_nothing_is_done_where_the_list_shows_it() -> None:
    async def is_done(answer: bool | VaultRejected) -> bool:
        if isinstance(answer, VaultRejected):
            raise answer
        return answer

    unknown = OutcomeUnknown(ProviderName.CASELLE)
    await require_done(unknown, lambda: is_done(True))
    for answer in (False, VaultRejected(ProviderName.CASELLE, RejectReason.CONTRACT)):
        with pytest.raises(OutcomeUnknown):
            await require_done(unknown, lambda answer=answer: is_done(answer))  # type: ignore[misc]
