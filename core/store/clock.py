"""The clock that all processes of a database share: the database's own."""

from typing import Any

from sqlalchemy import Float
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

UNIX_EPOCH = 2440587.5  # as a Julian day


class Now(FunctionElement[float]):
    """Seconds since 1970 by the database's clock, as an SQL expression."""

    type = Float()
    inherit_cache = True


@compiles(Now)
def _standard(element: Now, compiler: SQLCompiler, **_: Any) -> str:  # Any: options of sqlalchemy
    return "CAST(extract(epoch FROM clock_timestamp()) AS double precision)"


@compiles(Now, "sqlite")
def _sqlite(element: Now, compiler: SQLCompiler, **_: Any) -> str:  # Any: options of sqlalchemy
    return f"((julianday('now') - {UNIX_EPOCH}) * 86400.0)"
