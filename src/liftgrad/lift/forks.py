"""Forks: what a forked process finds whole, although its parent's other threads are not in it.

A lock that another thread holds while a process forks is held for ever in the child, and what it
protects is half-way. Short work, and what goes on within LLVM, is waited for: a fork takes its
locks. What may last, a call or a computation, is given up in the child: its lock is made anew, and
its owner forgets what it was at.
"""

import os
import threading
import weakref
from typing import Any, Protocol


class Interruptible(Protocol):
    """What holds a lock for long."""

    lock: threading.RLock

    def forget(self) -> None:
        """Be fit for use in a forked process whose parent was at work on this in another thread."""


_waited_for: list["weakref.ref[Any]"] = []
_taken: list[Any] = []
_given_up: "weakref.WeakSet[Interruptible]" = weakref.WeakSet()


def fork_safe_lock() -> threading.RLock:
    """Return a lock that a fork waits for: who holds it needs none that was made before it.

    The thread that forks may hold it, for a signal's handler or a finaliser may fork anywhere.
    """
    lock = threading.RLock()
    _waited_for.append(weakref.ref(lock))
    return lock


def renew_in_child(owner: Interruptible) -> None:
    """Have the owner's lock made anew in a forked process if another thread held it."""
    _given_up.add(owner)


def _before() -> None:
    for reference in _waited_for:
        lock = reference()
        if lock is not None:
            lock.acquire()
            _taken.append(lock)


def _after() -> None:
    while _taken:
        _taken.pop().release()


def _after_in_child() -> None:
    _after()
    for owner in list(_given_up):
        lock: Any = owner.lock
        if lock.acquire(blocking=False):
            lock.release()
        else:
            lock._at_fork_reinit()
            owner.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after_in_child)
