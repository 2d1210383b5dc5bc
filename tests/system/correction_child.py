"""The process that test_correction_crash kills: it corrects a store's payments in euros, and says when.

Run as `python -m tests.system.correction_child STORE`.
"""

from __future__ import annotations

import sys
import threading

from actors import System
from tests.system.currencies import Pay, dollars, shop, sums


def main(store: str) -> None:
    with System.open(store, shop, replicas=2, rebuild_share=0.1) as system:
        plan = system.plan_correction(dollars)

        def pay() -> None:
            while True:
                system.execute_many([Pay("busy", 1, "USD")] * 20)

        threading.Thread(target=pay, daemon=True).start()
        print(f"planned {plan.count}", flush=True)
        print(f"done {plan.apply(who='ann', why='wrong currency').number}", flush=True)
        system.wait_rebuilt(sums, 60)
        print("rebuilt", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
