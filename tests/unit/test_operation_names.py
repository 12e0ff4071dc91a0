"""Labels of operations: bounded, whatever names clients choose."""

from app.api.operation_names import OTHER, UNNAMED, OperationNames


def used(names: OperationNames, name: str, times: int) -> str:
    return [names.label(name, is_published=False) for _ in range(times)][-1]


def test_a_name_counts_from_its_tenth_use() -> None:
    names = OperationNames(lambda _: None)
    assert used(names, "Wallet", 9) == OTHER
    assert used(names, "Wallet", 1) == "Wallet"
    assert names.label(None, is_published=False) == UNNAMED


def test_published_names_count_at_once() -> None:
    names = OperationNames(lambda _: None, most=0)
    assert names.label("Wallet", is_published=True) == "Wallet"
    assert names.label("Wallet", is_published=False) == "Wallet"


def test_a_more_used_name_replaces_the_least_used() -> None:
    dropped: list[str] = []
    names = OperationNames(dropped.append, most=2)
    assert [used(names, "A", 30), used(names, "B", 20), used(names, "C", 49)] == ["A", "B", OTHER]
    assert used(names, "C", 1) == "C"
    assert dropped == ["B"]
    assert used(names, "A", 1) == "A"


def test_many_names_are_bounded() -> None:
    names = OperationNames(lambda _: None)
    labels = {used(names, f"Name{number}", 12) for number in range(3_000)}
    assert len(labels) == 201


def test_names_that_may_hold_data_are_no_labels() -> None:
    names = OperationNames(lambda _: None)
    assert used(names, "q4111111111111111", 20) == OTHER
    assert used(names, "n" * 81, 20) == OTHER
