"""One op of a random program, done to a table of the library and to one of the oracle.

An op is plain data. `done(op, table, schema)` does it to a table of the library and `expected(op, rows)` to
one of the oracle, and both say what it answered in a form to compare by `==`. Whatever a library's table
gives is spoilt once it was looked at, and so is what was put.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from storage.errors import RowMissing
from storage.tables.schema import TableSchema
from tests.oracle.table_model import Row, Rows, Search
from tests.oracle.value_forms import fresh, order, shown_exactly, spoil

Op = tuple[Any, ...]


# -- one op on a table of the library ------------------------------------------------------------------------
def done(op: Op, table: Any, schema: TableSchema) -> Any:
    """What the op answered."""
    kind, *given = op
    match kind, given:
        case "put", [row]:
            mine = fresh(row)
            table.put(mine)
            spoil(mine)
        case "put and look", [row]:
            done(("put", row), table, schema)
            columns = schema.columns
            key = row[columns[0]] if len(columns) == 1 else tuple(row[column] for column in columns)
            return _looked_at(table.get(key)), _looked_at(table.get(key))
        case "update and look", [key, changes]:
            there = done(("update", key, changes), table, schema)
            return there, _looked_at(table.get(key)), _looked_at(table.get(key))
        case "update", [key, changes]:
            mine = fresh(changes)
            try:
                table.update(key, **mine)
            except RowMissing:
                return False
            spoil(mine)
            return True
        case "delete", [key]:
            return table.delete(key)
        case "get", [key, columns]:
            return _looked_at(table.get(key, columns=columns)), key in table
        case "many", [keys, columns]:
            return [_looked_at(row) for row in table.get_many(keys, columns=columns)]
        case "len", []:
            return len(table)
        case "search", [search]:
            return _searched(search, table, schema)
        case "census", [searches]:
            return [_counted(search, table, schema) for search in searches]
        case "touch", [key]:
            return _looked_at(table.get(key))
        case "put back", [key]:
            if (row := table.get(key)) is not None:
                for value in row.values():
                    spoil(value)
                table.put(row)
        case "derive", [key]:
            if (row := table.get(key)) is not None:
                table.update(key, v=derived(row.get("v")))
        case "walk", [search, changes]:
            answers = []
            waiting = list(changes)
            for row in table.range(*_arguments(search, schema), **_options(search)):
                answers.append(_looked_at(row))
                if waiting:
                    answers.append(done(waiting.pop(0), table, schema))
            return answers
        case _:
            raise AssertionError(op)
    return None


def derived(value: Any) -> Any:
    """What a projection makes of a value that it has read: another one for each form of it."""
    try:
        return value + timedelta(days=1) if isinstance(value, date) else repr(shown_exactly(value))[:200]
    except OverflowError:
        return None


def _looked_at(row: Row | None) -> Any:
    shown = shown_exactly(row)
    spoil(row)
    return shown


def _bound(values: tuple[Any, ...] | None) -> Any:
    """A single value is given bare where that says the same."""
    return values[0] if values is not None and len(values) == 1 and values[0] is not None else values


def _arguments(search: Search, schema: TableSchema) -> tuple[Any, Any, Any]:
    spec = None if search.index is None else schema.indexes[search.index].spec
    return spec, _bound(search.start), _bound(search.stop)


def _options(search: Search, *, bounds_alone: bool = False) -> dict[str, Any]:
    bounds = {"equal": _bound(search.equal), "include_stop": search.include_stop}
    return bounds if bounds_alone else {**bounds, "reverse": search.reverse}


def _searched(search: Search, table: Any, schema: TableSchema) -> dict[str, Any]:
    """The answer of every method that can be asked."""
    index, start, stop = _arguments(search, schema)
    some = {"limit": search.limit, "columns": search.columns}
    equal = search.equal or ()
    if search.prefix is not None:
        rows = table.prefix(index, *equal, search.prefix, reverse=search.reverse, **some)
        return {"prefix": [_looked_at(row) for row in rows]}
    options = _options(search)
    answer: dict[str, Any] = {
        "range": [_looked_at(row) for row in table.range(index, start, stop, **options, **some)],
        "keys": [order(key) for key in table.keys(index, start, stop, **options, limit=search.limit)],
        "count": table.count(index, start, stop, **_options(search, bounds_alone=True)),
        "page": [],
    }
    token = None
    while True:
        page = table.page(
            index, start, stop, **options, size=search.size, token=token, columns=search.columns
        )
        answer["page"].append([_looked_at(row) for row in page.rows])
        token = page.token
        if token is None:
            break
    prepared = schema.prepare(index, equal=len(equal), reverse=search.reverse, **some)
    rest = {"start": start, "stop": stop, "include_stop": search.include_stop}
    answer["prepared"] = (
        [_looked_at(row) for row in prepared(table, *equal, **rest)],
        [order(key) for key in prepared.keys(table, *equal, **rest)],
        prepared.count(table, *equal, **rest),
    )
    if start is stop is None:
        found = table.find(index, *equal, reverse=search.reverse, **some)
        answer["find"] = [_looked_at(row) for row in found]
        if search == Search(None, size=search.size):
            answer["all"] = [_looked_at(row) for row in table.all()]
    return answer


def _counted(search: Search, table: Any, schema: TableSchema) -> tuple[int, ...]:
    index = None if search.index is None else schema.indexes[search.index].spec
    assert search.equal is not None
    bounds = {"start": search.equal, "stop": search.equal, "include_stop": True}
    return (
        table.count(index, equal=search.equal),
        len(list(table.keys(index, equal=search.equal))),
        len(list(table.find(index, *search.equal))),
        table.count(index, **bounds),
        schema.prepare(index, equal=1).count(table, *search.equal),
    )


# -- the same by brute force ---------------------------------------------------------------------------------
def expected(op: Op, rows: Rows) -> Any:
    """What the op has to answer."""
    kind, *given = op
    match kind, given:
        case "put", [row]:
            rows.put(row)
        case "put and look", [row]:
            rows.put(row)
            shown = shown_exactly(rows.get(rows.key_of(row)))
            return shown, shown
        case "update", [key, changes]:
            return rows.update(key, changes)
        case "update and look", [key, changes]:
            there = rows.update(key, changes)
            shown = shown_exactly(rows.get(key))
            return there, shown, shown
        case "delete", [key]:
            return rows.delete(key)
        case "get", [key, columns]:
            return shown_exactly(rows.get(key, columns)), rows.get(key) is not None
        case "many", [keys, columns]:
            return [shown_exactly(rows.get(key, columns)) for key in keys]
        case "len", []:
            return len(rows.rows)
        case "search", [search]:
            return _found(search, rows)
        case "census", [searches]:
            return [(len(rows.search(search)),) * 5 for search in searches]
        case "touch", [key]:
            return shown_exactly(rows.get(key))
        case "put back", [key]:
            if (row := rows.get(key)) is not None:
                for value in row.values():
                    spoil(value)
                rows.put(row)
        case "derive", [key]:
            if (row := rows.get(key)) is not None:
                rows.update(key, {"v": derived(row.get("v"))})
        case "walk", [search, changes]:
            answers = []
            waiting = list(changes)
            for row in rows.search(search, whole=True):
                answers.append(shown_exactly(row))
                if waiting:
                    answers.append(expected(waiting.pop(0), rows))
            return answers
        case _:
            raise AssertionError(op)
    return None


def _found(search: Search, rows: Rows) -> dict[str, Any]:
    found = [shown_exactly(row) for row in rows.search(search)]
    if search.prefix is not None:
        return {"prefix": found}
    whole = rows.search(search, whole=True)
    keys = [order(rows.key_of(row)) for row in whole]
    if search.limit is not None:
        keys = keys[: search.limit]
    in_pages = [
        shown_exactly(
            {column: row[column] for column in row if search.columns is None or column in search.columns}
        )
        for row in whole
    ]
    pages = [in_pages[start : start + search.size] for start in range(0, len(in_pages), search.size)]
    answer: dict[str, Any] = {
        "range": found,
        "keys": keys,
        "count": len(whole),
        "page": pages or [[]],
        "prepared": (found, keys, len(whole)),
    }
    if search.start is search.stop is None:
        answer["find"] = found
        if search == Search(None, size=search.size):
            answer["all"] = found
    return answer
