"""The language of the session: what it accepts, its syntax tree, and how nonsense is refused."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.cli.errors import Incomplete, ParseError
from actors.repl.ast import CallNode, DictNode, ListNode, TextNode, WordNode
from actors.repl.parser import parse
from actors.repl.statements import is_open, statements


def test_words_and_brackets_say_the_same() -> None:
    expected = CallNode(
        "ListProduct", (), {"sku": WordNode("lamp"), "name": TextNode("Desk lamp"), "price": WordNode("1999")}
    )
    assert parse('ListProduct sku=lamp name="Desk lamp" price=1999') == expected
    assert parse("ListProduct(sku=lamp, name='Desk lamp', price=1999)") == expected
    assert parse('  ListProduct sku = lamp, name = "Desk lamp",\tprice= 1999,  # as listed') == expected


def test_values_without_names_come_first_and_in_order() -> None:
    assert parse("Move a -5 to=b") == CallNode("Move", (WordNode("a"), WordNode("-5")), {"to": WordNode("b")})
    with pytest.raises(ParseError, match="column 11: a value without a name"):
        parse("Move to=b a")


def test_values_nest() -> None:
    call = parse(
        'Place([Line(lamp, 2), Line(desk 1)], at={from: 10:30, "to": [2024-05-01T10:30, none]}, x=(a,))'
    )
    assert call == CallNode(
        "Place",
        (
            ListNode(
                (
                    CallNode("Line", (WordNode("lamp"), WordNode("2"))),
                    CallNode("Line", (WordNode("desk"), WordNode("1"))),
                )
            ),
        ),
        {
            "at": DictNode(
                (
                    (WordNode("from"), WordNode("10:30")),
                    (TextNode("to"), ListNode((WordNode("2024-05-01T10:30"), WordNode("none")))),
                )
            ),
            "x": ListNode((WordNode("a"),), "("),
        },
    )


def test_options_follow_the_arguments() -> None:
    expected = {"expected-version": WordNode("3"), "strong": None, "id": TextNode("a b")}
    assert parse('Do x=1 --expected-version=3 --strong --id="a b"') == CallNode(
        "Do", (), {"x": WordNode("1")}, expected
    )
    assert parse('Do(x=1) --expected-version=3 --strong --id="a b"') == CallNode(
        "Do", (), {"x": WordNode("1")}, expected
    )
    with pytest.raises(ParseError, match="only options"):
        parse("Do(x=1) y=2")


def test_meta_commands_keep_their_colon() -> None:
    assert parse(":log 10 5") == CallNode(":log", (WordNode("10"), WordNode("5")))
    assert parse(":watch Cheapest(limit=3) --count=1") == CallNode(
        ":watch", (CallNode("Cheapest", (), {"limit": WordNode("3")}),), {}, {"count": WordNode("1")}
    )


def test_escapes_in_quotes_are_resolved() -> None:
    assert parse(r'Do "a\n\t\"\\\x41\u00e9\U0001f600" ' + r"'it\'s'") == CallNode(
        "Do", (TextNode('a\n\t"\\A\u00e9\U0001f600'), TextNode("it's"))
    )


@pytest.mark.parametrize("text", ["", "   ", "# only a comment", "\t # and again"])
def test_a_line_without_a_statement_is_none(text: str) -> None:
    assert parse(text) is None


def test_a_hash_inside_a_word_or_a_text_is_no_comment() -> None:
    assert parse('Do a#1 b=#2 c="# 3" # 4') == CallNode(
        "Do", (WordNode("a#1"),), {"b": WordNode("#2"), "c": TextNode("# 3")}
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("=", "column 1: a statement begins with"),
        ("Do)", "column 3: '\\)' can't follow the name Do"),
        ("Do x=", "column 6: a value is missing after x="),
        ("Do x= y=1", "column 8: '=' is not expected"),
        ("Do x=1 x=2", "column 8: x is given twice"),
        ("Do ,", "column 4: ',' is not expected"),
        ('Do "a""b"', "column 7: '\"' is not expected"),
        ('Do "a', "column 4: this quote is not closed"),
        ('Do("a', "column 4: this quote is not closed"),
        (r'Do "\q"', r"column 5: \\q is no escape"),
        (r'Do "\U00110000"', r"column 5: \\U is no escape"),
        ("Do --", "column 4: an option is written"),
        ("Do --a=", "column 8: a value is missing after --a="),
        ("Do --a --a", "column 8: --a is given twice"),
        ("Do {a}", "column 6: inside { } write key: value"),
        ("Do 1(2)", "column 5: 1 is no name"),
        ("Do a\nDo b", "column 5: one statement a line"),
        ("Do(\n  a,\n  b=)", "line 3, column 5 of the statement: a value is missing after b="),
        ("Do " + "[" * 51 + "]" * 51, "column 54: brackets stand more than 50 deep"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, message: str) -> None:
    with pytest.raises(ParseError, match=message) as caught:
        parse(text)
    assert not isinstance(caught.value, Incomplete)


@pytest.mark.parametrize("text", ["Do(", "Do [", "Do(a, [1,", "Do x={a: [", "Do(  # note", "Do {a", "Do(x="])
def test_open_brackets_wait_for_the_next_line(text: str) -> None:
    assert is_open(text)
    with pytest.raises(Incomplete, match="is not closed"):
        parse(text)


def test_lines_are_put_together_while_brackets_are_open() -> None:
    lines = ["# first", "Do(a,  # one", "", "  b)", "", "Other [x,", "y"]
    assert list(statements(lines)) == [
        (1, "# first"),
        (2, "Do(a,  # one\n\n  b)"),
        (5, ""),
        (6, "Other [x,\ny"),
    ]
    assert parse("Do(a,  # one\n\n  b)") == CallNode("Do", (WordNode("a"), WordNode("b")))


# -- anything at all ----------------------------------------------------------------------
PIECES = st.sampled_from(
    [
        "Do",
        " ",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ",",
        "=",
        ":",
        "--",
        "a",
        "b=",
        "-1",
        '"',
        "'",
        "\\",
        "#",
        "\n",
        "\x00",
    ]
)


@given(st.one_of(st.text(), st.lists(PIECES, max_size=30).map("".join)))
def test_nonsense_raises_nothing_but_its_own_error(text: str) -> None:
    for one in (text, f"Do {text}", f"Do({text}"):
        # Any other error fails the test.
        with suppress(ParseError):
            assert parse(one) is None or isinstance(parse(one), CallNode)


words = st.from_regex(r"[A-Za-z0-9_.:+/-]+", fullmatch=True).filter(lambda word: not word.startswith("--"))
names = st.from_regex(r"[A-Za-z][A-Za-z0-9]{0,8}", fullmatch=True)
values = st.recursive(
    words.map(WordNode) | st.text().map(TextNode),
    lambda inner: (
        st.builds(ListNode, st.lists(inner, max_size=3).map(tuple), st.sampled_from("(["))
        | st.builds(DictNode, st.lists(st.tuples(st.text().map(TextNode), inner), max_size=3).map(tuple))
        | st.builds(
            CallNode, names, st.lists(inner, max_size=3).map(tuple), st.dictionaries(names, inner, max_size=3)
        )
    ),
    max_leaves=8,
)


def written(value: object) -> str:
    match value:
        case WordNode(text):
            return text
        case TextNode(text):
            return "'" + "".join(f"\\U{ord(char):08x}" if char in "\\'\n" else char for char in text) + "'"
        case ListNode(items, bracket):
            return bracket + ", ".join(map(written, items)) + ("]" if bracket == "[" else ")")
        case DictNode(items):
            return "{" + ", ".join(f"{written(key)}: {written(item)}" for key, item in items) + "}"
        case CallNode(name, positional, named):
            given = [*map(written, positional), *(f"{key}={written(item)}" for key, item in named.items())]
            return f"{name}({', '.join(given)})"
    raise AssertionError(value)


@given(
    st.builds(
        CallNode, names, st.lists(values, max_size=3).map(tuple), st.dictionaries(names, values, max_size=3)
    )
)
def test_what_is_written_is_what_is_read(call: CallNode) -> None:
    assert parse(written(call)) == call
