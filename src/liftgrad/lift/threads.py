"""Threads: how many share a large batch, and the pool that they come from."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

MOST_THREADS = 8
"""A large batch is cut into this many segments, whatever the number of threads."""
_NAME = "liftgrad"
_threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def set_num_threads(count: int) -> None:
    """Set how many threads share a large batch; results do not depend on it.

    >>> before = get_num_threads()
    >>> set_num_threads(1)
    >>> get_num_threads()
    1
    >>> set_num_threads(before)

    Raises:
        ValueError: if `count` is not positive.

    """
    global _threads  # noqa: PLW0603, a setting of the process, as in PyTorch
    if not isinstance(count, int) or count < 1:
        raise ValueError(f"set_num_threads({count}); pass 1 or more.")
    _threads = count


def get_num_threads() -> int:
    """Return how many threads share a large batch.

    >>> get_num_threads() >= 1
    True
    """
    return _threads


@lru_cache
def pool() -> ThreadPoolExecutor:
    """Return the threads, which are started when they are first needed."""
    return ThreadPoolExecutor(MOST_THREADS, thread_name_prefix=_NAME)


def is_worker(thread: threading.Thread) -> bool:
    """Return whether a thread is one of the pool's, which run nothing but kernels."""
    return thread.name.startswith(f"{_NAME}_")


if hasattr(os, "register_at_fork"):
    # A forked process has none of its parent's threads.
    os.register_at_fork(after_in_child=pool.cache_clear)
