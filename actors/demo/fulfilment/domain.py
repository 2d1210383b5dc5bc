"""The domain that every part of the delivering shop registers with. Only a definition."""

from __future__ import annotations

from actors import Domain

delivery = Domain("delivery")
