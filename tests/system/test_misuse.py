"""Calls of the system with something else than they take: the error names what was given and says what to
write.
"""

from __future__ import annotations

import math
import pickle
import re
import sys
from types import ModuleType
from typing import Any

import pytest

from actors import Domain, InvalidMessage, QueryFailed, System, UnknownMessage, UnknownName
from actors.testing import open_system
from storage import UnencodableValue
from tests import bank_domain
from tests.bank_domain import balances
from tests.system.trouble import Add, Added, SizeOf, sizes, still_serves, things, trouble


@pytest.fixture(scope="module")
def shared():
    with open_system(trouble) as system:
        yield system


@pytest.fixture
def system(shared):
    """A system that has to serve, with nothing written, after the test's misuse."""
    before = shared.position
    yield shared
    assert shared.position == before
    still_serves(shared)


# -- opening ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("domain", "text"),
    [
        (None, r"takes a Domain, not None; give the Domain that declares the messages"),
        (
            bank_domain,
            r"takes a Domain, not <module .*; give the Domain in that module: .*bank_domain\.bank$",
        ),
        (sys, r"takes a Domain, not <module 'sys' .*; give the Domain in that module: it has none"),
        (ModuleType, r"takes a Domain, not <class 'module'>"),
    ],
    ids=["None", "module", "module without one", "class"],
)
def test_what_is_no_domain_is_refused(store_path, domain, text):
    with pytest.raises(TypeError, match=text):
        System.open(store_path, domain)
    assert not store_path.exists()


def test_swapped_arguments_are_told(store_path):
    path: Any = trouble
    domain: Any = store_path
    with pytest.raises(TypeError, match=r"the other way round: System\.open\(path, domain\)"):
        System.open(path, domain)


@pytest.mark.parametrize("path", [None, 5, b"shop"])
def test_what_is_no_path_is_refused(path):
    with pytest.raises(
        TypeError, match=rf"the store's directory as text or a Path, not {re.escape(repr(path))}"
    ):
        System.open(path, trouble)


def test_an_empty_path_is_not_the_current_directory():
    with pytest.raises(ValueError, match="an empty path"):
        System.open("", trouble)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("map_size", -5),
        ("map_size", 1e9),
        ("map_size", "1 GiB"),
        ("replicas", "3"),
        ("max_message_bytes", 0),
        ("max_message_bytes", "1"),
        ("decider_limit", "5"),
        ("decider_limit", None),
        ("decider_limit", math.nan),
        ("view_max_age", 0),
        ("view_max_age", True),
        ("replication_interval", -1),
        ("replication_interval", 61),
        ("replication_interval", "1"),
    ],
)
def test_a_setting_of_a_wrong_type_is_refused_by_its_name(store_path, name, value):
    with pytest.raises(ValueError, match=rf"{name}= must be .*, got {value!r}"):
        System.open(store_path, trouble, **{name: value})
    assert not store_path.exists()


# -- messages ---------------------------------------------------------------------------------
def test_a_class_in_place_of_an_instance_is_told(system):
    with pytest.raises(
        UnknownMessage, match=r"^Add is the class of a command; execute an instance: Add\(\.\.\.\)$"
    ):
        system.execute(Add)
    with pytest.raises(UnknownMessage, match=r"^SizeOf is the class of a query; query an instance: SizeOf\("):
        system.query(SizeOf)
    with pytest.raises(UnknownMessage, match=r"^Added is the class of an event; append an instance: Added\("):
        system.append("thing-a", [Added])


def test_a_message_of_another_kind_is_told_where_it_belongs(system):
    with pytest.raises(
        UnknownMessage, match=r"SizeOf is not a command .*; SizeOf is a query, which query\(\) takes"
    ):
        system.execute(SizeOf("a"))
    with pytest.raises(UnknownMessage, match=r"the class SizeOf is not a command .*; SizeOf is a query"):
        system.submit(SizeOf)
    with pytest.raises(
        UnknownMessage, match=r"Add is not a query .*; Add is a command, which execute\(\) takes"
    ):
        system.query(Add("a"))
    with pytest.raises(
        UnknownMessage, match=r"Added is not a command .*; Added is an event, which append\(\) takes"
    ):
        system.execute(Added("a", 1))


def test_several_messages_for_one_are_told(system):
    with pytest.raises(UnknownMessage, match=r"list is not a command .*; execute_many\(\) takes several"):
        system.execute([Add("a")])
    with pytest.raises(UnknownMessage, match=r"list is not a query .*; query_many\(\) takes several"):
        system.query([SizeOf("a")])


@pytest.mark.parametrize("given", [Add("a"), Add, None, "Add", {"id": "a"}], ids=str)
def test_one_message_for_several_is_told(system, given):
    with pytest.raises(
        TypeError, match=r"execute_many\(\) takes a list, not .*; .* or execute\(command\) for a single"
    ):
        system.execute_many(given)
    with pytest.raises(
        TypeError, match=r"query_many\(\) takes a list, not .*; .* or query\(query\) for a single one"
    ):
        system.query_many(given)


@pytest.mark.parametrize("metadata", [[1], "user", 5, {1: "user"}])
def test_metadata_of_another_shape_is_refused(system, metadata):
    for write in (
        lambda: system.execute(Add("a"), metadata=metadata),
        lambda: system.execute_many([Add("a")], metadata=metadata),
        lambda: system.append("thing-a", [Added("a", 1)], metadata=metadata),
    ):
        with pytest.raises(InvalidMessage, match=r"\(metadata=\) is a dict with str keys, not "):
            write()


def test_metadata_that_can_not_be_stored_is_refused_by_its_place(system):
    with pytest.raises(UnencodableValue, match=r"cannot encode metadata\['user'\]\[1\] \(builtins\.object\)"):
        system.execute(Add("a"), metadata={"user": ["ann", object()]})


ledgers = Domain("misused-ledgers")


@ledgers.value
class Line:
    items: list[Any]


@ledgers.event(state=None)
class Written:
    what: Any


@pytest.mark.parametrize(
    ("what", "where"),
    [
        (object(), r"what \(builtins\.object\)"),
        ([1, {2}], r"what\[1\] \(builtins\.set\)"),
        ({"a": Line([object()])}, r"what\['a'\]\.items\[0\] \(builtins\.object\)"),
    ],
)
def test_a_field_that_can_not_be_stored_is_refused_by_its_place_in_the_message(store_path, what, where):
    with (
        System.open(store_path, ledgers, replicas=1) as system,
        pytest.raises(UnencodableValue, match=f"cannot encode Written.{where}"),
    ):
        system.append("ledger", [Written(what)])


@pytest.mark.parametrize("timeout", [-1, 1e30, float("nan"), float("inf"), "5", True])
def test_what_is_no_time_limit_is_refused(system, timeout):
    for call in (
        lambda: system.execute(Add("a"), timeout=timeout),
        lambda: system.query(SizeOf("a"), timeout=timeout),
        lambda: system.view(sizes, timeout=timeout),
    ):
        with pytest.raises(
            ValueError, match=r"\(timeout=\) is a number of seconds from 0 to 1,000,000,000, not "
        ):
            call()


# -- reading and looking after it -------------------------------------------------------------
@pytest.mark.parametrize("model", ["sizes", things, [sizes], balances, None], ids=repr)
def test_what_is_no_model_of_the_domain_is_refused(system, model):
    for method, call in [
        ("view", lambda: system.view(model)),
        ("dump", lambda: system.dump("replica-1", model)),
    ]:
        with pytest.raises(
            UnknownMessage, match=r"is not a read model of domain 'trouble'; it has: .*sizes"
        ) as caught:
            call()
        assert f"give {method}() the object that trouble.read_model(...) returned" in str(caught.value)


@pytest.mark.parametrize("table", ["things", sizes, None], ids=repr)
def test_what_is_no_table_is_refused(system, table):
    with system.view(sizes) as view, pytest.raises(QueryFailed, match=r"view\[\.\.\.\] takes a table, not "):
        view[table]


def test_an_unknown_replica_or_actor_is_refused_with_those_there_are(system):
    with pytest.raises(KeyError, match=r"^there is no replica 'x'; there are: replica-1$"):
        system.dump("x", sizes)
    with pytest.raises(UnknownName, match=r"^there is no replica <ReadModel sizes"):
        system.dump(sizes, "replica-1")
    with pytest.raises(KeyError, match=r"^there is no actor 'x'; there are: .*command-handler") as caught:
        system.kill("x")
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_session_goes_on_from_a_receipt_and_refuses_what_is_no_position(shared):
    receipt = shared.execute(Add("session", 3))
    assert shared.session(receipt).position == receipt.position
    with pytest.raises(ValueError, match="position= takes a receipt, a position"):
        shared.session(1.5)
    with pytest.raises(ValueError, match="until= takes a receipt or a position"):
        shared.subscribe(until="x")
