from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from enum import Enum
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from actors.domain.domain import Domain
from actors.domain.read_model import Handler
from actors.errors import DomainError, InvalidMessage

if TYPE_CHECKING:
    from nowhere import Reader

shop = Domain("shop")


@shop.value
class Colour(Enum):
    RED = "red"


@shop.value
class Size:
    width: int


@shop.state(stream="product-{sku}", snapshot_every=10)
class Product:
    sku: str
    price: int
    colour: Colour = Colour.RED


@shop.state(stream="product-{sku}")
class Discontinued:
    sku: str


@shop.event(Product, tags="colour-{colour}")
class Listed:
    sku: str
    price: int
    colour: Colour | None = None


@shop.event(Product, name="PriceChangedV2")
class Repriced:
    sku: str
    price: int


@shop.event(Product)
class Ended:
    sku: str


@shop.event(Product, state=None, tags=lambda event: ["viewed", f"by-{event.who}", "viewed"])
class Viewed:
    sku: str
    who: str


@shop.event(state=None, stream="sensor-{place}-{number}")
class Measured:
    place: str
    number: int


@shop.event(state=None)
class Imported:
    size: Size


@shop.command(Product)
class ListProduct:
    sku: str
    price: int

    def validate(self) -> None:
        pass


@shop.command(Product)
class Reprice:
    sku: str
    price: int


@shop.command(Product, name="Stop")
class Discontinue:
    sku: str


@shop.decide
def list_product(state: None, command: ListProduct):
    yield Listed(command.sku, command.price)


@shop.decide
def again(state: Product | Discontinued, command: ListProduct, read: Reader):
    yield Repriced(command.sku, command.price)


@shop.decide
def change(state: Product | None, command: Reprice | Discontinue):
    return []


@shop.evolve
def listed(state: None, event: Listed) -> Product:
    return Product(event.sku, event.price)


@shop.evolve
def repriced(state: Product, event: Repriced) -> Product:
    return Product(state.sku, event.price)


@shop.evolve(Ended)
def ended(state, event):
    return Discontinued(event.sku)


catalog = shop.read_model("catalog", version=2)
products = catalog.table("products", key="sku", indexes=["price"])


@catalog.on
def put(event: Listed | Repriced, tables: Anything) -> None: ...  # noqa: F821


@catalog.on(Measured)
def count(event, tables, recorded): ...


@shop.query(reads=[catalog])
class Cheapest:
    limit: int = 10

    def validate(self) -> None:
        pass

    def run(self, view: Any) -> None: ...


@shop.around_command(order=5)
def inner(call):
    yield


@shop.around_command
def outer(call):
    yield


@shop.around_command(order=5)
def innermost(call):
    yield


@pytest.fixture(scope="module")
def compiled():
    return shop.compile()


# -- a domain without mistakes ----------------------------------------------------------------
def test_deciders_are_matched_by_their_annotations(compiled):
    deciders = compiled.commands[ListProduct].deciders
    assert {key: (one.fn, one.wants_read) for key, one in deciders.items()} == {
        None: (list_product, False),
        Product: (again, True),
        Discontinued: (again, True),
    }
    for command in (Reprice, Discontinue):
        assert {key: one.fn for key, one in compiled.commands[command].deciders.items()} == {
            None: change,
            Product: change,
        }


def test_evolvers_are_matched_by_their_annotations_and_unannotated_ones_take_every_state(compiled):
    assert compiled.events[Listed].evolvers == {None: listed}
    assert compiled.events[Repriced].evolvers == {Product: repriced}
    assert compiled.events[Ended].evolvers == {None: ended, Product: ended, Discontinued: ended}
    assert compiled.events[Viewed].evolvers is None


def test_messages_know_their_stream(compiled):
    assert compiled.commands[Reprice].stream_of(Reprice("lamp", 1)) == "product-lamp"
    assert compiled.events[Viewed].stream_of(Viewed("lamp", "ada")) == "product-lamp"
    assert compiled.events[Measured].stream_of(Measured("a-b", 3)) == "sensor-a%2Db-3"
    assert compiled.events[Imported].stream_of is None
    assert compiled.states[Product].stream_for(sku="lamp") == "product-lamp"
    with pytest.raises(InvalidMessage, match=r"Reprice\.sku must be a non-empty str"):
        compiled.commands[Reprice].stream_of(Reprice("", 1))


def test_states_with_one_template_know_one_another(compiled):
    spec = compiled.states[Product]
    assert spec.classes == compiled.states[Discontinued].classes == (Product, Discontinued)
    assert spec.snapshot_every == 10
    assert compiled.states[Discontinued].snapshot_every == 100
    assert spec.fingerprint != compiled.states[Discontinued].fingerprint
    assert compiled.commands[Reprice].state is spec
    assert compiled.events[Measured].state is None


def test_tags_come_from_templates_and_functions(compiled):
    assert compiled.events[Listed].tags_of(Listed("lamp", 1, Colour.RED)) == ("colour-red",)
    assert compiled.events[Listed].tags_of(Listed("lamp", 1)) == ()
    assert compiled.events[Viewed].tags_of(Viewed("lamp", "ada")) == ("viewed", "by-ada")
    assert compiled.events[Ended].tags_of is None


def test_stored_names_are_class_names_or_given(compiled):
    assert compiled.codec.type_of("PriceChangedV2") is Repriced
    assert {spec.name for spec in compiled.commands.values()} == {"ListProduct", "Reprice", "Stop"}
    assert [spec.name for spec in compiled.queries.values()] == ["Cheapest"]
    assert {"Product", "Colour", "Size", "Cheapest", "Stop", "Viewed"} <= set(compiled.codec.registered)


def test_every_value_of_the_domain_survives_the_codec(compiled):
    for value in (Product("a", 1), Viewed("a", "b"), Imported(Size(1)), Reprice("a", 1), Cheapest(3)):
        assert compiled.codec.decode(compiled.codec.encode(value)) == value


def test_messages_are_checked(compiled):
    compiled.commands[ListProduct].check(ListProduct("lamp", 1))
    with pytest.raises(InvalidMessage, match=r"ListProduct\.price must be int, got str 'abc'"):
        compiled.commands[ListProduct].check(ListProduct("lamp", "abc"))
    with pytest.raises(InvalidMessage, match=r"PriceChangedV2\.price must be int"):
        compiled.events[Repriced].check(Repriced("lamp", None))
    with pytest.raises(InvalidMessage, match=r"Imported\.size\.width must be int"):
        compiled.events[Imported].check(Imported(Size("wide")))
    with pytest.raises(InvalidMessage, match=r"Cheapest\.limit must be int"):
        compiled.queries[Cheapest].check(Cheapest(1.5))


def test_validate_is_the_classes_own_method(compiled):
    assert compiled.commands[ListProduct].validate is ListProduct.validate
    assert compiled.commands[Reprice].validate is None
    assert compiled.queries[Cheapest].validate is Cheapest.validate


def test_projections_are_matched_by_their_first_annotation(compiled):
    assert compiled.models == {"catalog": catalog}
    assert catalog.handlers == {
        Listed: Handler(put, False),
        Repriced: Handler(put, False),
        Measured: Handler(count, True),
    }
    assert catalog.schema.name == "catalog"
    assert catalog.schema.version == 2
    assert catalog.schema.tables == (products,)
    assert compiled.queries[Cheapest].models == (catalog,)


def test_middleware_is_sorted_by_order_then_as_declared(compiled):
    assert compiled.command_middleware == (outer, inner, innermost)
    assert compiled.query_middleware == ()


def test_compiling_again_gives_the_same(compiled):
    again = shop.compile()
    assert again.states[Product].fingerprint == compiled.states[Product].fingerprint
    assert again.commands.keys() == compiled.commands.keys()


def test_classes_inside_functions_are_found_by_annotation():
    local = Domain("local")

    @local.state(stream="cart-{id}")
    class Cart:
        id: UUID

    @local.event(Cart)
    class Opened:
        id: UUID
        day: date

    @local.command(Cart)
    class Open:
        id: UUID

    @local.decide
    def open_cart(state: Cart | None, command: Open): ...

    @local.evolve
    def opened(state: None, event: Opened): ...

    compiled = local.compile()
    assert compiled.commands[Open].deciders.keys() == {Cart, None}
    assert compiled.events[Opened].evolvers == {None: opened}


def test_an_annotation_that_can_not_be_resolved_is_no_matter_where_the_classes_are_given():
    thing = Thing()

    @thing.domain.decide(thing.Change, state=thing.State)
    def change(state: Nowhere, command: Nowhere): ...  # noqa: F821

    @thing.domain.evolve(thing.Changed)
    def changed(state: Nowhere, event: Nowhere): ...  # noqa: F821

    compiled = thing.domain.compile()
    assert compiled.commands[thing.Change].deciders.keys() == {thing.State}
    assert compiled.events[thing.Changed].evolvers.keys() == {thing.State, None}


# -- mistakes ---------------------------------------------------------------------------------
class Thing:
    """A small domain to make mistakes in: a state, a command and an event, without rules."""

    def __init__(self, stream: str = "thing-{id}") -> None:
        self.domain = domain = Domain("things")

        @domain.state(stream=stream, name="Thing")
        class State:
            id: str
            n: int = 0

        @domain.command(State)
        class Change:
            id: str

        @domain.event(State)
        class Changed:
            id: str

        self.State, self.Change, self.Changed = State, Change, Changed

    def with_rules(self) -> Thing:
        self.domain.decide(self.Change, state=self.State | None)(lambda state, command: [])
        self.domain.evolve(self.Changed, state=self.State | None)(lambda state, event: state)
        return self

    def problems(self) -> tuple[str, ...]:
        with pytest.raises(DomainError) as caught:
            self.domain.compile()
        for problem in caught.value.problems:
            assert re.match(r".*\.py:\d+: ", problem)
            assert problem in str(caught.value)
        return tuple(problem.split(": ", 1)[1] for problem in caught.value.problems)

    def problem(self) -> str:
        (text,) = self.problems()
        return text


@pytest.fixture
def thing():
    return Thing()


@pytest.fixture
def ruled():
    return Thing().with_rules()


def test_the_small_domain_has_no_mistake(ruled):
    ruled.domain.compile()


def test_every_mistake_is_listed(thing):
    decider, evolver = thing.problems()
    assert decider.startswith(
        "command Change has no decider; write @things.decide def ...(state: State | None"
    )
    assert evolver.startswith("event Changed is evolved by no one; write @things.evolve")


def test_two_deciders_for_one_pair_are_refused(ruled):
    @ruled.domain.decide(ruled.Change, state=ruled.State)
    def second(state, command): ...

    assert re.search(
        r"@things.decide .*second: .*lambda.* at .*:\d+ has Change for state State already", ruled.problem()
    )


def test_two_deciders_for_a_new_stream_are_refused(ruled):
    @ruled.domain.decide(ruled.Change, state=None)
    def second(state, command): ...

    assert "has Change for a stream without a state already" in ruled.problem()


def test_two_evolvers_for_one_pair_are_refused(ruled):
    @ruled.domain.evolve(ruled.Changed)
    def second(state, event): ...

    assert len(ruled.problems()) == 2


def test_an_evolver_of_an_event_without_effect_is_refused(ruled):
    @ruled.domain.event(ruled.State, state=None)
    class Seen:
        id: str

    @ruled.domain.evolve
    def seen(state: Any, event: Seen): ...

    assert ruled.problem().endswith("event Seen says state=None; leave one of the two out")


@pytest.mark.parametrize("kind", ["state", "event", "command"])
def test_a_template_that_names_a_missing_field_is_refused(kind):
    thing = Thing("thing-{id}").with_rules()
    if kind == "state":
        thing.domain.state(stream="other-{missing}")(type("Other", (), {"__annotations__": {"id": "str"}}))
        assert (
            thing.problem()
            == "state Other: stream template 'other-{missing}' names 'missing', which it does not have"
        )
        return
    declare = (
        thing.domain.event(thing.State, state=None) if kind == "event" else thing.domain.command(thing.State)
    )
    cls = declare(type("Other", (), {"__annotations__": {"x": "str"}}))
    if kind == "command":
        thing.domain.decide(cls)(lambda state, command: [])
    assert (
        thing.problem() == f"{kind} Other: stream template 'thing-{{id}}' names 'id', which it does not have"
    )


@pytest.mark.parametrize(
    ("stream", "text"),
    [
        ("", "must be a str"),
        (None, "must be a str"),
        ("{id}{n}", "separator"),
        ("{id", "expected '}'"),
        ("{}", "field's name"),
    ],
)
def test_a_template_that_can_not_be_read_is_refused(ruled, stream, text):
    @ruled.domain.state(stream=stream)
    class Other:
        id: str
        n: int

    assert text in ruled.problem()


def test_a_template_without_fields_is_one_stream():
    thing = Thing("the-only-one").with_rules()
    assert thing.domain.compile().commands[thing.Change].stream_of(thing.Change("x")) == "the-only-one"


@pytest.mark.parametrize(
    "annotation", ["float", "bool", "bytes", "str | None", "int | str", "list[str]", "Odd"]
)
def test_a_field_that_can_not_name_a_stream_is_refused(ruled, annotation):
    @ruled.domain.value
    class Odd(Enum):
        HALF = 0.5

    ruled.domain.state(stream="other-{id}")(
        type("Other", (), {"__annotations__": {"id": annotation}, "__module__": __name__})
    )
    assert "state Other: stream template 'other-{id}': id is" in ruled.problem()


@pytest.mark.parametrize("stream", ["thing-{other}", "thing-more-{other}"])
def test_templates_that_may_give_one_name_are_refused(ruled, stream):
    @ruled.domain.state(stream=stream)
    class Other:
        other: str

    assert (
        f"streams of '{stream}' may be named like those of 'thing-{{id}}' (state Thing at " in ruled.problem()
    )


@pytest.mark.parametrize("kind", ["state", "event", "command", "query", "value"])
def test_a_duplicate_name_is_refused_whatever_the_kind(ruled, kind):
    model = ruled.domain.read_model("m")
    declare = {
        "state": ruled.domain.state(stream="other-{id}", name="Changed"),
        "event": ruled.domain.event(ruled.State, name="Changed", state=None),
        "command": ruled.domain.command(ruled.State, name="Changed"),
        "query": ruled.domain.query(reads=[model], name="Changed"),
        "value": ruled.domain.value(name="Changed"),
    }[kind]

    @declare
    class Other:
        id: str

        def run(self, view): ...

    if kind == "command":
        ruled.domain.decide(Other)(lambda state, command: [])
    assert re.search(
        rf"{kind} Changed: the event at .*:\d+ has this name too; give one name=", ruled.problem()
    )


def test_a_class_that_is_registered_twice_is_refused(ruled):
    ruled.domain.value(name="Again")(ruled.Changed)
    assert any("value Again: the class is registered at" in text for text in ruled.problems())


def test_an_event_without_an_owner_must_say_that_it_has_no_state(ruled):
    @ruled.domain.event()
    class Measured:
        id: str

    assert "event Measured belongs to no state" in ruled.problem()


def test_an_event_with_an_owner_takes_its_stream_from_it(ruled):
    @ruled.domain.event(ruled.State, state=None, stream="measured-{id}")
    class Measured:
        id: str

    assert "leave stream= out" in ruled.problem()


def test_an_evolver_of_an_event_without_an_owner_is_refused(ruled):
    @ruled.domain.event(state=None)
    class Measured:
        id: str

    ruled.domain.evolve(Measured)(lambda state, event: state)
    assert "event Measured says state=None" in ruled.problem()


@pytest.mark.parametrize(
    ("option", "value"), [("snapshot_every", -1), ("snapshot_every", True), ("snapshot_version", 0)]
)
def test_snapshot_options_must_be_counts(ruled, option, value):
    @ruled.domain.state(stream="other-{id}", **{option: value})
    class Other:
        id: str

    assert f"state Other: {option} must be an int from" in ruled.problem()


@pytest.mark.parametrize("tags", ["by-{who}", ["a", "by-{who}"]])
def test_a_tag_template_that_names_a_missing_field_is_refused(ruled, tags):
    @ruled.domain.event(ruled.State, state=None, tags=tags)
    class Seen:
        id: str

    assert ruled.problem() == "event Seen: tag template 'by-{who}' names 'who', which it does not have"


@pytest.mark.parametrize("tags", [5, b"by-x", {"by": "who"}])
def test_tags_that_are_no_templates_are_refused(ruled, tags):
    @ruled.domain.event(ruled.State, state=None, tags=tags)
    class Seen:
        id: str

    assert ruled.problem() == (
        "event Seen: tags= is a template such as 'customer-{customer}', a list of them, or a function "
        "from the "
        f"event to its tags, not {tags!r}"
    )


@pytest.mark.parametrize("stream", [5, None, ["other-{id}"]])
def test_a_stream_that_is_no_text_is_refused(ruled, stream):
    @ruled.domain.state(stream=stream)
    class Other:
        id: str

    assert ruled.problem() == f"state Other: stream template {stream!r}: it must be a str that is not empty"


@pytest.mark.parametrize("name", [5, ""])
def test_a_name_that_is_no_text_is_refused(ruled, name):
    @ruled.domain.value(name=name)
    class Money:
        cents: int

    assert f"must be stored under a str that is not empty, not {name!r}" in ruled.problem()


def test_a_tag_that_is_no_text_is_an_invalid_message(ruled):
    @ruled.domain.event(ruled.State, state=None, tags=lambda event: [event.n])
    class Seen:
        id: str
        n: int

    tags_of = ruled.domain.compile().events[Seen].tags_of
    with pytest.raises(InvalidMessage, match=r"Seen\.tags must be non-empty strs, got int 3"):
        tags_of(Seen("a", 3))


@dataclass(frozen=True)
class Unregistered:
    x: int


@pytest.mark.parametrize(
    "annotation", ["Unregistered", "list[Unregistered]", "dict[str, Unregistered | None]"]
)
def test_an_unregistered_nested_dataclass_is_refused(ruled, annotation):
    ruled.domain.value(type("Holder", (), {"__annotations__": {"it": annotation}, "__module__": __name__}))
    assert ruled.problem().startswith(
        "value Holder.it: dataclass Unregistered is not registered; register it with @value"
    )


def test_a_field_that_can_not_be_stored_is_refused(ruled):
    @ruled.domain.event(ruled.State, state=None)
    class Seen:
        id: str
        by: set[str]

    assert ruled.problem().startswith(
        "event Seen.by: values of type set[str] can't be checked and stored; write frozenset"
    )


@pytest.mark.parametrize(
    ("fn", "text"),
    [
        (lambda state: [], r"must take 2 or 3 positional parameters, has \(state\)"),
        (lambda state, command, read, more: [], "must take 2 or 3 positional parameters"),
        (lambda state, *command: [], "must take 2 or 3 positional parameters"),
        (lambda state, command, *, read: [], "must take 2 or 3 positional parameters"),
    ],
)
def test_a_decider_with_a_wrong_parameter_count_is_refused(ruled, fn, text):
    ruled.domain.decide(ruled.Change)(fn)
    assert re.search(text, ruled.problem())


def test_rules_that_could_never_be_run_are_refused(ruled):
    async def asynchronous(state, command): ...

    def generator(state, event):
        yield

    ruled.domain.decide(ruled.Change)(asynchronous)
    ruled.domain.evolve(ruled.Changed)(generator)
    ruled.domain.evolve(ruled.Changed)(lambda state, event, read: None)
    ruled.domain.read_model("m").on(ruled.Changed)(generator)
    texts = ruled.problems()
    assert [text.split(" must ")[1].split(":")[0].split(",")[0] for text in texts] == [
        "not be async",
        "not yield",
        "take 2 positional parameters",
        "not yield",
    ]


def test_an_annotation_that_can_not_be_resolved_says_how_to_be_explicit(ruled):
    @ruled.domain.decide
    def change(state: ruled.State, command: Nowhere): ...  # noqa: F821

    @ruled.domain.evolve
    def changed(state, event): ...

    decider, evolver = ruled.problems()
    assert "the annotation of 'command' can't be resolved (name 'Nowhere' is not defined)" in decider
    assert decider.endswith("name the classes in the decorator: @things.decide(Command, state=State)")
    assert "parameter 'event' has no annotation" in evolver
    assert evolver.endswith("@things.evolve(Event, state=State)")


def test_classes_of_another_domain_are_refused(ruled):
    @ruled.domain.decide
    def change(state: Product | None, command: Reprice): ...

    @ruled.domain.decide(ruled.Change)
    def other(state: Product, command): ...

    @ruled.domain.evolve
    def changed(state: None, event: Listed): ...

    @ruled.domain.read_model("m").on
    def put(event: Listed, tables): ...

    texts = ruled.problems()
    assert "Reprice is not a command of domain 'things'" in texts[0]
    assert "Product is not a state of domain 'things'" in texts[1]
    assert "Listed is not an event of domain 'things'" in texts[2]
    assert "Listed is not an event of domain 'things'" in texts[3]


def test_a_state_of_another_stream_is_refused(ruled):
    @ruled.domain.state(stream="other-{id}")
    class Other:
        id: str

    ruled.domain.decide(ruled.Change, state=Other)(lambda state, command: [])
    assert "Other belongs to streams 'other-{id}', Change to 'thing-{id}'" in ruled.problem()


def test_duplicate_and_misnamed_read_models_and_tables_are_refused(ruled):
    model = ruled.domain.read_model("m")
    model.table("rows", key="id")
    model.table("rows", key="id")
    ruled.domain.read_model("m")
    ruled.domain.read_model("a@b", version=0)
    texts = ruled.problems()
    assert len(texts) == 4
    assert texts[0] == "read model 'm' has two tables named 'rows'"
    assert re.match(r"read model 'm': there is one at .*:\d+ already", texts[1])
    assert texts[2].startswith("read model 'a@b': its name must be")
    assert texts[3] == "read model 'a@b': version must be an int from 1, got 0"


def test_two_projections_of_one_event_in_one_model_are_refused(ruled):
    model = ruled.domain.read_model("m")
    model.on(ruled.Changed)(lambda event, tables: None)
    model.on(ruled.Changed)(lambda event, tables: None)
    assert re.search(r"at .*:\d+ handles .*Changed already", ruled.problem())


@pytest.mark.parametrize(
    ("reads", "text"),
    [
        ([], "query Ask reads nothing"),
        ([catalog], "is not a read model of 'things'"),
        (["m"], "'m' is not a read model"),
        ("m", "'m' is not a read model"),
        (5, "5 is not a read model"),
        ([[catalog]], "is not a read model of 'things'; name one that things.read_model(...) returned"),
    ],
)
def test_a_query_must_read_models_of_its_domain(ruled, reads, text):
    @ruled.domain.query(reads=reads)
    class Ask:
        def run(self, view): ...

    assert text in ruled.problem()


def test_a_query_may_name_its_one_model_without_a_list(ruled):
    model = ruled.domain.read_model("m")

    @ruled.domain.query(reads=model)
    class Ask:
        def run(self, view): ...

    assert ruled.domain.compile().queries[Ask].models == (model,)


def test_a_query_must_run(ruled):
    model = ruled.domain.read_model("m")

    @ruled.domain.query(reads=[model])
    class Silent:
        pass

    @ruled.domain.query(reads=[model])
    class Field:
        run: int

    @ruled.domain.query(reads=[model])
    class Narrow:
        def run(self): ...

    silent, field, narrow = ruled.problems()
    assert silent == "query Silent has no run; write def run(self, view)"
    assert field.startswith("query Field: run must be a plain method")
    assert narrow.startswith("query Narrow: run must take 2 positional parameters")


def test_validate_must_be_a_method_without_arguments(ruled):
    @ruled.domain.command(ruled.State)
    class Other:
        id: str

        def validate(self, more): ...

    ruled.domain.decide(Other)(lambda state, command: [])
    assert ruled.problem().startswith("command Other: validate must take 1 positional parameter, has")


def test_middleware_must_be_a_generator_function_of_one_call(ruled):
    ruled.domain.around_command(lambda call: None)
    ruled.domain.around_query(order=1)(lambda: (yield))
    texts = ruled.problems()
    assert "must be a generator function: yield once where the call runs" in texts[0]
    assert "must take 1 positional parameter" in texts[1]
