"""bench/rows_sqlite.c and bench/rows_pg.c in CocoIndex: one component declares all rows of a table.

--to is the file of a SQLite database, or what COCO_POSTGRES says of a PostgreSQL one ("host=… user=… dbname=…").
"""

from dataclasses import dataclass
from typing import Any, AsyncIterator

import cocoindex as coco

import timed


@dataclass
class Row:
    id: int
    body: str
    a: int
    b: int
    c: float
    d: bool
    e: str
    f: str


def row(i: int) -> Row:
    body = f"row {i}".ljust(200, chr(ord("a") + i % 26))
    return Row(i, body, i * 3, i * 7, i / 3, bool(i & 1), f"e {i}", f"some f {i}")


o = timed.options("to", "rows", "run")
postgres_wanted = "=" in o.to
if postgres_wanted:
    import asyncpg
    from cocoindex.connectors import postgres as system
else:
    from cocoindex.connectors import sqlite as system
DB: Any = coco.ContextKey("db")


@coco.lifespan
async def lifespan(builder: coco.EnvironmentBuilder) -> AsyncIterator[None]:
    if postgres_wanted:
        words = dict(word.split("=") for word in o.to.replace("dbname", "database").split())
        async with asyncpg.create_pool(**words) as pool:
            builder.provide(DB, pool)
            yield
    else:
        builder.provide_with(DB, system.managed_connection(o.to, load_vec=False))
        yield


@coco.fn(memo=True)
def fill(n: int, run: int, table: Any) -> None:
    for i in range(n):
        table.declare_row(row=row(i))


@coco.fn
async def main(n: int, run: int) -> None:
    schema = await system.TableSchema.from_class(Row, primary_key=["id"])
    table = await system.mount_table_target(DB, "peer", schema)
    await coco.mount(coco.component_subpath("fill"), fill, n, run, table)


if __name__ == "__main__":
    timed.update("rows", o.db, main, int(o.rows), int(o.run))
