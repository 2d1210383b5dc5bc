"""What a workflow is to do, as a script, and what comes of it, in plain Python: the oracle of process
managers.

A script is a tree. Each node is one thing that a handler asks for, and its children are what is asked for
once that has come about: a command was done or refused, a timer has fired, the outside has answered. Nothing
here imports the library.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["KINDS", "Expected", "Node", "a_script", "decoded", "encoded", "expected", "nodes_of"]

Pick = Callable[[Sequence[Any]], Any]

KINDS = {
    "do": "a command that is done",
    "refused": "a command that is refused, which is compensated for",
    "unheard": "a command that is refused, which no handler hears of",
    "later": "a timer",
    "tell": "an effect",
    "flaky": "an effect that fails at first",
    "answers": "an effect whose answer is a command that is done",
    "refuses": "an effect whose answer is a command that is refused",
    "down": "an effect that is parked, and goes well when it is tried again",
    "dropped": "an effect that is parked, and given up",
}
TOLD = {"tell", "flaky", "answers", "refuses", "down"}
LEAVES = {"unheard", "tell", "flaky", "down", "dropped"}
HEARD = {"do": "done", "answers": "done", "refused": "refused", "refuses": "refused", "later": "later"}
"""How an instance hears of a node."""


@dataclass
class Node:
    """One thing; `number` tells it from the others of its case, and `amount` is how often it fails, or how
    long it takes.
    """

    kind: str
    amount: int = 0
    then: list[Node] = field(default_factory=list)
    number: int = 0


def a_script(pick: Pick, most: int = 8) -> list[Node]:
    """A random script; `pick` chooses one of several."""
    left = [most]

    def some() -> list[Node]:
        found = []
        for _ in range(pick((0, 1, 1, 2, 3))):
            if not left[0]:
                break
            left[0] -= 1
            kind = pick(tuple(KINDS))
            found.append(Node(kind, pick((0, 1, 2)), [] if kind in LEAVES else some()))
        return found

    script = some()
    for number, node in enumerate(nodes_of(script), 1):
        node.number = number
    return script


def nodes_of(script: list[Node]) -> Iterator[Node]:
    """All nodes, each before its children."""
    for node in script:
        yield node
        yield from nodes_of(node.then)


def encoded(script: list[Node]) -> str:
    """The script as a text."""

    def plain(nodes: list[Node]) -> list[Any]:
        return [[one.kind, one.amount, plain(one.then), one.number] for one in nodes]

    return json.dumps(plain(script))


def decoded(text: str) -> list[Node]:
    """What `encoded` gave."""

    def nodes(plain: list[Any]) -> list[Node]:
        return [Node(kind, amount, nodes(then), number) for kind, amount, then, number in plain]

    return nodes(json.loads(text))


@dataclass
class Expected:
    """What comes of a script in the end, whatever fails or dies on the way."""

    heard: Counter[str] = field(default_factory=Counter)
    """What the instance hears, each once."""
    done: Counter[int] = field(default_factory=Counter)
    """The nodes whose commands are done."""
    told: set[int] = field(default_factory=set)
    """The nodes that the outside is told of, and takes."""
    unheard: int = 0
    """Rejections that no handler hears of."""

    def effects_after(self, script: list[Node], heard: Sequence[str]) -> list[int]:
        """The effects that the outside takes, in their order, for an instance that has heard all in this
        order.
        """
        by_name = {f"{HEARD[one.kind]} {one.number}": one for one in nodes_of(script) if one.kind in HEARD}
        found = []
        for what in heard:
            then = script if what == "started" else by_name[what].then
            found += [one.number for one in then if one.kind in TOLD]
        return found


def expected(script: list[Node]) -> Expected:
    """The same for the whole of a script."""
    found = Expected()
    found.heard["started"] = 1
    for node in nodes_of(script):
        if node.kind in HEARD:
            found.heard[f"{HEARD[node.kind]} {node.number}"] += 1
            found.done[node.number] += HEARD[node.kind] == "done"
        if node.kind in TOLD:
            found.told.add(node.number)
        found.unheard += node.kind == "unheard"
    found.done += Counter()
    return found
