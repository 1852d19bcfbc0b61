"""Forks: a forked process is usable although its parent's other threads are missing in it.

A lock that another thread holds while a process forks stays locked in the child, and what it
protects is left half-done. A fork waits for short work, and for LLVM, by taking those locks. Long
work, a call or a computation, is abandoned in the child: the lock is renewed, and its owner forgets
what it was doing.
"""

import os
import threading
import weakref
from typing import Any, Protocol


class Interruptible(Protocol):
    """An object that may hold its lock for long."""

    lock: threading.RLock

    def forget(self) -> None:
        """Be usable again, in a forked process whose parent was using this in another thread."""


_safe_locks: list["weakref.ref[Any]"] = []
_taken: list[Any] = []
_to_renew: "weakref.WeakSet[Interruptible]" = weakref.WeakSet()


def fork_safe_lock() -> threading.RLock:
    """Return a lock that a fork waits for.

    Whoever holds it must not take one that was made before it. The thread that forks may hold it,
    for a signal handler or a finaliser may fork anywhere.
    """
    lock = threading.RLock()
    _safe_locks.append(weakref.ref(lock))
    return lock


def renew_in_child(owner: Interruptible) -> None:
    """Renew the owner's lock in a forked process if another thread held it."""
    _to_renew.add(owner)


def _before() -> None:
    for reference in _safe_locks:
        lock = reference()
        if lock is not None:
            lock.acquire()
            _taken.append(lock)


def _after() -> None:
    while _taken:
        _taken.pop().release()


def _after_in_child() -> None:
    _after()
    for owner in list(_to_renew):
        lock: Any = owner.lock
        if lock.acquire(blocking=False):
            lock.release()
        else:
            lock._at_fork_reinit()
            owner.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after_in_child)
