"""A client makes so many requests at once, and so many a second for good; others are not asked."""

from hypothesis import given
from hypothesis import strategies as st

from chassis.http.rate_limit import Rates


class Watch:
    """A clock that the story sets."""

    def __init__(self):
        self.at = 1000.0

    def __call__(self):
        return self.at


def test_a_burst_is_taken_and_what_comes_after_it_must_wait():
    watch = Watch()
    rates = Rates(2.0, 5, now=watch)
    assert [rates.take("a").left for _ in range(5)] == [4, 3, 2, 1, 0]
    over = rates.take("a")
    assert not over.taken
    assert over.headers() == {
        "RateLimit-Policy": '"client";q=5;w=3',
        "RateLimit": '"client";r=0;t=3',
        "Retry-After": "1",
    }
    watch.at += 0.5
    assert rates.take("a").taken
    assert not rates.take("a").taken


def test_one_client_uses_up_nothing_of_another():
    rates = Rates(1.0, 1, now=Watch())
    assert rates.take("a").taken
    assert not rates.take("a").taken
    assert rates.take("b").taken


def test_only_so_many_clients_are_remembered_and_the_quietest_is_forgotten():
    rates = Rates(1.0, 2, clients=3, now=Watch())
    for client in ("a", "b", "c", "a", "d"):
        rates.take(client)
    assert not rates.take("a").taken, "remembered"
    assert rates.take("b").left == 1, "forgotten"
    assert len(rates._buckets) == 3


@given(
    rate=st.floats(0.1, 100),
    burst=st.integers(1, 50),
    pauses=st.lists(st.floats(0, 5), min_size=1, max_size=200),
)
def test_nobody_gets_more_than_the_burst_and_the_rate(rate, burst, pauses):
    watch = Watch()
    rates = Rates(rate, burst, now=watch)
    begin, taken = watch.at, 0
    for pause in pauses:
        watch.at += pause
        quota = rates.take("a")
        taken += quota.taken
        assert 0 <= quota.left < burst
        assert taken <= burst + (watch.at - begin) * rate + 1e-6


@given(rate=st.floats(0.1, 100), burst=st.integers(1, 50))
def test_who_waits_as_long_as_told_is_taken(rate, burst):
    watch = Watch()
    rates = Rates(rate, burst, now=watch)
    while (quota := rates.take("a")).taken:
        pass
    watch.at += float(quota.headers()["Retry-After"])
    assert rates.take("a").taken
