import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.vault.enums import CustomerRef, DefaultReason, DefaultState, MethodRef, ProviderName, SourceState
from app.vault.rules.default import Default, DefaultCandidate, MethodKey, StoredChoice, effective_default

PRECEDENCE = (ProviderName.LOANPRO, ProviderName.JPMORGAN, ProviderName.CASELLE, ProviderName.ALOHA)
ALL_OK = dict.fromkeys(ProviderName, SourceState.OK)
ANSWERS = [SourceState.OK, SourceState.NOT_LINKED, SourceState.CUSTOMER_NOT_FOUND]
NOT_ANSWERS = [state for state in SourceState if state not in ANSWERS]


def key(provider: ProviderName, ref: str = "1") -> MethodKey:
    return provider, CustomerRef("c"), MethodRef(ref)


def one(provider: ProviderName, ref: str = "1", *, usable: bool = True, default: bool = False) -> DefaultCandidate:
    return DefaultCandidate(key(provider, ref), usable, usable, default)


def resolved(method: DefaultCandidate, reason: DefaultReason) -> Default:
    return Default(DefaultState.RESOLVED, method.key, reason)


LP, JPM = one(ProviderName.LOANPRO), one(ProviderName.JPMORGAN)
LP_DEFAULT, JPM_DEFAULT = one(ProviderName.LOANPRO, default=True), one(ProviderName.JPMORGAN, default=True)


def test_an_explicit_choice_wins_over_every_vault_default() -> None:
    chosen = effective_default([LP_DEFAULT, JPM], ALL_OK, StoredChoice(JPM.key), PRECEDENCE)
    assert chosen == resolved(JPM, DefaultReason.EXPLICIT_CHOICE)


def test_the_only_usable_method_is_the_default() -> None:
    broken = one(ProviderName.CASELLE, usable=False, default=True)
    assert effective_default([broken, LP], ALL_OK, None, PRECEDENCE) == resolved(LP, DefaultReason.ONLY_USABLE_METHOD)


def test_the_only_usable_vault_default_is_next() -> None:
    unusable = one(ProviderName.CASELLE, usable=False, default=True)
    found = effective_default([LP, JPM_DEFAULT, unusable], ALL_OK, None, PRECEDENCE)
    assert found == resolved(JPM_DEFAULT, DefaultReason.ONLY_PROVIDER_DEFAULT)


def test_precedence_decides_among_vault_defaults() -> None:
    methods = [JPM_DEFAULT, LP_DEFAULT, one(ProviderName.ALOHA, default=True)]
    reason = DefaultReason.PROVIDER_PRECEDENCE
    assert effective_default(methods, ALL_OK, None, PRECEDENCE) == resolved(LP_DEFAULT, reason)
    assert effective_default(methods, ALL_OK, None, PRECEDENCE[1:]) == resolved(JPM_DEFAULT, reason)
    assert effective_default(methods, ALL_OK, None, ()) == resolved(LP_DEFAULT, reason)


def test_two_methods_and_no_vault_default_is_none() -> None:
    assert effective_default([LP, JPM], ALL_OK, None, PRECEDENCE) == Default(DefaultState.NONE)


def test_no_link_at_all_is_none_and_not_unknown() -> None:
    nowhere = dict.fromkeys(ProviderName, SourceState.NOT_LINKED)
    assert effective_default([], nowhere, None, PRECEDENCE) == Default(DefaultState.NONE)


@pytest.mark.parametrize("state", NOT_ANSWERS)
def test_an_inconclusive_vault_makes_the_default_unknown(state: SourceState) -> None:
    states = {**ALL_OK, ProviderName.ALOHA: state}
    assert effective_default([LP], states, None, PRECEDENCE) == Default(DefaultState.UNKNOWN)
    chosen = effective_default([LP, JPM], states, StoredChoice(JPM.key), PRECEDENCE)
    assert chosen == resolved(JPM, DefaultReason.EXPLICIT_CHOICE)


@pytest.mark.parametrize("state", NOT_ANSWERS)
@pytest.mark.parametrize("is_kept", [False, True])
def test_a_choice_missing_at_an_inconclusive_vault_is_unknown(state: SourceState, is_kept: bool) -> None:
    states = {**ALL_OK, ProviderName.JPMORGAN: state}
    found = effective_default([LP], states, StoredChoice(JPM.key, is_kept=is_kept), PRECEDENCE)
    assert found == Default(DefaultState.UNKNOWN)


@pytest.mark.parametrize("state", ANSWERS)
@pytest.mark.parametrize("is_kept", [False, True])
def test_a_choice_missing_at_its_vault_gives_none_and_no_other_card(state: SourceState, is_kept: bool) -> None:
    states = {**ALL_OK, ProviderName.JPMORGAN: state, ProviderName.CASELLE: SourceState.TIMEOUT}
    for others in ({}, {ProviderName.CASELLE: SourceState.OK}):
        found = effective_default(
            [LP_DEFAULT], {**states, **others}, StoredChoice(JPM.key, is_kept=is_kept), PRECEDENCE
        )
        assert found == Default(DefaultState.NONE, choice_is_missing=True)


def test_a_kept_default_overrides_the_rules() -> None:
    states = {**ALL_OK, ProviderName.LOANPRO: SourceState.TIMEOUT}
    for answers in (ALL_OK, states):
        kept = effective_default([LP_DEFAULT, JPM], answers, StoredChoice(JPM.key, is_kept=True), PRECEDENCE)
        assert kept == resolved(JPM, DefaultReason.KEPT)


def test_an_unusable_kept_default_falls_back_to_the_rules() -> None:
    broken = one(ProviderName.JPMORGAN, usable=False)
    kept = StoredChoice(broken.key, is_kept=True)
    found = effective_default([LP, broken], ALL_OK, kept, PRECEDENCE)
    assert found == resolved(LP, DefaultReason.ONLY_USABLE_METHOD)
    states = {**ALL_OK, ProviderName.CASELLE: SourceState.PARTIAL}
    assert effective_default([LP, broken], states, kept, PRECEDENCE) == Default(DefaultState.UNKNOWN)


def test_an_unusable_choice_gives_none_and_no_other_card() -> None:
    broken = one(ProviderName.JPMORGAN, usable=False)
    found = effective_default([LP_DEFAULT, broken], ALL_OK, StoredChoice(broken.key), PRECEDENCE)
    assert found == Default(DefaultState.NONE)


def test_allow_expired_excuses_the_expiry_and_nothing_else() -> None:
    expired = DefaultCandidate(JPM.key, usable=False, usable_but_for_expiry=True, is_provider_default=False)
    allowed = StoredChoice(JPM.key, allow_expired=True)
    assert effective_default([expired], ALL_OK, allowed, PRECEDENCE) == resolved(JPM, DefaultReason.EXPLICIT_CHOICE)
    assert effective_default([expired], ALL_OK, StoredChoice(JPM.key), PRECEDENCE) == Default(DefaultState.NONE)
    broken = one(ProviderName.JPMORGAN, usable=False)
    assert effective_default([broken], ALL_OK, allowed, PRECEDENCE) == Default(DefaultState.NONE)


keys = st.builds(key, st.sampled_from(ProviderName), st.sampled_from("12"))
wallets = st.lists(
    st.builds(
        lambda place, usable, expired, default: DefaultCandidate(place, usable, usable or expired, default),
        keys,
        st.booleans(),
        st.booleans(),
        st.booleans(),
    ),
    unique_by=lambda method: method.key,
    max_size=8,
)
choices = (
    st.none()
    | st.builds(StoredChoice, keys, allow_expired=st.booleans())
    | st.builds(StoredChoice, keys, is_kept=st.just(True))
)
source_states = st.fixed_dictionaries({name: st.sampled_from(SourceState) for name in ProviderName})
precedences = st.permutations(list(ProviderName))


@given(wallets, source_states, choices, precedences)
def test_invariants_for_every_wallet(
    methods: list[DefaultCandidate],
    states: dict[ProviderName, SourceState],
    choice: StoredChoice | None,
    precedence: list[ProviderName],
) -> None:
    found = effective_default(methods, states, choice, precedence)
    by_key = {method.key: method for method in methods}
    answered = all(state in ANSWERS for state in states.values())
    chosen = by_key.get(choice.key) if choice else None

    assert (found.key is not None) == (found.reason is not None) == (found.state is DefaultState.RESOLVED)
    assert found == effective_default(list(reversed(methods)), states, choice, precedence), "order must not matter"
    if choice is not None and chosen is None:
        has_answered = states[choice.key[0]] in ANSWERS
        assert found.state is (DefaultState.NONE if has_answered else DefaultState.UNKNOWN), "never another card"
        assert found.choice_is_missing == has_answered
    elif choice is not None and chosen is not None and (chosen.usable or not choice.is_kept):
        assert found.state is not DefaultState.UNKNOWN
        assert found.key in (None, choice.key), "never another card than the chosen one"
    else:
        assert (found.state is DefaultState.UNKNOWN) == (not answered)
    if chosen is not None or choice is None:
        assert not found.choice_is_missing
    if found.key is not None and not (choice and choice.allow_expired):
        assert by_key[found.key].usable


@given(wallets, precedences)
def test_a_usable_vault_default_gives_a_default_if_all_vaults_are_conclusive(
    methods: list[DefaultCandidate], precedence: list[ProviderName]
) -> None:
    found = effective_default(methods, ALL_OK, None, precedence)
    usable = [method for method in methods if method.usable]
    if any(method.is_provider_default for method in usable) or len(usable) == 1:
        assert found.state is DefaultState.RESOLVED
    else:
        assert found == Default(DefaultState.NONE)
