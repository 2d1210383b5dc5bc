"""The codec: every supported value is decoded as it was, and an error says where an unsupported one is."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import math
import subprocess
import sys
import threading
import tracemalloc
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.codec.codec import Codec
from storage.errors import (
    CodecError,
    DuplicateTypeName,
    MessageTooLarge,
    UnencodableValue,
    UnknownType,
    UnregisteredType,
)


class Colour(enum.Enum):
    RED = 1
    GREEN = 2
    ROUGE = 1  # noqa: PIE796 - an alias is stored as the member it stands for


class Size(enum.IntEnum):
    SMALL = 1


class Unit(enum.StrEnum):
    KG = "kg"


class Right(enum.Flag):
    READ = enum.auto()
    WRITE = enum.auto()


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    sku: str
    price: Decimal
    colour: Colour = Colour.RED


@dataclasses.dataclass(frozen=True)
class Order:
    number: int
    lines: tuple[Any, ...]
    notes: dict[Any, Any] = dataclasses.field(default_factory=dict)
    total: int = dataclasses.field(init=False, default=0)


@dataclasses.dataclass(frozen=True)
class Empty:
    pass


@dataclasses.dataclass(frozen=True)
class Stranger:
    name: str


def make_codec(**options: Any) -> Codec:
    codec = Codec(**options)
    for cls in (Colour, Size, Unit, Right, Line, Order, Empty):
        codec.register(cls)
    return codec


CODEC = make_codec()

offsets = st.integers(-23 * 3600, 23 * 3600).map(lambda seconds: timezone(timedelta(seconds=seconds)))
hashable = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(1 << 200), 1 << 200)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.decimals(allow_nan=False)
    | st.datetimes()
    | st.datetimes(timezones=offsets)
    | st.dates()
    | st.times()
    | st.times(timezones=offsets)
    | st.timedeltas()
    | st.uuids()
    | st.sampled_from([*Colour, *Size, *Unit, Right(0), Right.READ, Right.READ | Right.WRITE, Empty()])
    | st.builds(Line, st.text(), st.decimals(allow_nan=False), st.sampled_from(Colour))
)
hashable = st.recursive(
    hashable, lambda inner: st.lists(inner).map(tuple) | st.frozensets(inner), max_leaves=5
)
values = st.recursive(
    hashable,
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(hashable, inner)
        | st.builds(Order, st.integers(), st.lists(inner).map(tuple), st.dictionaries(hashable, inner))
    ),
    max_leaves=10,
)


def shape(value: Any) -> Any:
    """The value with its types at every depth: `==` alone does not distinguish True from 1."""
    if isinstance(value, dict):
        return dict, [(shape(key), shape(item)) for key, item in value.items()]
    if isinstance(value, (list, tuple)):
        return type(value), [shape(item) for item in value]
    if isinstance(value, frozenset):
        return frozenset, value, sorted(str(type(item)) for item in value)
    if isinstance(value, (datetime, time)):
        return type(value), value.isoformat(), value.fold if value.tzinfo is None else None
    if dataclasses.is_dataclass(value):
        return type(value), [shape(getattr(value, field.name)) for field in dataclasses.fields(value)]
    return type(value), repr(value)


@given(values)
def test_every_value_comes_back_as_it_was(value: Any) -> None:
    decoded = CODEC.decode(CODEC.encode(value))
    assert decoded == value
    assert shape(decoded) == shape(value)


@pytest.mark.parametrize(
    "value",
    [
        1 << 63,
        -(1 << 63) - 1,
        (1 << 64) - 1,
        1 << 64,
        -(1 << 127),
        Decimal("1.10"),
        Decimal("1E+50"),
        Decimal("-0"),
        Decimal("Infinity"),
        datetime(2024, 10, 27, 2, 30, fold=1),
        time(2, 30, fold=1),
        datetime(1, 1, 1),
        datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=timezone(timedelta(hours=-5, seconds=7))),
        Right(0),
        -0.0,
        math.inf,
        {(1, 2): [Line("a", Decimal(1))]},
        {1: "int", "1": "str", b"1": "bytes", (1,): "tuple", Colour.RED: "enum", date(2024, 1, 1): "date"},
    ],
    ids=repr,
)
def test_values_at_the_edges_come_back_as_they_were(value: Any) -> None:
    assert shape(CODEC.decode(CODEC.encode(value))) == shape(value)


def test_not_a_number_stays_not_a_number() -> None:
    assert math.isnan(CODEC.decode(CODEC.encode(math.nan)))
    assert CODEC.decode(CODEC.encode(Decimal("sNaN"))).is_snan()


def test_a_named_time_zone_becomes_its_offset_at_that_moment() -> None:
    summer = datetime(2024, 7, 1, 12, tzinfo=ZoneInfo("Europe/Berlin"))
    decoded = CODEC.decode(CODEC.encode(summer))
    assert decoded == summer
    assert decoded.utcoffset() == timedelta(hours=2)


def test_a_time_whose_offset_depends_on_its_date_is_refused() -> None:
    with pytest.raises(UnencodableValue, match=r"list\[0\].*depends on its date"):
        CODEC.encode([time(12, tzinfo=ZoneInfo("Europe/Berlin"))])


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (
            Order(7, (1,), {"k": Colour.GREEN}),
            "c7350192a54f7264657283a66e756d62657207a56c696e6573d5039101a56e6f74657381a16bc70f0292"
            "a6436f6c6f757291a5475245454e",
        ),
        (Right.READ | Right.WRITE, "c7130292a5526967687492a452454144a55752495445"),
        ((), "d40390"),
        (frozenset([1]), "d60491c40101"),
        (1 << 64, "c70905010000000000000000"),
        (Decimal("1.50"), "d606312e3530"),
        (datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC), "c71907" + b"2024-01-02T03:04:05+00:00".hex()),
        (datetime(2024, 1, 2, 3, 4, 5, 6, fold=1), "c71b07" + b"2024-01-02T03:04:05.000006*".hex()),
        (date(2024, 1, 2), "c70a08" + b"2024-01-02".hex()),
        (time(3, 4), "d709" + b"03:04:00".hex()),
        (timedelta(1, 2, 3), "d60a93010203"),
        (UUID(int=1), "d80b00000000000000000000000000000001"),
    ],
    ids=repr,
)
def test_the_disk_format_does_not_change(value: Any, stored: str) -> None:
    assert CODEC.encode(value).hex() == stored
    assert CODEC.decode(bytes.fromhex(stored)) == value


def test_a_message_is_stored_under_its_registered_name() -> None:
    codec = Codec()
    codec.register(Line, name="order-line")
    codec.register(Colour)
    data = codec.encode(Line("lamp", Decimal("9.90")))
    assert b"order-line" in data
    assert b"Line" not in data
    assert codec.decode(data) == Line("lamp", Decimal("9.90"))
    assert codec.name_of(Line) == "order-line"
    assert codec.type_of("order-line") is Line
    assert dict(codec.registered) == {"order-line": Line, "Colour": Colour}


def test_registering_the_same_class_again_changes_nothing() -> None:
    codec = make_codec()
    codec.register(Line)
    assert codec.type_of("Line") is Line


def test_two_classes_of_one_name_are_refused() -> None:
    with pytest.raises(DuplicateTypeName, match=r"stored as 'Line'.*Line.*Stranger"):
        make_codec().register(Stranger, name="Line")


def test_one_class_under_two_names_is_refused() -> None:
    with pytest.raises(DuplicateTypeName, match="already stored as 'Line', not as 'Row'"):
        make_codec().register(Line, name="Row")


def test_only_frozen_dataclasses_and_enums_are_registered() -> None:
    @dataclasses.dataclass
    class Mutable:
        name: str

    @dataclasses.dataclass(frozen=True)
    class Hidden:
        name: str
        secret: dataclasses.InitVar[str]

    with pytest.raises(CodecError, match="neither a frozen dataclass nor an Enum"):
        Codec().register(Mutable)
    with pytest.raises(CodecError, match="neither a frozen dataclass nor an Enum"):
        Codec().register(dict)
    with pytest.raises(CodecError, match="'secret' to be built, but no field holds it"):
        Codec().register(Hidden)
    with pytest.raises(CodecError, match="a str that is not empty"):
        Codec().register(Stranger, name="")


def test_an_unregistered_class_is_named_with_its_path() -> None:
    order = Order(1, (Line("a", Decimal(1)),), {"who": [Stranger("x")]})
    with pytest.raises(UnregisteredType, match=r"Order\.notes\['who'\]\[0\] \(.*Stranger\).*not registered"):
        CODEC.encode(order)
    with pytest.raises(UnregisteredType, match="Stranger is not registered"):
        CODEC.fields(Stranger("x"))
    with pytest.raises(UnregisteredType, match="Stranger is not registered"):
        CODEC.name_of(Stranger)


class Money(int):
    pass


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"a": {1, 2}}, r"dict\['a'\] \(builtins\.set\)"),
        ([1, (2, object())], r"list\[1\]\[1\] \(builtins\.object\)"),
        (
            Order(1, (), {frozenset([1j]): 1}),
            r"Order\.notes key frozenset\(\{1j\}\)\{1j\} \(builtins\.complex\)",
        ),
        ([Money(3)], r"list\[0\] \(.*Money\)"),
        ([OrderedDict()], r"list\[0\] \(collections\.OrderedDict\)"),
        ({"k": "\ud800"}, r"dict\['k'\] \(builtins\.str\).*Unicode"),
    ],
)
def test_a_value_without_an_encoding_is_named_with_its_path(value: Any, path: str) -> None:
    with pytest.raises(UnencodableValue, match=path):
        CODEC.encode(value)


def test_a_flag_with_a_bit_that_has_no_name_is_refused() -> None:
    class Open(enum.Flag, boundary=enum.KEEP):
        READ = 1

    codec = Codec()
    codec.register(Open)
    with pytest.raises(UnencodableValue, match="bits that have no name in Open"):
        codec.encode(Open(5))


def test_a_value_that_contains_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(UnencodableValue, match="contains itself"):
        CODEC.encode(endless)


@pytest.mark.parametrize(
    "kind", [lambda zone: time(1, tzinfo=zone), lambda zone: datetime(2026, 1, 1, tzinfo=zone)]
)
def test_an_offset_of_fractions_of_a_second_is_refused(kind: Any) -> None:
    with pytest.raises(UnencodableValue, match="fractions of a second"):
        CODEC.encode([kind(timezone(timedelta(microseconds=1)))])


def nested(levels: int, wrap: Callable[[Any], Any], value: Any = 1) -> Any:
    for _ in range(levels):
        value = wrap(value)
    return value


def in_a_tuple(value: Any) -> Any:
    return (value,)


@pytest.mark.parametrize(
    "wrap", [in_a_tuple, lambda value: frozenset([value]), lambda value: Line("a", value)]
)
def test_32_extension_values_inside_one_another_are_the_most(wrap: Callable[[Any], Any]) -> None:
    most = nested(32, wrap)
    assert CODEC.decode(CODEC.encode(most)) == most
    assert CODEC.decode(CODEC.encode([{"k": most}])) == [{"k": most}]
    assert CODEC.decode(CODEC.encode(Order(1, (), {1: most}))).notes[1] == most
    for levels in (34, 48):
        with pytest.raises(UnencodableValue, match="nested too deeply"):
            CODEC.encode(nested(levels, wrap))
    with pytest.raises(UnencodableValue, match="nested too deeply"):
        CODEC.encode((nested(33, wrap),))


def test_a_message_alone_is_not_counted() -> None:
    for value in (Order(1, (nested(31, in_a_tuple),)), [Order(1, (nested(31, in_a_tuple),)), 2]):
        assert CODEC.decode(CODEC.encode(value)) == value
    for value in (Order(1, (nested(32, in_a_tuple),)), (nested(32, in_a_tuple),), [nested(33, in_a_tuple)]):
        with pytest.raises(UnencodableValue, match="nested too deeply"):
            CODEC.encode(value)


@pytest.mark.parametrize("code", [3, 4])
@pytest.mark.parametrize("levels", [33, 48])
def test_stored_bytes_that_nest_more_than_32_extension_values_are_refused(levels: int, code: int) -> None:
    def wrapped(packed: bytes) -> bytes:
        inside = msgpack.packb([packed]) if code == 4 else b"\x91" + packed
        return bytes(msgpack.packb(msgpack.ExtType(code, inside)))

    with pytest.raises(CodecError, match="nested too deeply"):
        CODEC.decode(nested(levels, wrapped, b"\x01"))
    assert CODEC.decode(nested(32, wrapped, b"\x01"))


@pytest.mark.parametrize("wrap", [lambda value: [value], lambda value: {"k": value}])
def test_128_lists_and_dicts_inside_one_another_are_the_most_of_a_message(wrap: Callable[[Any], Any]) -> None:
    most = Order(1, (), {1: nested(127, wrap)})
    assert CODEC.decode(CODEC.encode(most)) == most
    with pytest.raises(
        UnencodableValue, match=r"Order.notes\[1\].*nested too deeply: more than 128 lists and dicts"
    ):
        CODEC.encode(Order(1, (), {1: nested(128, wrap)}))
    with pytest.raises(UnencodableValue, match="nested too deeply"):
        CODEC.encode(Order(1, (nested(100, wrap, (nested(30, wrap),)),)))
    # Many lists side by side do not matter.
    wide = Order(1, (), {number: [[], {}] for number in range(200)})
    assert CODEC.decode(CODEC.encode(wide)) == wide


def test_deep_levels_are_parsed_as_strictly_as_the_first_ones() -> None:
    for inside, wrong in ((b"\x92\x01", "ends early"), (b"\x91\x01\x02", "bytes after its end")):
        packed = msgpack.packb(msgpack.ExtType(3, inside))
        data = nested(8, lambda packed: msgpack.packb(msgpack.ExtType(3, b"\x91" + packed)), packed)
        with pytest.raises(CodecError, match=wrong):
            CODEC.decode(data)


def test_msgpack_packs_one_list_more_than_it_unpacks() -> None:
    packed = msgpack.packb(nested(1024, lambda value: [value], []))
    with pytest.raises(msgpack.StackError):
        msgpack.unpackb(packed)
    with pytest.raises(CodecError, match="nested too deeply"):
        CODEC.decode(packed)


def test_a_packer_that_is_used_in_its_own_hook_gives_bytes_that_do_not_decode() -> None:
    packer = msgpack.Packer(default=lambda _: msgpack.ExtType(1, packer.pack([1, 2])))
    with pytest.raises(msgpack.ExtraData):
        msgpack.unpackb(packer.pack(["before", object(), "after"]))


def test_a_message_over_the_limit_is_refused_with_its_name_and_size() -> None:
    codec = make_codec(max_bytes=1000)
    assert codec.decode(codec.encode(Order(1, (b"x" * 900,)))) == Order(1, (b"x" * 900,))
    with pytest.raises(
        MessageTooLarge, match=r"Order takes 1,\d\d\d bytes encoded, the limit is 1,000"
    ) as caught:
        codec.encode(Order(1, (b"x" * 1000,)))
    assert caught.value.size > caught.value.limit == 1000


def test_fields_are_those_that_rebuild_the_message() -> None:
    line = Line("a", Decimal(1))
    assert CODEC.fields(line) == {"sku": "a", "price": Decimal(1), "colour": Colour.RED}
    assert CODEC.fields(Order(1, (line,))) == {"number": 1, "lines": (line,), "notes": {}}
    assert CODEC.fields(Empty()) == {}
    assert CODEC.describe(line) == ("Line", CODEC.fields(line))
    assert CODEC.build("Line", CODEC.fields(line)) == line


def test_a_missing_field_takes_its_default() -> None:
    assert CODEC.build("Line", {"sku": "a", "price": 1}) == Line("a", 1)  # type: ignore[arg-type]


def test_a_message_is_built_as_its_class_would_build_it() -> None:
    built: list[str] = []

    @dataclasses.dataclass(frozen=True, slots=True)
    class Plain:
        value1: int
        new: str = "n"

    @dataclasses.dataclass(frozen=True, slots=True)
    class Checked:
        number: int

        def __post_init__(self) -> None:
            built.append(f"checked {self.number}")

    @dataclasses.dataclass(frozen=True, slots=True)
    class Derived:
        number: int
        double: int = dataclasses.field(init=False)

        def __post_init__(self) -> None:
            object.__setattr__(self, "double", 2 * self.number)

    @dataclasses.dataclass(frozen=True, slots=True, init=False)
    class Own:
        number: int

        def __init__(self, number: int) -> None:
            built.append("own")
            object.__setattr__(self, "number", number)

    @dataclasses.dataclass(frozen=True)
    class Open:
        number: int = 7

    @dataclasses.dataclass(frozen=True, slots=True)
    class Longer(Plain):
        cls: int = 0

    codec = Codec()
    messages = [Plain(1, "x"), Checked(2), Derived(3), Own(4), Open(5), Longer(6, "y", 7)]
    for message in messages:
        codec.register(type(message))
    built.clear()
    for message in messages:
        again = codec.build(*codec.describe(message))
        assert type(again) is type(message)
        assert again == message
    assert built == ["checked 2", "own"]
    assert codec.build("Plain", {"value1": 1}) == Plain(1)
    assert codec.build("Longer", {"value1": 1, "cls": 2}) == Longer(1, "n", 2)


def test_fields_that_do_not_fit_are_named() -> None:
    with pytest.raises(CodecError, match="Line has no field colour_name, weight"):
        CODEC.build("Line", {"sku": "a", "price": 1, "weight": 2, "colour_name": 3})
    with pytest.raises(CodecError, match=r"Line cannot be built.*'price'"):
        CODEC.build("Line", {"sku": "a"})
    with pytest.raises(CodecError, match=r"as 'Colour'.* is not a message class"):
        CODEC.build("Colour", {})
    with pytest.raises(UnknownType, match="no class is registered for the stored type 'Gone'"):
        CODEC.build("Gone", {})


def test_a_stored_name_without_a_class_is_unknown() -> None:
    codec = Codec()
    with pytest.raises(UnknownType, match="'Empty'"):
        codec.decode(CODEC.encode(Empty()))
    with pytest.raises(UnknownType, match="'Colour'"):
        codec.decode(CODEC.encode(Colour.RED))


def test_a_stored_member_that_is_gone_is_named() -> None:
    codec = Codec()
    codec.register(enum.Enum("Colours", ["BLUE"]), name="Colour")
    with pytest.raises(CodecError, match="Colour has no member 'RED'"):
        codec.decode(CODEC.encode(Colour.RED))


def test_a_class_that_changed_its_kind_is_reported() -> None:
    codec = Codec()
    codec.register(Stranger, name="Colour")
    with pytest.raises(CodecError, match="an enum is stored as 'Colour'"):
        codec.decode(CODEC.encode(Colour.RED))


@given(st.binary(max_size=60))
def test_foreign_bytes_never_raise_anything_but_a_codec_error(data: bytes) -> None:
    with contextlib.suppress(CodecError):
        CODEC.decode(data)


@pytest.mark.parametrize("name", [None, 7, b"Note", [], {}])
@pytest.mark.parametrize(("code", "rest"), [(1, {}), (2, ["RED"])])
def test_a_stored_name_that_is_no_text_is_a_codec_error(name: Any, code: int, rest: Any) -> None:
    with pytest.raises(CodecError):
        CODEC.decode(msgpack.packb(msgpack.ExtType(code, msgpack.packb([name, rest]))))


@given(values, st.data())
def test_damaged_bytes_never_raise_anything_but_a_codec_error(value: Any, data: st.DataObject) -> None:
    damaged = bytearray(CODEC.encode(value))
    damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(CodecError):
        CODEC.decode(bytes(damaged))


def test_equal_frozensets_have_equal_bytes_in_every_process() -> None:
    program = (
        "from storage.codec.codec import Codec\n"
        "print(Codec().encode(frozenset(['a', 'b', 'c', 'd', 'e', 1])).hex())"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(outputs) == 1


def test_threads_encode_and_decode_at_the_same_time() -> None:
    wrong: list[Any] = []

    def work(number: int) -> None:
        for index in range(300):
            order = Order(number, (Line(str(index), Decimal(index)),) * 5)
            if CODEC.decode(CODEC.encode(order)) != order:
                wrong.append(order)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []


def test_a_value_that_is_refused_leaves_nothing_behind_in_the_next_one() -> None:
    codec = Codec()
    codec.register(Line)
    codec.register(Colour)
    line = Line("lamp", Decimal(1))
    expected = codec.encode(line)
    opaque: Any = object()
    for refused in (Line("lamp", opaque), ["x" * 100, opaque], {"key": {"deep": opaque}}):
        with pytest.raises(UnencodableValue):
            codec.encode(refused)
        assert codec.encode(line) == expected


def test_encoding_something_large_once_keeps_no_memory_for_it() -> None:
    codec = Codec()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        codec.encode("x" * (8 << 20))
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 1 << 20
    # The packer's own buffer is not among the traced memory.
    assert codec._spare == []
    codec.encode("x")
    assert len(codec._spare) == 1
