"""Reading annotations without evaluating what cannot be evaluated yet. Pure, any thread.

From Python 3.14 on a class or function without `from __future__ import annotations` evaluates its annotations when they
are asked for, so that they may name what is defined further down, or for type checkers only. Whoever asks in the
usual way gets the NameError of any one of them. What is asked for here is a reference where a name is not there yet.
"""

from __future__ import annotations

import inspect
import sys
from typing import Any

__all__ = ["annotations_of", "share_annotations", "signature_of"]

if sys.version_info >= (3, 14):
    from annotationlib import Format, get_annotations

    def annotations_of(thing: Any) -> dict[str, Any]:
        """Its annotations by name, references for those that cannot be evaluated; none for what has none."""
        try:
            return dict(get_annotations(thing, format=Format.FORWARDREF))
        except TypeError:
            return {}

    def signature_of(fn: Any) -> inspect.Signature:
        """Its signature, with annotations as text. Raises as `inspect.signature` does for what has no signature."""
        return inspect.signature(fn, annotation_format=Format.STRING)

    def share_annotations(made: Any, written: Any) -> None:
        """Give a function the annotations of another, evaluated when somebody asks."""
        made.__annotate__ = written.__annotate__

else:

    def annotations_of(thing: Any) -> dict[str, Any]:
        """Its annotations by name; none for what has none."""
        return dict(getattr(thing, "__annotations__", {}))

    def signature_of(fn: Any) -> inspect.Signature:
        """Its signature. Raises as `inspect.signature` does for what has no signature."""
        return inspect.signature(fn)

    def share_annotations(made: Any, written: Any) -> None:
        """Give a function the annotations of another."""
        made.__annotations__ = written.__annotations__
