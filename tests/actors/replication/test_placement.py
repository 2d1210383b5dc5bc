from __future__ import annotations

import pytest

from actors import Domain, DomainError
from actors.replication.placement import check_queries, models_on, place_models

THREE = ["replica-1", "replica-2", "replica-3"]


def domain_of(**replicas):
    """A domain with a model for each name, and one query that reads them all."""
    domain = Domain("places")
    models = [domain.read_model(name, replicas=where) for name, where in replicas.items()]

    @domain.query(reads=models)
    class All:
        def run(self, view):
            return None

    return domain.compile()


@pytest.mark.parametrize(
    ("replicas", "where"),
    [
        (None, THREE),
        (1, THREE[:1]),
        (2, THREE[:2]),
        (9, THREE),
        ([2], THREE[1:2]),
        ([3, 1], ["replica-1", "replica-3"]),
        ([3, 4], THREE[2:]),
    ],
)
def test_a_model_is_where_it_says(replicas, where):
    assert place_models(domain_of(m=replicas).models, THREE) == {"m": where}


def test_a_model_without_a_replica_is_refused_with_its_place():
    with pytest.raises(
        DomainError, match=r"test_placement.py:\d+: read model 'm' is on replicas \[4\], .* with 3; open"
    ):
        place_models(domain_of(m=[4]).models, THREE)


def test_a_query_finds_its_models_together_or_is_refused():
    together = domain_of(m=[1, 2], n=[2, 3])
    check_queries(together, place_models(together.models, THREE))
    apart = domain_of(m=[1, 2], n=[3])
    with pytest.raises(DomainError) as refused:
        check_queries(apart, place_models(apart.models, THREE))
    assert refused.value.problems == (
        "query All reads models that are on no replica together: "
        "m is on replica-1, replica-2; n is on replica-3; "
        "give them a replica in common with replicas=",
    )


def test_a_replica_has_every_version_of_the_models_that_are_placed_there():
    domain = Domain("versions")
    newer = domain.read_model("m", version=2, replicas=2)
    older = domain.read_model("m", version=1, replicas=2)
    other = domain.read_model("n", replicas=1)
    compiled = domain.compile()
    placed = place_models(compiled.models, THREE)
    assert models_on("replica-1", placed, compiled) == [newer, older, other]
    assert models_on("replica-2", placed, compiled) == [newer, older]
    assert models_on("replica-3", placed, compiled) == []
