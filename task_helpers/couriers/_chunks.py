"""Cutting what a verb is given into pieces that one script call can take."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")
K = TypeVar("K")

CHUNK_TASKS = 1_000
CHUNK_BYTES = 8_000_000
"""Most of one script call: Lua's unpack breaks near 8,000 values, and others wait meanwhile."""


def grouped(items: Sequence[T], key_of: Callable[[T], K]) -> dict[K, list[T]]:
    return grouped_by(list(map(key_of, items)), items)


def grouped_by(keys: Sequence[K], items: Sequence[T]) -> dict[K, list[T]]:
    """The key of each item is given."""
    if keys and keys.count(keys[0]) == len(keys):  # as it is most of the time
        return {keys[0]: list(items)}
    groups: dict[K, list[T]] = {}
    for key, item in zip(keys, items, strict=True):
        groups.setdefault(key, []).append(item)
    return groups


def chunks(items: Sequence[T], size_of: Callable[[T], int]) -> Iterable[Sequence[T]]:
    """Up to 1,000 items and 8 MB each; an item over the size goes alone."""
    if len(items) == 1:
        return (items,)
    return _cut(items, size_of)


def _cut(items: Sequence[T], size_of: Callable[[T], int]) -> Iterator[Sequence[T]]:
    for at in range(0, len(items), CHUNK_TASKS):
        chunk = items[at : at + CHUNK_TASKS]
        if sum(map(size_of, chunk)) <= CHUNK_BYTES:
            yield chunk
        else:
            yield from _by_size(chunk, size_of)


def _by_size(items: Iterable[T], size_of: Callable[[T], int]) -> Iterator[list[T]]:
    chunk: list[T] = []
    size = 0
    for item in items:
        if chunk and size + size_of(item) > CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
        chunk.append(item)
        size += size_of(item)
    if chunk:
        yield chunk
