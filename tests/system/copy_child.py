"""For `test_continuous_copy` and `test_copy_faults`: writes to a store that is copied, and says what."""

from __future__ import annotations

import sys
import time

from actors import System
from actors.demo.shop import ListProduct, shop


def main() -> None:
    store, copy, interval = sys.argv[1], sys.argv[2], float(sys.argv[3])
    full_every = float(sys.argv[4]) if len(sys.argv) > 4 else 21_600.0
    with System.open(
        store, shop, replicas=1, copy_to=copy, copy_interval=interval, copy_full_every=full_every
    ) as system:
        number = system.position
        while True:
            number += 1
            position = system.execute(ListProduct(f"p-{number}", f"Product {number}", "k", number)).position
            print(position, time.time(), flush=True)


main()
