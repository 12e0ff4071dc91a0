"""The bounded cache: order of eviction, weights."""

from collections import OrderedDict

from hypothesis import given
from hypothesis import strategies as st

from app.caching.lru import LruCache


def test_the_least_recently_used_entry_is_evicted() -> None:
    evicted: list[tuple[str, int]] = []
    cache: LruCache[str, int] = LruCache(2, on_evict=lambda key, value: evicted.append((key, value)))
    cache.put("a", 1)
    cache.put("b", 2)
    assert cache.get("a") == 1
    cache.put("c", 3)
    assert evicted == [("b", 2)]
    assert list(cache) == ["a", "c"]


def test_peek_does_not_count_as_a_use() -> None:
    cache: LruCache[str, int] = LruCache(2)
    cache.put("a", 1)
    cache.put("b", 2)
    assert cache.peek("a") == 1
    cache.put("c", 3)
    assert (cache.peek("a"), cache.peek("b")) == (None, 2)


def test_an_entry_heavier_than_the_limit_is_not_kept() -> None:
    cache: LruCache[str, int] = LruCache(10)
    cache.put("a", 1, weight=4)
    cache.put("b", 2, weight=11)
    assert (len(cache), cache.weight) == (0, 0)


_STEPS = st.lists(
    st.tuples(st.sampled_from(["put", "get", "peek", "pop"]), st.integers(0, 5), st.integers(0, 4)), max_size=60
)


@given(_STEPS, st.integers(0, 9))
def test_it_behaves_like_the_plain_model(steps: list[tuple[str, int, int]], limit: int) -> None:
    cache: LruCache[int, int] = LruCache(limit)
    model: OrderedDict[int, int] = OrderedDict()  # key to weight, which is also the value
    for step, key, weight in steps:
        if step == "put":
            cache.put(key, weight, weight=weight)
            model.pop(key, None)
            model[key] = weight
            while sum(model.values()) > limit:
                model.popitem(last=False)
        elif step == "pop":
            assert cache.pop(key) == model.pop(key, None)
        elif step == "get":
            assert cache.get(key) == model.get(key)
            if key in model:
                model.move_to_end(key)
        else:
            assert cache.peek(key) == model.get(key)
        assert (list(cache), cache.weight) == (list(model), sum(model.values()))
