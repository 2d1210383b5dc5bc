"""The pictures of the README: that they can be drawn, and what those in docs show."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

pytest.importorskip("rich")

from actors.demo import make_pictures
from actors.demo.make_pictures import Excerpt, demo_picture, shell_picture
from actors.demo.report import PlainReport

DOCS = Path(__file__).parents[2] / "docs"
SVG = "{http://www.w3.org/2000/svg}"


def shown(picture: str) -> str:
    """The text of a picture, which has to be complete in itself."""
    root = ElementTree.fromstring(picture)
    assert root.tag == f"{SVG}svg"
    assert set(re.findall(r"https?://[^\s\"')<]+", picture)) <= {
        "http://www.w3.org/2000/svg",
        "https://www.textualize.io",
    }
    lines = ("".join(one.itertext()) for one in root.iter(f"{SVG}text"))
    return " ".join(" ".join(lines).replace("\xa0", " ").split())


def test_a_session_of_the_shell_is_drawn_with_what_was_typed_and_what_it_led_to() -> None:
    text = shown(shell_picture(['ListProduct lamp "Desk lamp" light 5 --id=one', "Cheapest 1"]))
    assert "onewriter repl" in text
    assert 'shop> ListProduct lamp "Desk lamp" light 5 --id=one' in text
    assert "done; product-lamp is at version 1 (id one)" in text
    assert "1 row at position 1" in text


def test_a_session_that_shows_no_times_is_drawn_alike_each_time() -> None:
    lines = ["ListProduct lamp Lamp light 5 --id=one", "Cheapest 1", ":kill sync"]
    assert shell_picture(lines) == shell_picture(lines)


def test_the_demo_is_drawn_from_its_first_hop_to_its_last_check() -> None:
    text = shown(demo_picture("--limit", "30", "--replicas", "1"))
    assert "$ onewriter demo --limit 30 --replicas 1" in text
    assert "write database: on disk" in text
    assert "OK: all 1 replicas equal the log." in text
    assert "OK: result cache: " in text
    assert "Best-selling categories" not in text


def test_a_demo_that_fails_is_not_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(_options: object, report: Excerpt) -> int:
        report.heading("In short")
        report.bad("WRONG: an order came to no end")
        return 1

    monkeypatch.setattr(make_pictures, "demonstrate", failing)
    with pytest.raises(RuntimeError, match="an order came to no end"):
        demo_picture()


def test_an_excerpt_has_what_comes_under_its_headings(capsys: pytest.CaptureFixture[str]) -> None:
    import sys

    excerpt = Excerpt(PlainReport(sys.stdout), ["Second"])
    for heading in ("First", "Second", "Third"):
        excerpt.heading(heading)
        excerpt.say(f"said of {heading}")
        excerpt.good(f"good of {heading}")
        excerpt.bad(f"bad of {heading}")
        excerpt.table(f"table of {heading}", ("a", "b"), [("x", 1)])
        with excerpt.progress("steps", 1) as moved:
            moved(1, f"moved in {heading}")
    text = capsys.readouterr().out
    for part in ("Second", "said of Second", "good of Second", "bad of Second", "table of Second"):
        assert part in text
    assert "First" not in text
    assert "Third" not in text
    assert "moved" not in text


@pytest.mark.parametrize(
    ("name", "said"), [("demo", "OK: all 3 replicas equal the log."), ("shell", "Nothing is lost")]
)
def test_the_pictures_of_the_readme_are_there(name: str, said: str) -> None:
    assert said in shown((DOCS / f"{name}.svg").read_text())
    assert f"](docs/{name}.svg)" in (DOCS.parent / "README.md").read_text()
