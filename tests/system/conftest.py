from __future__ import annotations

import pytest

from tests.system import trouble


@pytest.fixture
def gates():
    """The gates of the trouble domain, shut at first; whoever hangs there is let go at the end."""
    trouble.gates.__init__()
    yield trouble.gates
    trouble.gates.release.set()
    trouble.gates.fragile_fails = False
    trouble.gates.padding = 0
