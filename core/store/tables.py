"""The tables of the store; a change needs a new file in `core/store/migrations/versions` and a new `HEAD`."""

import sqlalchemy as sa

HEAD = "0007"  # the newest revision in core/store/migrations/versions

metadata = sa.MetaData()

variants = sa.Table(
    "variants",
    metadata,
    sa.Column("key", sa.String(64), primary_key=True),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("method", sa.Text, nullable=False),
    sa.Column("variant", sa.Text, nullable=False),  # JSON of core.results.Variant
    sa.Column("footprint", sa.Text, nullable=False),  # JSON of core.results.Footprint
    sa.Column("layers", sa.Text, nullable=False),  # JSON list of core.results.LayerReport
    # The counter `results` at the last change: unlike a time, it rises with every change.
    sa.Column("changed", sa.BigInteger, nullable=False, server_default="0"),
    # Every page view queries the changes, and the rows themselves are long.
    sa.Index("variants_of_model", "model", "changed", "key"),
)

counters = sa.Table(
    "counters",
    metadata,
    sa.Column("name", sa.String(16), primary_key=True),  # of core.store.counters
    sa.Column("value", sa.BigInteger, nullable=False),
)

measurements = sa.Table(
    "measurements",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("variant", sa.String(64), sa.ForeignKey("variants.key", ondelete="CASCADE"), nullable=False),
    sa.Column("metric", sa.String(64), nullable=False),
    sa.Column("dataset", sa.String(255), nullable=False),
    sa.Column("protocol", sa.String(64), nullable=False),  # sha256 of the protocol in Measurement.identity
    sa.Column("data", sa.Text, nullable=False),  # JSON of core.results.Measurement
    sa.UniqueConstraint("variant", "metric", "dataset", "protocol", name="one_measurement"),
)

jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("kind", sa.String(16), nullable=False, server_default="run"),  # of core.jobs.kinds
    sa.Column("parent", sa.Integer, index=True),  # the search that asked for it
    sa.Column("spec", sa.Text, nullable=False),  # JSON of core.specs.RunSpec, or of a search's question
    sa.Column("state", sa.String(16), nullable=False, index=True),  # queued, running, done, failed, cancelled
    sa.Column("stage", sa.Text, nullable=False, default=""),
    sa.Column("done", sa.Integer, nullable=False, default=0),
    sa.Column("total", sa.Integer, nullable=False, default=0),
    sa.Column("detail", sa.Text, nullable=False, default=""),
    sa.Column("error", sa.Text),  # one sentence, on failed jobs
    sa.Column("attempts", sa.Integer, nullable=False, default=0),  # launches
    sa.Column("token", sa.String(32)),  # of the last attempt: only its process may write to the row, or store results
    sa.Column("handle", sa.Text),  # of its process, as its executor writes and reads it
    sa.Column("lease", sa.Float),  # the time at which the attempt counts as lost, unless its process extends it
    sa.Column("heartbeat", sa.Float),  # times are seconds since 1970 by the database's clock, core.store.clock
    sa.Column("cancel", sa.Float),  # the time of the request to stop
    sa.Column("created", sa.Float, nullable=False),  # the time of submission, unique; jobs that swap places swap it
    sa.Column("started", sa.Float),
    sa.Column("stage_started", sa.Float),
    sa.Column("finished", sa.Float),
    sa.Column("host", sa.Text),  # the machine that submitted it; NULL in jobs of earlier versions
    sa.Column("machine", sa.Text),  # that runs it, or ran it last
    sa.Column("sweep", sa.String(16)),  # the same for all runs that were submitted together
    sqlite_autoincrement=True,  # ids are never reused, so a log belongs to one job
)

searches = sa.Table(
    "searches",
    metadata,
    sa.Column("name", sa.String(16), primary_key=True),  # of its question, whatever the minutes
    sa.Column("created", sa.Float, nullable=False),  # as of jobs; one of an earlier version has a number
    sa.Column("state", sa.Text, nullable=False),  # JSON of what its process states in core.search.record.SearchState
    sa.Column("seconds", sa.Float, nullable=False),  # of its ended trials
    sa.Column("since", sa.Float),  # the start of those that run
    sa.Column("stop", sa.Boolean, nullable=False),  # the wish of another process that its trials end
    sa.Column("job", sa.Integer),  # that searches, or did last; its process alone may write here
    sa.Column("heartbeat", sa.Float),
)

trials = sa.Table(
    "trials",
    metadata,
    sa.Column("search", sa.String(16), sa.ForeignKey("searches.name", ondelete="CASCADE"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),  # in the search, from 0
    sa.Column("trial", sa.Text, nullable=False),  # JSON of core.search.trials.Trial
)
