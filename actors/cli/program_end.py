"""How a command ends: its exit code, and the line that says why. Main thread."""

from __future__ import annotations

import sys
from collections.abc import Callable

from actors.cli.errors import CommandLineError, describe
from actors.cli.exit_codes import BAD_USE, DONE, FAILED, INTERRUPTED
from storage import OnewriterError

__all__ = ["exit_code_of"]


def exit_code_of(
    work: Callable[[], int | None], interrupted: str, bad_use: tuple[type[Exception], ...] = ()
) -> int:
    """Do the work, and return the program's exit code; standard error says what went wrong.

    It is what the work returns, if that is not None. `interrupted` says what becomes of it after Ctrl-C.
    Besides `CommandLineError`, the errors `bad_use` mean that the call was wrong.
    """
    wrong: tuple[type[Exception], ...] = (CommandLineError, *bad_use)
    try:
        code = work()
    except BrokenPipeError:
        raise
    except wrong as error:
        print(error, file=sys.stderr)
        return BAD_USE
    except (OnewriterError, OSError, ValueError) as error:
        print(describe(error), file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print(f"interrupted; {interrupted}", file=sys.stderr)
        return INTERRUPTED
    return DONE if code is None else code
