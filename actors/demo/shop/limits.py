"""How long the shop's texts and how great its numbers may be. Pure; commands call it from their `validate`.

An index entry is the indexed values and the primary key together, in at most 511 bytes. An event that does
not fit stops its model, as it is committed and can't be refused any more. So commands refuse it. The longest
entry is a name or a word of one, a price and a sku. A NUL in a name takes two bytes: 2 * 200 + 10 + 50 and a
few more.
"""

from __future__ import annotations

from actors import Rejected
from storage.tables.index import split_words

ID_BYTES = 50
NAME_BYTES = 200
HIGHEST_PRICE = 10**12
HIGHEST_QUANTITY = 10**9


def require_ids(**ids: str) -> None:
    """Refuse skus, categories, customers and so on that are too long, with codes such as `sku.too_long`."""
    for field, text in ids.items():
        require_length(field, text, ID_BYTES)


def require_name(name: str) -> None:
    """Refuse names that are blank, too long, or have too long a word; `name.empty`, `name.too_long`."""
    if not name.strip():
        raise Rejected("a product has a name", code="name.empty")
    require_length("name", name, NAME_BYTES)
    # The index has words case folded and spelled out, which some characters make eleven times as long.
    for word in split_words(name):
        require_length("name", word, NAME_BYTES)


def require_length(field: str, text: str, limit: int) -> None:
    size = len(text.encode(errors="surrogatepass"))
    if size > limit:
        raise Rejected(
            f"{field.replace('_', ' ')} takes {size} bytes in UTF-8, and at most {limit} fit",
            code=f"{field}.too_long",
            size=size,
            limit=limit,
        )


def require_price(price: int) -> None:
    """Refuse prices that are none or not of this world; `price.not_positive`, `price.too_high`."""
    if price <= 0:
        raise Rejected(f"a price is at least one cent, not {price}", code="price.not_positive", price=price)
    if price > HIGHEST_PRICE:
        raise Rejected(f"a price is at most {HIGHEST_PRICE} cents", code="price.too_high")


def require_quantity(quantity: int) -> None:
    """The same for quantities; `quantity.not_positive`, `quantity.too_high`."""
    if quantity <= 0:
        raise Rejected(
            f"a quantity is at least one, not {quantity}", code="quantity.not_positive", quantity=quantity
        )
    if quantity > HIGHEST_QUANTITY:
        raise Rejected(f"a quantity is at most {HIGHEST_QUANTITY}", code="quantity.too_high")
