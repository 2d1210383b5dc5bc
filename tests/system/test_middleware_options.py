"""What middleware makes of the options of a call is checked as the caller's own are, with the same errors."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from actors import InvalidMessage, System
from tests.helpers import case_id
from tests.system.test_query_time import ONE, SEVERAL, asking
from tests.system.till import amounts, till_of
from tests.system.ways_to_write import AddedOptions, each_way, opened, set_options

TIMEOUTS = ["x", None, math.nan, math.inf, 10**30, -1, True]

QUERY_OPTIONS = [
    *({"timeout": timeout} for timeout in TIMEOUTS),
    {"colour": "red"},
    {7: "red"},
    {"consistency": "exact"},
    {"after": -1},
    {"max_lag": "1s"},
]

COMMAND_OPTIONS = [
    *({"timeout": timeout} for timeout in TIMEOUTS),
    {"colour": "red"},
    {7: "red"},
    {"expected_version": -1},
    {"deadline": math.nan},
    {"command_id": ""},
]


@pytest.mark.parametrize("way", [*ONE, *SEVERAL])
@pytest.mark.parametrize("options", QUERY_OPTIONS, ids=case_id)
def test_bad_options_that_a_middleware_gives_a_query_are_refused_as_its_callers_are(
    store_path: Path, way: Any, options: Any
) -> None:
    added = AddedOptions(options)
    made = asking(added.around)
    with System.open(store_path, made.domain, replicas=1) as system:
        with pytest.raises((TypeError, ValueError)) as by_middleware:
            way(system, [made.Ask()])
        added.options = {}
        assert way(system, [made.Ask(3)]) == [3]
        if all(isinstance(name, str) for name in options):
            with pytest.raises(type(by_middleware.value)) as by_caller:
                system.query(made.Ask(), **options)
            assert str(by_caller.value) == str(by_middleware.value)


@pytest.mark.parametrize("way", [*ONE, *SEVERAL])
@pytest.mark.parametrize("options", [None, [], "timeout"], ids=case_id)
def test_a_query_whose_options_are_no_dict_any_more_is_refused(
    store_path: Path, way: Any, options: Any
) -> None:
    made = asking(set_options(options))
    with (
        System.open(store_path, made.domain, replicas=1) as system,
        pytest.raises(
            TypeError, match=r"call\.options are those of query\(\), a dict, not .*give an empty one"
        ),
    ):
        way(system, [made.Ask()])


@each_way
@pytest.mark.parametrize("options", COMMAND_OPTIONS, ids=case_id)
def test_bad_options_that_a_middleware_gives_a_command_are_refused_as_its_callers_are(
    store_path: Path, way: Any, options: Any
) -> None:
    added = AddedOptions(options)
    till = till_of(added.around)
    with opened(store_path, till) as system:
        with pytest.raises((TypeError, ValueError, InvalidMessage)) as by_middleware:
            way(system, till.Pay("a"))
        added.options = {}
        if all(isinstance(name, str) for name in options):
            with pytest.raises(type(by_middleware.value)) as by_caller:
                system.execute(till.Pay("a"), **options)
            assert str(by_caller.value) == str(by_middleware.value)
        way(system, till.Pay("a", 5))
        assert amounts(system) == [5]


@each_way
@pytest.mark.parametrize("options", [None, [], "timeout"], ids=case_id)
def test_a_command_whose_options_are_no_dict_any_more_is_refused(
    store_path: Path, way: Any, options: Any
) -> None:
    till = till_of(set_options(options))
    with opened(store_path, till) as system:
        with pytest.raises(TypeError, match=r"call\.options are those of execute\(\), a dict, not"):
            way(system, till.Pay("a"))
        assert system.position == 0


def test_a_conflict_is_not_resolved_for_a_command_whose_options_are_no_dict_any_more(
    store_path: Path,
) -> None:
    till = till_of(set_options(None))
    with opened(store_path, till) as system:
        with pytest.raises(TypeError, match=r"call\.options are those of execute\(\)"):
            system.execute(till.Pay("a"), expected_version=0, on_conflict=3)
        assert system.position == 0


@each_way
@pytest.mark.parametrize("metadata", ["user", ["user"], {7: "user"}], ids=case_id)
def test_metadata_of_another_shape_that_a_middleware_gives_is_refused(
    store_path: Path, way: Any, metadata: Any
) -> None:
    def around(call: Any) -> Iterator[None]:
        call.metadata = metadata
        yield

    till = till_of(around)
    with opened(store_path, till) as system:
        with pytest.raises(InvalidMessage, match=r"metadata=\) is a dict with str keys"):
            way(system, till.Pay("a"))
        assert system.position == 0
