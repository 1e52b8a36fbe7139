"""Procrastinate. It keeps no results: the task stores its own."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from procrastinate import App, JobContext, PsycopgConnector, SyncPsycopgConnector
from psycopg.types.json import Jsonb

from ledger import Ledger
from system import TIMEOUT, Data, System

POLL = 0.001
JOBS = 20
TABLE = "CREATE TABLE bench_results (id bigint PRIMARY KEY, result jsonb NOT NULL)"
STORE = "INSERT INTO bench_results (id, result) VALUES (%(id)s, %(result)s)"
FETCH = "SELECT id, result FROM bench_results WHERE id = ANY(%(ids)s)"


class Measured(System):
    packages = ("procrastinate", "psycopg")
    settings = (
        f"batch_defer for bulk; {JOBS} jobs at once, woken by NOTIFY; "
        "results inserted by the task and polled every 1 ms"
    )
    share = 0.1

    def prepare(self) -> None:
        self._app.schema_manager.apply_schema()
        self._app.connector.execute_query(TABLE)

    # --- The client

    @cached_property
    def _app(self) -> App:
        app = App(connector=SyncPsycopgConnector(conninfo=self.url))
        return app.open()

    @cached_property
    def _perform(self) -> Any:
        return self._app.configure_task("perform")

    def add(self, data: Data) -> int:
        return self._perform.defer(data=data)

    def add_many(self, many: Sequence[Data]) -> list[int]:
        return self._perform.batch_defer(*({"data": data} for data in many))

    def wait(self, added: Sequence[int]) -> list[Any]:
        """Asks for the last one, which is performed among the last, before it fetches all."""
        self._fetch(added[-1:])
        found = self._fetch(added)
        return [found[job_id] for job_id in added]

    def _fetch(self, ids: Sequence[int]) -> dict[int, Any]:
        until = time.monotonic() + TIMEOUT
        fetch = self._app.connector.execute_query_all
        while len(rows := fetch(FETCH, ids=list(ids))) < len(ids):
            if time.monotonic() > until:
                raise TimeoutError(f"{len(ids) - len(rows)} results did not come")
            time.sleep(POLL)
        return {row["id"]: row["result"] for row in rows}

    # --- The worker

    def work(self, ledger: Ledger) -> None:
        app = App(connector=PsycopgConnector(conninfo=self.url, max_size=JOBS))
        store = app.connector.execute_query_async

        @app.task(name="perform", pass_context=True)
        async def perform(context: JobContext, data: Data) -> None:
            ledger.add(1)
            if self.results:
                await store(STORE, id=context.job.id, result=Jsonb(data))

        app.run_worker(concurrency=JOBS)
