"""
The main job on real input: many concurrent requests, one bulk worker, each caller its own row.

Starts the example shop of testproject/, lets callers create products all at once, checks what each
of them got against the database, prints the figures and stops it all. The database is a SQLite file
in a temporary folder, or the one of DATABASE_URL. The tasks wait in it too, or in the Redis of
REDIS_URL, which `make demo-redis` starts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import socket
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, NoReturn

from running_shop import ANSWER_SECONDS, PROJECT, ROOT, SIGNALS, DemoError, Shop, fetch
from web_servers import SERVERS

MAX_REQUESTS = 900
"""Each needs a socket at both ends, and a process may open 1,024 files by default."""

KEPT_PORT = 8000
"""Where `--keep` serves when the port is free."""

# Django's own record of a statement that it executed: (0.003) INSERT INTO "shop_product" ...
INSERT = re.compile(r"""^\(\d+\.\d+\) INSERT INTO ["`]shop_product["`]""", re.MULTILINE)


# --- Django in this process, with the settings that the others get


def set_up_django(folder: Path) -> None:
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "PYTHONPATH": os.pathsep.join(sys.path),
        "DATABASE_URL": os.environ.get("DATABASE_URL") or f"sqlite:///{folder / 'shop.sqlite3'}",
        "TASK_PREFIX": f"demo-{uuid.uuid4().hex[:8]}",  # others may use this Redis
        "DEBUG": "1",  # which SQL_LOG needs
        "ALLOWED_HOSTS": "",
    }
    import django

    django.setup()


def make_database() -> None:
    from django.core.management import call_command

    call_command("migrate", verbosity=0)


def make_admin(password: str) -> str:
    """Makes the superuser and returns how to log in."""
    from django.contrib.auth import get_user_model
    from django.core.management import call_command

    if get_user_model().objects.filter(username="admin").exists():
        return "user admin, password as it was"
    login = {"USERNAME": "admin", "PASSWORD": password, "EMAIL": "admin@example.com"}
    os.environ |= {f"DJANGO_SUPERUSER_{key}": value for key, value in login.items()}
    call_command("createsuperuser", interactive=False, verbosity=0)
    return f"user admin, password {password}"


def saved_rows(marker: str) -> dict[int, dict[str, Any]]:
    """The products whose names begin with the marker, by primary key."""
    from shop.models import Product

    products = Product.objects.filter(name__startswith=marker)
    return {product.pk: product.as_dict() for product in products}


# --- The callers


@dataclass(frozen=True)
class Call:
    """What one caller sent, what it got and how long it waited for it, in seconds."""

    sent: dict[str, str]
    status: int
    answer: Any
    seconds: float


async def create_products(port: int, path: str, marker: str, count: int) -> list[Call]:
    """All at once."""
    products = [{"name": f"{marker} {n}", "price": f"{n}.45"} for n in range(count)]
    return await asyncio.gather(*(create_product(port, path, product) for product in products))


async def create_product(port: int, path: str, product: dict[str, str]) -> Call:
    started = time.perf_counter()
    try:
        status, answer = await fetch(port, "POST", path, product)
    except OSError as error:  # TimeoutError is one
        status, answer = 0, repr(error)
    return Call(product, status, answer, time.perf_counter() - started)


def fetch_report(port: int, month: str) -> dict[str, Any]:
    """Starts the slow work, then polls the URL that the answer gives until the result is there."""
    status, answer = asyncio.run(fetch(port, "POST", "/reports/", {"month": month}))
    if status == 202:
        status, answer = _polled(port, answer["url"])
    if status != 200 or answer["status"] != "succeeded":
        raise DemoError(f"there is no report of {month}: HTTP {status}, {answer}")
    return answer["result"]


def _polled(port: int, url: str) -> tuple[int, Any]:
    until = time.monotonic() + ANSWER_SECONDS
    while (polled := asyncio.run(fetch(port, "GET", url)))[0] == 202:
        if time.monotonic() > until:
            break
        time.sleep(0.05)
    return polled


# --- What must be true


def check_calls(calls: list[Call], rows: Mapping[int, Mapping[str, Any]]) -> None:
    """Every caller got a row of its own, with its name and price, as the database has it."""
    if wrong := [call for call in calls if not _got_its_row(call, rows)]:
        by_status = dict(Counter(call.status for call in wrong))
        raise DemoError(
            f"{len(wrong)} of {len(calls)} callers did not get their own row "
            f"(HTTP status: callers = {by_status}), the first one: {wrong[0]}"
        )
    got = {call.answer["id"] for call in calls}
    if not len(got) == len(rows) == len(calls):
        raise DemoError(f"{len(calls)} callers made {len(rows)} rows and got {len(got)} of them")


def _got_its_row(call: Call, rows: Mapping[int, Mapping[str, Any]]) -> bool:
    if call.status != 201:
        return False
    row = rows.get(call.answer["id"], {})
    got = {**call.answer, "price": Decimal(call.answer["price"])}
    sent = {"name": call.sent["name"], "price": Decimal(call.sent["price"])}
    return got == row == {**row, **sent}


def percentile(values: list[float], percent: int) -> float:
    """The least value that so many percent of the values do not exceed."""
    return sorted(values)[-(-len(values) * percent // 100) - 1]


# --- The two ways to run it


@dataclass(frozen=True)
class Figures:
    """- inserts - how many INSERT statements saved the rows; p50, p95 - what callers waited."""

    requests: int
    seconds: float
    inserts: int
    p50: float
    p95: float


def measure(shop: Shop, path: str, count: int) -> Figures:
    """Many at once, checked."""
    marker = f"demo {uuid.uuid4().hex[:8]}"
    started = time.perf_counter()
    calls = asyncio.run(create_products(shop.port, path, marker, count))
    seconds = time.perf_counter() - started
    check_calls(calls, saved_rows(marker))
    inserts = len(INSERT.findall(shop.sql_log.read_text()))
    waits = [call.seconds for call in calls]
    return Figures(count, seconds, inserts, percentile(waits, 50), percentile(waits, 95))


def show(shop: Shop, options: argparse.Namespace, login: str) -> None:
    path = _path(options)
    figures = measure(shop, path, options.requests)
    report = fetch_report(shop.port, time.strftime("%Y-%m", time.gmtime()))
    shop.check()
    count, seconds = figures.requests, figures.seconds
    say("sent", f"{count} concurrent POST {path}, all answered in {seconds:.2f} s")
    say("tasks", "in Redis" if os.environ.get("REDIS_URL") else "in the database: no Redis needed")
    say("checked", f"each of the {count} callers got its own row, as the database has it")
    say("saved", f"{count} rows by {figures.inserts} INSERT statements")
    say("waited", f"p50 {figures.p50:.3f} s, p95 {figures.p95:.3f} s")
    say("report", f"{report['products']} products this month, started with 202 and polled")
    say("admin", f"{shop.url}/admin/ ({login}), stopped now: `make run` keeps it running")
    if options.json:
        options.json.write_text(json.dumps(asdict(figures)) + "\n")


def _path(options: argparse.Namespace) -> str:
    if options.direct:
        return "/products/direct/"
    return "/products/async/" if options.server == "uvicorn" else "/products/"


def keep_running(shop: Shop, login: str) -> NoReturn:
    say("products", f"{shop.url}/products/")
    say("admin", f"{shop.url}/admin/ ({login})")
    for path, data in (
        ("products", '{"name": "tomato", "price": "12.45"}'),
        ("reports", time.strftime('{"month": "%Y-%m"}', time.gmtime())),
    ):
        say("try", f"curl -d '{data}' {shop.url}/{path}/")
    say("stop", "Ctrl-C")
    while True:
        shop.check()
        time.sleep(0.2)


def say(label: str, text: str) -> None:
    print(f"{label:<9} {text}", flush=True)


def run(shop: Shop, folder: Path, options: argparse.Namespace) -> None:
    # A database that outlives the demo gets no password that everybody knows.
    password = uuid.uuid4().hex if os.environ.get("DATABASE_URL") else "admin"
    set_up_django(folder)
    make_database()
    login = make_admin(password)
    shop.start(options.server, _port(options), options.requests)
    if options.keep:
        keep_running(shop, login)
    show(shop, options, login)


def _port(options: argparse.Namespace) -> int:
    if options.port is not None or not options.keep:
        return options.port or 0
    with socket.socket() as probe:
        return 0 if probe.connect_ex(("127.0.0.1", KEPT_PORT)) == 0 else KEPT_PORT


def main() -> int:
    options = parse_arguments()
    sys.path[:0] = [str(ROOT), str(PROJECT)]
    for number in SIGNALS:
        signal.signal(number, _end)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="shop-")))
        shop = Shop(stack, folder)
        try:
            run(shop, folder, options)
        except _readable_errors() as error:
            print("\n".join(filter(None, [f"demo: {error}", shop.logs()])), file=sys.stderr)
            return 1
        finally:
            _ignore_signals()  # nothing may interrupt the stopping of the processes
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The example shop under many requests at once.")
    add = parser.add_argument
    add("--requests", type=_count, default=500, metavar="N", help="how many at once (500)")
    add("--keep", action="store_true", help="send none: keep the shop running until Ctrl-C")
    add("--direct", action="store_true", help="each request saves its own row, to compare with")
    add("--server", choices=SERVERS, default="gunicorn", help="the web server (gunicorn)")
    add("--json", type=Path, metavar="FILE", help="where to write the figures as well")
    add("--port", type=int, metavar="PORT", help="of the web server; by default a free one")
    return parser.parse_args()


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MAX_REQUESTS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to {MAX_REQUESTS}")
    return int(text)


def _readable_errors() -> tuple[type[Exception], ...]:
    """Those whose text says enough."""
    from django.core.exceptions import ImproperlyConfigured
    from django.db import DatabaseError

    from task_helpers.exceptions import TaskHelpersError

    return DemoError, OSError, ImproperlyConfigured, DatabaseError, TaskHelpersError


def _end(number: int, _: object) -> None:
    """Ctrl-C is how `--keep` is meant to end, and an interruption otherwise."""
    _ignore_signals()
    code = 0 if number == signal.SIGINT and "--keep" in sys.argv else 128 + number
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        sys.exit(code)
    loop.call_soon_threadsafe(sys.exit, code)  # asyncio complains when its own code is left so


def _ignore_signals() -> None:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


if __name__ == "__main__":
    sys.exit(main())
