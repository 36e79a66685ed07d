"""The tables of the store; a change needs a new file in `core/store/migrations/versions` and a new `HEAD`."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

HEAD = "0007"  # the newest revision in core/store/migrations/versions

metadata = MetaData()

variants = Table(
    "variants",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("model", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("variant", Text, nullable=False),  # JSON of core.results.Variant
    Column("footprint", Text, nullable=False),  # JSON of core.results.Footprint
    Column("layers", Text, nullable=False),  # JSON list of core.results.LayerReport
    # The counter `results` at the last change: unlike a time, it rises with every change.
    Column("changed", BigInteger, nullable=False, server_default="0"),
    # Every page view queries the changes, and the rows themselves are long.
    Index("variants_of_model", "model", "changed", "key"),
)

counters = Table(
    "counters",
    metadata,
    Column("name", String(16), primary_key=True),  # of core.store.counters
    Column("value", BigInteger, nullable=False),
)

measurements = Table(
    "measurements",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("variant", String(64), ForeignKey("variants.key", ondelete="CASCADE"), nullable=False),
    Column("metric", String(64), nullable=False),
    Column("dataset", String(255), nullable=False),
    Column("protocol", String(64), nullable=False),  # sha256 of the protocol in Measurement.identity
    Column("data", Text, nullable=False),  # JSON of core.results.Measurement
    UniqueConstraint("variant", "metric", "dataset", "protocol", name="one_measurement"),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("kind", String(16), nullable=False, server_default="run"),  # of core.jobs.kinds
    Column("parent", Integer, index=True),  # the search that asked for it
    Column("spec", Text, nullable=False),  # JSON of core.specs.RunSpec, or of a search's question
    Column("state", String(16), nullable=False, index=True),  # queued, running, done, failed, cancelled
    Column("stage", Text, nullable=False, default=""),
    Column("done", Integer, nullable=False, default=0),
    Column("total", Integer, nullable=False, default=0),
    Column("detail", Text, nullable=False, default=""),
    Column("error", Text),  # one sentence, on failed jobs
    Column("attempts", Integer, nullable=False, default=0),  # launches
    Column("token", String(32)),  # of the last attempt: only its process may write to the row, or store results
    Column("handle", Text),  # of its process, as its executor writes and reads it
    Column("lease", Float),  # the time at which the attempt counts as lost, unless its process extends it
    Column("heartbeat", Float),  # times are seconds since 1970 by the database's clock, core.store.clock
    Column("cancel", Float),  # the time of the request to stop
    Column("created", Float, nullable=False),  # the time of submission, unique; jobs that swap places swap it
    Column("started", Float),
    Column("stage_started", Float),
    Column("finished", Float),
    Column("host", Text),  # the machine that submitted it; NULL in jobs of earlier versions
    Column("machine", Text),  # that runs it, or ran it last
    Column("sweep", String(16)),  # the same for all runs that were submitted together
    sqlite_autoincrement=True,  # ids are never reused, so a log belongs to one job
)

searches = Table(
    "searches",
    metadata,
    Column("name", String(16), primary_key=True),  # of its question, whatever the minutes
    Column("created", Float, nullable=False),  # times are as those of jobs; one of an earlier version has a number
    Column("state", Text, nullable=False),  # JSON of what its process states in core.search.record.SearchState
    Column("seconds", Float, nullable=False),  # of its ended trials
    Column("since", Float),  # the start of those that run
    Column("stop", Boolean, nullable=False),  # the wish of another process that its trials end
    Column("job", Integer),  # that searches, or did last; its process alone may write to the search and its trials
    Column("heartbeat", Float),
)

trials = Table(
    "trials",
    metadata,
    Column("search", String(16), ForeignKey("searches.name", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),  # in the search, from 0
    Column("trial", Text, nullable=False),  # JSON of core.search.trials.Trial
)
