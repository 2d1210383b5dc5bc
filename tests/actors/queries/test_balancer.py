from __future__ import annotations

import time
from collections import Counter

from actors.kernel.mailbox import Mailbox, Request
from actors.queries.balancer import Balancer
from actors.queries.query_endpoint import QueryEndpoint, QueryStats
from tests.helpers import in_a_thread


class Waiting(Request):
    pass


def endpoint(replica, number=1, waiting=0, busy_for=None):
    endpoint = QueryEndpoint(f"{replica}.query-{number}", replica, Mailbox(), QueryStats())
    for _ in range(waiting):
        endpoint.mailbox.put(Waiting())
    if busy_for is not None:
        endpoint.stats.activity = ("Query", time.monotonic() - busy_for)
    return endpoint


def test_the_least_loaded_is_picked():
    balancer = Balancer([endpoint("a", waiting=3), endpoint("b", waiting=1), endpoint("c", waiting=2)])
    assert {balancer.pick(["a", "b", "c"]).replica for _ in range(6)} == {"b"}


def test_only_the_replicas_asked_for_are_picked():
    balancer = Balancer([endpoint("a"), endpoint("b", waiting=9), endpoint("c", waiting=7)])
    assert balancer.pick(["b"]).replica == "b"
    assert {balancer.pick(["b", "c"]).replica for _ in range(4)} == {"c"}


def test_a_thread_stays_with_one_that_is_idle():
    balancer = Balancer([endpoint(replica, number) for replica in "abc" for number in (1, 2)])
    assert len({balancer.pick("abc").name for _ in range(60)}) == 1


def test_threads_take_turns_in_where_they_begin():
    balancer = Balancer([endpoint(replica, number) for replica in "abc" for number in (1, 2)])
    names = Counter(in_a_thread(lambda: balancer.pick("abc").name) for _ in range(12))
    assert set(names.values()) == {2}


def test_a_thread_goes_elsewhere_while_its_own_is_busy():
    endpoints = [endpoint(replica) for replica in "abc"]
    balancer = Balancer(endpoints)
    own = balancer.pick("abc")
    own.stats.activity = ("Query", time.monotonic())
    assert balancer.pick("abc") is not own
    own.stats.activity = None
    assert balancer.pick("abc") is own


def test_a_thread_moves_on_from_what_turned_out_to_be_no_good():
    balancer = Balancer([endpoint(replica) for replica in "abc"])
    picked = []
    for _ in range(6):
        picked.append(balancer.pick("abc").replica)
        balancer.move_on()
    assert sorted(picked[:3]) == ["a", "b", "c"]
    assert picked[3:] == picked[:3]


def test_a_query_in_hand_is_load():
    balancer = Balancer([endpoint("a", busy_for=0.0), endpoint("b")])
    assert {balancer.pick("ab").replica for _ in range(4)} == {"b"}


def test_views_take_turns():
    balancer = Balancer([endpoint(replica) for replica in "abc"])
    assert Counter(balancer.next_replica(["a", "b", "c"]) for _ in range(9)) == {"a": 3, "b": 3, "c": 3}


def test_a_replica_is_occupied_when_all_its_query_actors_have_been_busy_for_long():
    balancer = Balancer(
        [
            endpoint("hangs", 1, busy_for=9.0),
            endpoint("hangs", 2, busy_for=3.0),
            endpoint("half", 1, busy_for=9.0),
            endpoint("half", 2),
            endpoint("busy", 1, busy_for=0.1),
            endpoint("idle"),
        ]
    )
    assert balancer.occupied(1.0) == ["hangs"]
    assert balancer.occupied(5.0) == []
