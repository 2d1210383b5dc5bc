"""A domain with personal fields in each kind of message."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from actors import Domain, Personal, Rejected, SubjectForgotten

people = Domain("people")
Text = Annotated[str, Personal(subject="customer")]


@people.value
class Address:
    customer: str
    street: Text


@people.state(stream="customer-{customer}", snapshot_every=2)
class Customer:
    customer: str
    name: Text
    orders: int


@people.event(Customer)
class Named:
    customer: str
    name: Text
    phones: Annotated[list[str] | None, Personal(subject="customer")] = None
    address: Address | None = None


@people.event(Customer)
class Ordered:
    customer: str
    price: Decimal


@people.command(Customer)
class Name:
    customer: str
    name: Text
    phones: Annotated[list[str] | None, Personal(subject="customer")] = None
    street: Annotated[str | None, Personal(subject="customer")] = None


@people.command(Customer)
class Order:
    customer: str
    price: Decimal


@people.decide
def name(customer: Customer | None, command: Name):
    address = None if command.street is None else Address(command.customer, command.street)
    yield Named(command.customer, command.name, command.phones, address)


@people.decide
def order(customer: Customer | None, command: Order):
    if customer is None:
        raise Rejected("nobody", code="customer.unknown")
    yield Ordered(command.customer, command.price)


@people.evolve
def named(customer: Customer | None, event: Named) -> Customer:
    return Customer(event.customer, event.name, customer.orders if customer else 0)


@people.evolve
def ordered(customer: Customer, event: Ordered) -> Customer:
    return Customer(customer.customer, customer.name, customer.orders + 1)


directory = people.read_model("directory")
entries = directory.table("entries", key="customer", indexes=["name"])
gone = directory.table("gone", key="subject")


@directory.on
def on_named(event: Named, tables):
    street = event.address.street if event.address else None
    tables[entries].put({"customer": event.customer, "name": event.name, "street": street})


@directory.on
def on_forgotten(event: SubjectForgotten, tables):
    tables[gone].put({"subject": event.subject})


takings = people.read_model("takings")
sums = takings.table("sums", key="customer")


@takings.on
def on_ordered(event: Ordered, tables):
    before = tables[sums].get(event.customer) or {"sum": Decimal(0)}
    tables[sums].put({"customer": event.customer, "sum": before["sum"] + event.price})


@people.query(reads=[directory], cache=True)
class NameOf:
    customer: str

    def run(self, view):
        row = view[entries].get(self.customer)
        return None if row is None else (row["name"], row["street"])


@people.query(reads=[directory], cache=True)
class WhoIs:
    name: Text
    customer: str = ""

    def run(self, view):
        return [row["customer"] for row in view[entries].find("name", self.name)]


@people.query(reads=[directory])
class Gone:
    def run(self, view):
        return [row["subject"] for row in view[gone].all()]
