"""Reads annotations without failing on names that are not defined yet. Pure, any thread.

From Python 3.14 on, a class or function without `from __future__ import annotations` evaluates its
annotations when they are asked for, so they may use names that are defined further down, or only for type
checkers. Reading them in the usual way raises NameError if any of those names is missing. The functions here
give a forward reference for such a name instead.
"""

from __future__ import annotations

import inspect
import sys
from typing import Any

__all__ = ["annotations_of", "share_annotations", "signature_of"]

if sys.version_info >= (3, 14):
    from annotationlib import Format, get_annotations

    def annotations_of(thing: Any) -> dict[str, Any]:
        """An object's annotations by name; a forward reference for each that cannot be evaluated.

        Empty for an object that has no annotations.
        """
        try:
            return dict(get_annotations(thing, format=Format.FORWARDREF))
        except TypeError:
            return {}

    def signature_of(fn: Any) -> inspect.Signature:
        """A callable's signature, with annotations as text.

        Raises as `inspect.signature` does for an object that has no signature.
        """
        return inspect.signature(fn, annotation_format=Format.STRING)

    def share_annotations(made: Any, written: Any) -> None:
        """Give a function the annotations of another one; they are evaluated when they are asked for."""
        made.__annotate__ = written.__annotate__

else:

    def annotations_of(thing: Any) -> dict[str, Any]:
        """An object's annotations by name; empty for an object that has none."""
        return dict(getattr(thing, "__annotations__", {}))

    def signature_of(fn: Any) -> inspect.Signature:
        """A callable's signature. Raises as `inspect.signature` does for an object that has no signature."""
        return inspect.signature(fn)

    def share_annotations(made: Any, written: Any) -> None:
        """Give a function the annotations of another one."""
        made.__annotations__ = written.__annotations__
