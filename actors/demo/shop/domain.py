"""The shop's domain: the one object that every part of the shop registers with.

Only a definition: nothing here or in the modules beside it knows a thread, a file or an actor.
"""

from __future__ import annotations

from actors import Domain

shop = Domain("shop")
