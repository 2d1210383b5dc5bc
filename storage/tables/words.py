"""Splits a text into words: folds it, then cuts it at Unicode's word boundaries (UAX #29). Pure, any thread.

Both indexed texts and search terms go through `split_words`. Folding means: NFKC, case folding (Turkish
dotted and dotless i become i), typographic apostrophes become ASCII ones, and invisible characters, such as
soft hyphens, joiners and variation selectors, are removed. Then the text is cut by the default rules, with
one addition: in the scripts of South-East Asia that are written without spaces (Thai, Lao, Khmer, Myanmar and
related ones) a run of letters is one word. The default rules leave those to dictionaries and would cut at
each letter. By the rules each ideograph and each hiragana is a word, and a run of katakana is one. Only a run
that contains a letter, a digit or the like counts as a word.

One rare case is left out: a Hebrew letter's apostrophe right before a digit or a connector belongs to no
word.

Each character has a class of one letter, which comes from its properties in `unicodedata` and from the
annex's short lists of exceptions. One regular expression over the classes of a text finds its words.
"""

from __future__ import annotations

import re
import unicodedata

__all__ = ["WORDS_RULE", "fold", "split_words", "split_words_before"]

WORDS_RULE = 2
"""The number of this rule, stored with each index.

Rule 1 was runs of letters and digits, cut at combining marks.
"""

_ASCII = re.compile("[a-z0-9_]+(?:[:.',;](?:(?<=[a-z][:.'])(?=[a-z])|(?<=[0-9][,;.'])(?=[0-9]))[a-z0-9_]+)*")
_LATIN = re.compile(r"\w+(?:[:.'\xb7,;](?:(?<=[^\W\d_][:.'\xb7])(?=[^\W\d_])|(?<=\d[,;.'])(?=\d))\w+)*")
"""The same for characters below U+0250. Of those, words contain letters, ASCII digits, and the low line."""
_NOT_LATIN = re.compile("[^\0-\u024f]")
_DOTTED = re.compile("i\u0307+")
_PLAIN = re.compile("[\0-\xac\xae-\u02ff]*")
"""Characters that folding neither replaces nor removes."""
_BEFORE = re.compile(r"[^\W_]+")

# L letter, H Hebrew letter, N digit, K katakana, U ideograph or hiragana, S letter of a script without
# spaces, x mark, _ connector, m between letters, d between digits, b between both, q ', Q ", and o for
# everything else.
_LETTER = "(?:Lx*(?:[mbq]x*(?=[LH]))?|Hx*(?:[mbq]x*(?=[LH])|Qx*(?=H)|qx*+(?![N_]))?)"
_DIGIT = "(?:Nx*(?:[dbq]x*(?=N))?)"
_RUN = f"(?:(?:{_LETTER}|{_DIGIT})++|(?:Kx*)++)"
_REST = f"{_RUN}(?:(?:_x*)++{_RUN})*+(?:_x*)*+"
# Connectors alone are matched too, though they are not words, so that a long run of them is scanned only
# once.
_UNICODE = re.compile(f"{_REST}|(?:_x*)++(?:{_REST})?|Ux*|(?:Sx*)++")

_KINDS = {
    "m": ":\u00b7\u0387\u055f\u05f4\u2027\ufe13\ufe55\uff1a",
    "d": ",;\u037e\u0589\u060c\u060d\u066c\u07f8\u2044\ufe10\ufe14\ufe50\ufe54\uff0c\uff1b",
    "b": ".\u2018\u2019\u2024\ufe52\uff07\uff0e",
    "q": "'",
    "Q": '"',
    "_": "\u202f",
    "K": "\u3031\u3032\u3033\u3034\u3035\u309b\u309c\u30a0\u30fc\uff70",
    # Signs that the annex counts among the letters.
    "L": "\u02de\u02df\u02ed\u055a\u055b\u055c\u055e\u058a\u05f3\u070f\ua720\ua721\ua789\ua78a\uab5b",
    "U": "\u3006\u3007",
}
_LETTER_SIGNS = (
    (0x2C2, 0x2C5),
    (0x2D2, 0x2D7),
    (0x2E5, 0x2EB),
    (0x2EF, 0x2FF),
    (0xA708, 0xA716),
    (0x1F130, 0x1F189),
)
_IDEOGRAPHS = (
    (0x3021, 0x3029),
    (0x3038, 0x303A),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x16FE4, 0x16FE4),
    (0x16FF2, 0x16FF6),
    (0x17000, 0x18DFF),
    (0x1B170, 0x1B2FF),
    (0x20000, 0x3FFFD),
)
_WITHOUT_SPACES = (
    (0x0E00, 0x0EFF),
    (0x1000, 0x109F),
    (0x1780, 0x17FF),
    (0x1950, 0x19DF),
    (0x1A20, 0x1AAF),
    (0xA9E0, 0xA9FF),
    (0xAA60, 0xAADF),
    (0x11700, 0x1174F),
)
_UNSEEN = (0x34F, 0x34F), (0x180B, 0x180F), (0xFE00, 0xFE0F), (0xE0100, 0xE01EF)


def _is_in(point: int, ranges: tuple[tuple[int, int], ...]) -> bool:
    return any(low <= point <= high for low, high in ranges)


class _Classes(dict[int, str]):
    """The class of each character, found when it is first needed."""

    def __missing__(self, point: int) -> str:
        found = self[point] = _class_of(chr(point))
        return found


class _Folded(dict[int, str | None]):
    """What each character becomes after case folding; None means that it is removed."""

    def __missing__(self, point: int) -> str | None:
        char = chr(point)
        hidden = _is_in(point, _UNSEEN) or (unicodedata.category(char) == "Cf" and char != "\u200b")
        found = self[point] = None if hidden else char
        return found


_classes = _Classes()
_folded = _Folded({ord("\u2018"): "'", ord("\u2019"): "'"})


def _class_of(char: str) -> str:
    for kind, chars in _KINDS.items():
        if char in chars:
            return kind
    point, category = ord(char), unicodedata.category(char)
    if category[0] == "M":
        return "x"
    if category == "Pc":
        return "_"
    if category == "Nd":
        return "N"
    if _is_in(point, _IDEOGRAPHS) and category != "Cn":
        return "U"
    if category[0] == "L" or category == "Nl" or _is_in(point, _LETTER_SIGNS):
        return _kind_of_letter(point, unicodedata.name(char, ""), category)
    return "o"


def _kind_of_letter(point: int, name: str, category: str) -> str:
    if name.startswith(("HEBREW", "ALEF SYMBOL")) and category == "Lo":
        return "H"
    if "KATAKANA" in name:
        return "K"
    if "HIRAGANA" in name or "HENTAIGANA" in name:
        return "U"
    return "S" if _is_in(point, _WITHOUT_SPACES) else "L"


def fold(text: str) -> str:
    """The text in the form in which it is cut and compared: folding it again changes nothing."""
    if _PLAIN.fullmatch(text) is None:
        text = text.translate(_folded)
    text = unicodedata.normalize("NFKC", text).casefold().replace("\u0131", "i")
    if "\u0307" in text:  # A dotted capital I is folded to an i with a dot above.
        text = _DOTTED.sub("i", text)
    return unicodedata.normalize("NFKC", text)  # some foldings are not in composed form


def split_words(text: str) -> list[str]:
    """The words of a text, folded, each once, in the order of first use."""
    if text.isascii():
        found = dict.fromkeys(_ASCII.findall(text.lower()))
    else:
        text = fold(text)
        if _NOT_LATIN.search(text) is not None:
            return _split_any(text)
        found = dict.fromkeys(_LATIN.findall(text))
    return [word for word in found if word.strip("_")] if "_" in text else list(found)


def _split_any(text: str) -> list[str]:
    classes = text.translate(_classes)
    spans = [match.span() for match in _UNICODE.finditer(classes)]
    if "_" in classes:
        spans = [(start, end) for start, end in spans if classes[start:end].strip("_x")]
    return list(dict.fromkeys([text[start:end] for start, end in spans]))


def split_words_before(text: str) -> list[str]:
    """The words of a text by rule 1, which is used to search an old index until it is rebuilt."""
    text = text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()
    return list(dict.fromkeys(_BEFORE.findall(text)))
