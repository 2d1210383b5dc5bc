"""The same events into a model of each engine: how fast they are applied, and how long a query takes."""
