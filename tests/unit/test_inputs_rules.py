"""Rules for every mutation's input, applied to the whole schema, so that they hold for new fields too."""

from dataclasses import replace
from typing import Any

import pytest

from app.vault.enums import ProviderName
from app.wallet.caller import ALL_SCOPES, Caller
from resolvers.inputs.urls import ReturnOrigins
from tests.support.memory import World
from tests.support.writes import RecordingWriter, document, leaves, mutations, sample

CARD = "4111 1111-1111 1111"
WORDS = ("String", "URL", "SensitiveString")
# Where a card number may stand: as the number of a raw card, and as a network token, which looks like one.
MAY_HOLD_ONE = {
    (mutation, f"{start}.{field}")
    for mutation, start in (("addPaymentMethod", "method"), ("addPaymentMethods", "items.method"))
    for field in ("jpmNetworkToken.token", "jpmRawCard.accountNumber", "alohaRawCard.accountNumber")
}
TEXTS = [
    (mutation, path, scalar)
    for mutation, kind in mutations().items()
    for path, scalar in leaves(kind)
    if scalar in WORDS
]
IDS = [
    (mutation, path, scalar)
    for mutation, kind in mutations().items()
    for path, scalar in leaves(kind)
    if scalar in ("ID", "IdempotencyKey", "Decimal")
]


def world_with(writer: RecordingWriter) -> World:
    world = World()
    world.services.writer = writer
    world.services.return_origins = ReturnOrigins.of(["https://shop.example"])
    return world


async def ask(world: World, mutation: str, value: dict[str, Any]) -> list[dict[str, Any]]:
    data = await world.data(document(mutation, mutations()[mutation]), {"input": value})
    found: list[dict[str, Any]] = data[mutation]["userErrors"]
    return [error | {"path": [name for name in error["path"] if name != "0"]} for error in found]  # lists of one


@pytest.mark.parametrize(("mutation", "path", "scalar"), [*TEXTS, *IDS], ids=lambda value: str(value))
async def test_a_card_number_is_refused_in_every_text_but_where_it_belongs(
    mutation: str, path: tuple[str, ...], scalar: str
) -> None:
    writer = RecordingWriter()
    bare = CARD.replace(" ", "").replace("-", "")
    written = {
        "URL": "https://shop.example/4111%201111%201111%201111",
        "IdempotencyKey": f"order/{bare}",
        "Decimal": f"{bare}.00",
    }
    card = written.get(scalar, CARD)
    errors = await ask(world_with(writer), mutation, sample(mutations()[mutation], path, card))
    codes = {(error["code"], tuple(error["path"])) for error in errors}
    if (mutation, ".".join(path)) in MAY_HOLD_ONE:
        assert "PAN_NOT_ALLOWED" not in {code for code, _ in codes}
    else:
        assert codes == {("PAN_NOT_ALLOWED", ("input", *path))}
        assert writer.asked == []


@pytest.mark.parametrize(
    "written", ["201:4111111111111111", "4111.1111.1111.1111", "+4111111111111111", "4111/1111/1111/1111"]
)
@pytest.mark.parametrize(
    ("mutation", "path"),
    [
        ("createCustomer", ("phone",)),
        ("createCustomer", ("externalId",)),
        ("addPaymentMethod", ("method", "alohaToken", "token")),
        ("importPaymentMethods", ("rows", "caselleProcessorToken")),
    ],
    ids=str,
)
async def test_no_way_to_write_it_hides_a_card_number(mutation: str, path: tuple[str, ...], written: str) -> None:
    writer = RecordingWriter()
    errors = await ask(world_with(writer), mutation, sample(mutations()[mutation], path, written))
    assert [(error["code"], error["path"]) for error in errors] == [("PAN_NOT_ALLOWED", ["input", *path])]
    assert writer.asked == []


@pytest.mark.parametrize(
    ("mutation", "path", "value"),
    [
        ("addPaymentMethod", ("method", "jpmBankAccount", "sepa", "iban"), "DK5402406497499030"),
        ("updatePaymentMethod", ("ifMatch",), "4111111111111111abcd"),
        ("createCustomer", ("externalId",), "41111111-1111-1111-1111-111111111111"),
        ("createCustomer", ("externalId",), "4111111111111112"),
        ("createCustomer", ("phone",), "+49 1512 3456789"),
        ("linkProviderCustomer", ("customerRef",), "37"),
    ],
    ids=str,
)
async def test_what_only_resembles_a_card_number_passes(mutation: str, path: tuple[str, ...], value: str) -> None:
    writer = RecordingWriter()
    assert await ask(world_with(writer), mutation, sample(mutations()[mutation], path, value)) == []
    assert len(writer.asked) == 1


def test_the_walk_reaches_what_it_should() -> None:
    named = {(mutation, ".".join(path)) for mutation, path, _ in TEXTS}
    assert named >= {each for each in MAY_HOLD_ONE if each[0] in mutations()}
    assert ("addPaymentMethod", "method.jpmRawCard.authenticate.returnUrl") in named
    assert ("addPaymentMethod", "billingAddress.line2") in named
    assert len(named) > 45


WRITES = [name for name in mutations() if name not in ("createTokenization", "exportCustomer")]  # those only read


@pytest.mark.parametrize("mutation", WRITES)
async def test_the_smallest_input_passes_and_reaches_the_use_case(mutation: str) -> None:
    writer = RecordingWriter()
    assert await ask(world_with(writer), mutation, sample(mutations()[mutation])) == []
    assert len(writer.asked) == 1
    assert writer.asked[0][1].caller.name == "tests"


@pytest.mark.parametrize(("mutation", "path", "scalar"), TEXTS, ids=lambda value: str(value))
async def test_control_characters_and_endless_text_are_refused(
    mutation: str, path: tuple[str, ...], scalar: str
) -> None:
    if scalar == "URL":
        return  # the scalar lets neither pass
    for wrong in ("a\r\nX-Injected: 1", "a\u202eb", "\x00", "x" * 20_000):
        writer = RecordingWriter()
        errors = await ask(world_with(writer), mutation, sample(mutations()[mutation], path, wrong))
        assert [(error["code"], error["path"]) for error in errors] == [("INVALID_INPUT", ["input", *path])]
        assert writer.asked == []


async def test_a_required_text_must_not_be_blank() -> None:
    writer = RecordingWriter()
    value = sample(mutations()["createCustomer"], ("address", "city"), "  ")
    value["externalId"] = ""
    errors = await ask(world_with(writer), "createCustomer", value)
    assert sorted((error["code"], error["path"]) for error in errors) == [
        ("REQUIRED", ["input", "address", "city"]),
        ("REQUIRED", ["input", "externalId"]),
    ]
    assert writer.asked == []


async def test_a_nickname_may_be_blank_to_take_it_away() -> None:
    writer = RecordingWriter()
    assert await ask(world_with(writer), "updatePaymentMethod", {"id": "pm_x", "nickname": ""}) == []
    assert writer.asked[0][0].nickname == ""


@pytest.mark.parametrize(
    ("url", "is_fine"),
    [
        ("https://shop.example/back?x=1", True),
        ("https://SHOP.example:443/back", True),
        ("https://shop.example.evil.test/", False),
        ("https://shop.example:8443/", False),
        ("https://evil.test/?https://shop.example", False),
        ("https://evil.test\\.shop.example/", False),
        ("http://localhost:3000/back", False),
    ],
)
async def test_a_shopper_is_sent_back_to_the_operators_own_sites_alone(url: str, is_fine: bool) -> None:
    writer = RecordingWriter()
    path = ("method", "jpmRawCard", "authenticate", "returnUrl")
    errors = await ask(world_with(writer), "addPaymentMethod", sample(mutations()["addPaymentMethod"], path, url))
    found = [(error["code"], error["path"]) for error in errors if error["code"] != "RAW_CARD_DISABLED"]
    assert found == ([] if is_fine else [("INVALID_INPUT", ["input", *path])])


def test_this_machine_is_a_site_in_development_alone() -> None:
    url = "http://127.0.0.1:3000/back"
    assert ReturnOrigins(loopback=True).allows(url)
    assert not ReturnOrigins.of(["http://127.0.0.1:3000"]).allows(url)
    assert not ReturnOrigins(loopback=True).allows("https://shop.example/")


@pytest.mark.parametrize(("part", "scope"), [("jpmNetworkToken", "network_tokens:write"), ("jpmRawCard", "pan:write")])
async def test_a_part_of_an_input_may_need_a_scope_of_its_own(part: str, scope: str) -> None:
    writer = RecordingWriter()
    world = world_with(writer)
    kind = mutations()["addPaymentMethod"]
    value = sample(kind, ("method", part, "expiry"), "2031-05")
    caller = Caller(name="tests", scopes=ALL_SCOPES - {scope})
    result = await world.ask(document("addPaymentMethod", kind), {"input": value}, caller=caller)
    assert result.data == {"addPaymentMethod": None}
    assert [error.extensions for error in result.errors] == [{"code": "FORBIDDEN", "requiresAnyOf": [scope]}]
    assert writer.asked == []


async def test_a_route_that_the_operator_closed_is_refused_by_name() -> None:
    writer = RecordingWriter()
    kind = mutations()["addPaymentMethod"]
    value = sample(kind, ("method", "jpmNetworkToken", "expiry"), "2031-05")
    world = world_with(writer)
    vault = world.vaults[ProviderName.JPMORGAN]
    vault.capabilities = replace(vault.capabilities, add_via=frozenset())
    assert await ask(world, "addPaymentMethod", value) == [
        {"code": "UNSUPPORTED_BY_PROVIDER", "path": ["input", "method", "jpmNetworkToken"]}
    ]
    assert writer.asked == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("idempotencyKey",), "too-short"),
        (("idempotencyKey",), "with a blank in it, which is not visible"),
        (("billingAddress", "country"), "ZZ"),
        (("billingAddress", "country"), "us"),
        (("method", "caselleToken", "card", "last4"), "42"),
        (("method", "caselleToken", "card", "expiry"), "2031-13"),
        (("method", "loanproToken", "kind"), "CASH"),
        (("method", "jpmBankAccount", "sepa", "mandateSignedOn"), "2026-02-30"),
    ],
)
async def test_what_does_not_fit_its_scalar_is_an_error_of_the_request(path: tuple[str, ...], value: str) -> None:
    writer = RecordingWriter()
    kind = mutations()["addPaymentMethod"]
    result = await world_with(writer).ask(document("addPaymentMethod", kind), {"input": sample(kind, path, value)})
    assert result.data is None
    assert len(result.errors) == 1
    assert writer.asked == []


async def test_two_ways_at_once_are_an_error_of_the_request() -> None:
    kind = mutations()["addPaymentMethod"]
    value = sample(kind, ("method", "jpmRawCard", "expiry"), "2031-05")
    value["method"] |= sample(kind, ("method", "loanproToken", "kind"), "CARD")["method"]
    result = await world_with(RecordingWriter()).ask(document("addPaymentMethod", kind), {"input": value})
    assert result.data is None


@pytest.mark.parametrize(
    ("field", "value", "is_fine"),
    [
        ("email", "alex@example.com", True),
        ("email", "o'neil+cards@mail.example.co.uk", True),
        ("email", "zoë@bücher.example", True),
        ("email", "alex", False),
        ("email", "alex@localhost", False),
        ("email", "a@b@example.com", False),
        ("email", "alex @example.com", False),
        ("email", "alex@example..com", False),
        ("phone", "+1 (775) 555-0100", True),
        ("phone", "7755550100 ext. 12", True),
        ("phone", "555", False),
        ("phone", "call me", False),
    ],
)
async def test_how_to_reach_a_customer(field: str, value: str, is_fine: bool) -> None:
    writer = RecordingWriter()
    errors = await ask(world_with(writer), "createCustomer", sample(mutations()["createCustomer"], (field,), value))
    assert [(error["code"], error["path"]) for error in errors] == (
        [] if is_fine else [("INVALID_INPUT", ["input", field])]
    )
    assert len(writer.asked) == is_fine
