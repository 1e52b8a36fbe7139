"""How each web server is started on a socket that is open already."""

from __future__ import annotations

from collections.abc import Callable, Mapping

BACKLOG = 2048
PROCESSES = 2


def gunicorn(descriptor: int, requests: int) -> list[str]:
    """
    A request holds a thread while it waits for its row, so there is a thread for each. (Django's
    runserver has that too, but resets connections when more than 10 at once are to be accepted.)
    """
    options = {
        "--bind": f"fd://{descriptor}",
        "--backlog": BACKLOG,
        "--workers": PROCESSES,
        "--threads": requests,
        "--log-level": "warning",
    }
    return ["-m", "gunicorn", *_words(options), "--no-control-socket", "config.wsgi"]


def uvicorn(descriptor: int, requests: int) -> list[str]:
    """No limit of requests: a coroutine for each, and a thread where the view is not one."""
    options = {
        "--fd": descriptor,
        "--backlog": BACKLOG,
        "--workers": PROCESSES,
        "--lifespan": "off",
        "--log-level": "warning",
    }
    return ["-m", "uvicorn", *_words(options), "config.asgi:application"]


SERVERS: Mapping[str, Callable[[int, int], list[str]]] = {
    "gunicorn": gunicorn,
    "uvicorn": uvicorn,
}


def _words(options: Mapping[str, object]) -> list[str]:
    return [str(word) for pair in options.items() for word in pair]
