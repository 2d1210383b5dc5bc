from __future__ import annotations

from concurrent.futures import wait

import pytest

from actors.receipt import LateReceipt, Receipt
from actors.writer.submission import ReceiptReply, receipt_or_error
from storage import CommandRecord, RecordedEvent

EVENT = RecordedEvent(7, "account-ann", 3, "moved", "Moved", 0, "once")
RECEIPT = Receipt("once", 7, 7, 7, "account-ann", 3, {"account-ann": 3}, ("moved",))
OUTCOMES = {
    "an event": EVENT,
    "a late receipt": LateReceipt(CommandRecord("once", 7, 1, b"", "account-ann", 3), [EVENT]),
    "a receipt": RECEIPT,
}


@pytest.mark.parametrize("outcome", OUTCOMES.values(), ids=OUTCOMES)
@pytest.mark.parametrize("waited_on", [False, True])
def test_whatever_stands_for_a_receipt_is_shown_as_one_and_the_same_receipt(waited_on, outcome):
    reply = ReceiptReply()
    if waited_on:
        assert wait([reply], timeout=0).not_done == {reply}
    reply.set_result(outcome)
    receipt = reply.result()
    assert receipt == RECEIPT
    assert reply.result() is receipt


@pytest.mark.parametrize("outcome", OUTCOMES.values(), ids=OUTCOMES)
def test_an_outcome_is_a_receipt_or_an_error(outcome):
    assert receipt_or_error(outcome) == RECEIPT
    error = ValueError("no")
    assert receipt_or_error(error) is error
