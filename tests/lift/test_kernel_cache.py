"""The kernel cache: private, checked, shared by processes, bounded, keyed by all that matters."""

import hashlib
import os
import re
import stat
import subprocess
import sys
import textwrap
import warnings
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from liftgrad.lift import known_host as host_module
from liftgrad.lift.compiler import host
from liftgrad.lift.kernel_cache import KernelCache
from liftgrad.lift.known_host import _processor, known_host
from liftgrad.lift.machine_code import MachineCode

KEY = hashlib.sha256(b"a kernel").hexdigest()
OTHER_KEY = hashlib.sha256(b"another kernel").hexdigest()
CODE = bytes(range(256)) * 16

# Prints the gradient and how many modules this process compiled itself.
PROGRAM = """
import warnings
warnings.simplefilter("error")
from liftgrad import Value, lift
from liftgrad.lift import compiler

compiled = []
emit = compiler.emit_object
compiler.emit_object = lambda *arguments: compiled.append(0) or emit(*arguments)

@lift
def energy(xs, y):
    return sum((x.tanh() - y) ** 2 for x in xs)

xs = [Value(0.1 * i) for i in range(9)]
energy(xs, 0.5).backward()
print(xs[3].grad.hex(), len(compiled))
"""
posix_only = pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")


@pytest.fixture
def directory(tmp_path, monkeypatch):
    """A directory yet to be made, chosen for the cache."""
    chosen = tmp_path / "caches" / "kernels"
    monkeypatch.setenv("LIFTGRAD_CACHE_DIR", str(chosen))
    return chosen


def start(program):
    return subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent,
    )


def finish(process):
    output, errors = process.communicate(timeout=120)
    assert not process.returncode, errors
    return output.split()


def run(program=PROGRAM):
    with start(program) as process:
        return finish(process)


@pytest.mark.usefixtures("directory")
def test_what_is_stored_is_loaded():
    """By a second cache on the same directory, as another process would have it."""
    KernelCache.of_user().store(KEY, CODE)
    assert KernelCache.of_user().load(KEY) == CODE
    assert KernelCache.of_user().load(OTHER_KEY) is None


@posix_only
def test_the_directory_is_made_private(directory):
    """Only the user may enter it, whatever the umask, and the entries are only the user's."""
    before = os.umask(0)
    try:
        KernelCache.of_user().store(KEY, CODE)
    finally:
        os.umask(before)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE((directory / KEY).stat().st_mode) == 0o600


@posix_only
def test_a_directory_that_others_could_read_is_closed_to_them(directory):
    """Nobody wrote to it so far, so that its entries can be trusted."""
    directory.mkdir(parents=True, mode=0o755)
    KernelCache.of_user().store(KEY, CODE)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert KernelCache.of_user().load(KEY) == CODE


@posix_only
@pytest.mark.parametrize("mode", [0o770, 0o777, 0o702])
def test_a_directory_that_others_could_write_to_is_refused(directory, mode):
    """With one warning that says what to do; nothing there is loaded, nothing is stored."""
    KernelCache.of_user().store(KEY, CODE)
    directory.chmod(mode)
    sentence = f"could write to {directory}; make it yours with chmod 700"
    with pytest.warns(RuntimeWarning, match=re.escape(sentence)) as caught:
        cache = KernelCache.of_user()
    assert len(caught) == 1
    cache.store(OTHER_KEY, CODE)
    assert cache.load(KEY) is None
    assert not (directory / OTHER_KEY).exists()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="takes root to give away")
def test_a_directory_of_somebody_else_is_refused(directory):
    """Even if only its owner may write to it."""
    directory.mkdir(parents=True, mode=0o700)
    os.chown(directory, 65534, 65534)
    with pytest.warns(RuntimeWarning, match="others could write"):
        assert KernelCache.of_user().directory is None


def test_a_process_warns_once_of_a_refused_directory(directory):
    """However many functions are lifted; they run all the same."""
    directory.mkdir(parents=True)
    directory.chmod(0o777)
    program = """
    import warnings
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        from liftgrad import Value, lift
        for factor in (1, 2, 3):
            x = Value(3.0)
            lift(lambda x, factor: factor * x * x)(x, factor).backward()
        print(len(caught), x.grad)
    """
    assert run(textwrap.dedent(program)) == ["1", "18.0"]
    assert not list(directory.iterdir())


def test_a_path_that_cannot_be_a_directory_is_reported(tmp_path, monkeypatch):
    """One warning names it and says what to do."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LIFTGRAD_CACHE_DIR", str(tmp_path / "file" / "kernels"))
    with pytest.warns(RuntimeWarning, match="cannot be used .*set LIFTGRAD_CACHE_DIR"):
        assert KernelCache.of_user().directory is None


def test_an_empty_choice_keeps_nothing(tmp_path, monkeypatch):
    """LIFTGRAD_CACHE_DIR="" is no directory, not even the current one, and no reason to warn."""
    monkeypatch.setenv("LIFTGRAD_CACHE_DIR", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    cache = KernelCache.of_user()
    cache.store(KEY, CODE)
    assert cache.load(KEY) is None
    compiled = [run()[1] for _ in range(2)]
    assert compiled == ["2", "2"]
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="each system has a place of its own")
def test_without_a_choice_it_lies_where_the_system_keeps_caches(tmp_path, monkeypatch):
    """That is ~/.cache, or $XDG_CACHE_HOME."""
    monkeypatch.delenv("LIFTGRAD_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert KernelCache.of_user().directory == tmp_path / "liftgrad" / "kernels"


@posix_only
def test_a_read_only_directory_is_read(directory):
    """Its entries are loaded, new ones are not kept, and that is no reason to warn."""
    KernelCache.of_user().store(KEY, CODE)
    directory.chmod(0o500)
    program = f"""
    import os, warnings
    warnings.simplefilter("error")
    from liftgrad.lift.kernel_cache import KernelCache
    os.chdir({str(directory)!r})
    os.environ["LIFTGRAD_CACHE_DIR"] = "."
    if os.geteuid() == 0:  # who may write anywhere
        for path in (".", {KEY!r}):
            os.chown(path, 65534, 65534)
        os.seteuid(65534)
    cache = KernelCache.of_user()
    cache.store({OTHER_KEY!r}, b"")
    print(cache.load({KEY!r}) is not None, cache.load({OTHER_KEY!r}) is not None)
    """
    assert run(textwrap.dedent(program)) == ["True", "False"]
    directory.chmod(0o700)


@posix_only
def test_a_directory_made_read_only_stays_so(directory):
    """Its owner may have wanted that."""
    directory.mkdir(parents=True)
    directory.chmod(0o500)
    KernelCache.of_user()
    assert stat.S_IMODE(directory.stat().st_mode) == 0o500


def cut(contents):
    return contents[: len(contents) // 2]


def emptied(contents):
    return contents[:0]


def flipped(contents):
    return contents[:100] + bytes([contents[100] ^ 1]) + contents[101:]


def lengthened(contents):
    return contents + b"\0"


def without_digest(contents):
    return contents[32:]


def signed_without_its_key(contents):
    return hashlib.sha256(contents[32:]).digest() + contents[32:]


DAMAGES = [cut, emptied, flipped, lengthened, without_digest, signed_without_its_key]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda f: f.__name__)
def test_a_damaged_entry_is_no_entry(directory, damage):
    """It is not loaded, and the next store replaces it."""
    cache = KernelCache.of_user()
    cache.store(KEY, CODE)
    (directory / KEY).write_bytes(damage((directory / KEY).read_bytes()))
    assert cache.load(KEY) is None
    cache.store(KEY, CODE)
    assert cache.load(KEY) == CODE


def test_an_entry_under_another_name_is_no_entry(directory):
    """A whole and valid one, of a kernel that was not asked for."""
    cache = KernelCache.of_user()
    cache.store(KEY, CODE)
    (directory / KEY).rename(directory / OTHER_KEY)
    assert cache.load(OTHER_KEY) is None


def test_damaged_entries_are_rebuilt_never_executed(directory):
    """A process that finds nothing but damaged entries compiles, and leaves them whole."""
    gradient, compiled = run()
    assert compiled == "2"
    assert run() == [gradient, "0"]
    for path, damage in zip(sorted(directory.iterdir()), DAMAGES, strict=False):
        path.write_bytes(damage(path.read_bytes()))
    assert run() == [gradient, "2"]
    assert run() == [gradient, "0"]


def test_processes_may_share_an_empty_directory(directory):
    """Several that start at once all get their gradients, and leave whole entries only."""
    with ExitStack() as stack:
        processes = [stack.enter_context(start(PROGRAM)) for _ in range(4)]
        gradients = {finish(process)[0] for process in processes}
    assert len(gradients) == 1
    # The kernels, the driver, and what the processor is.
    assert len(list(directory.iterdir())) == 2 + (_processor() is not None)
    assert run() == [gradients.pop(), "0"]


@pytest.mark.usefixtures("directory")
def test_a_reader_never_sees_half_an_entry():
    """While another process writes it again and again."""
    code = os.urandom(2**20)
    cache = KernelCache.of_user()
    cache.store(KEY, code)
    program = f"""
    from liftgrad.lift.kernel_cache import KernelCache
    cache = KernelCache.of_user()
    code = cache.load({KEY!r})
    print("ready", flush=True)
    for _ in range(50):
        cache.store({KEY!r}, code)
    """
    loads = 0
    with start(textwrap.dedent(program)) as writer:
        assert writer.stdout.readline() == "ready\n"
        while writer.poll() is None:
            assert cache.load(KEY) == code
            loads += 1
        finish(writer)
    assert loads > 1


def test_the_cache_is_bounded(directory):
    """What was used longest ago goes first, until the rest fits."""
    cache = KernelCache.of_user()
    cache = KernelCache(cache.directory, limit=3 * (len(CODE) + 32))
    keys = [hashlib.sha256(bytes([i])).hexdigest() for i in range(4)]
    for i, key in enumerate(keys[:3]):
        cache.store(key, CODE)
        os.utime(directory / key, (i, i))
    assert cache.load(keys[0]) == CODE  # used just now
    cache.store(keys[3], CODE)
    assert {path.name for path in directory.iterdir()} == {keys[0], keys[2], keys[3]}


def test_what_a_killed_process_left_counts_and_goes(directory):
    """An unfinished file is nobody's entry, and does not stay for ever."""
    cache = KernelCache(KernelCache.of_user().directory, limit=2 * (len(CODE) + 32))
    unfinished = directory / "tmpunfinished"
    unfinished.write_bytes(CODE)
    os.utime(unfinished, (0, 0))
    cache.store(KEY, CODE)
    cache.store(OTHER_KEY, CODE)
    assert {path.name for path in directory.iterdir()} == {KEY, OTHER_KEY}


def test_a_directory_that_vanishes_is_no_error(directory):
    """As when the user cleans up while a program runs."""
    cache = KernelCache.of_user()
    directory.rmdir()
    cache.store(KEY, CODE)
    assert cache.load(KEY) is None


def test_an_entry_depends_on_all_that_made_it(directory):
    """The same driver for other features, another processor or another version is compiled anew."""
    targets = [host(), replace(host(), cpu="generic"), host(256), host(128)]
    for count, one in enumerate(targets, start=1):
        MachineCode(one, KernelCache.of_user())
        assert len(list(directory.iterdir())) == count
    MachineCode(targets[0], KernelCache.of_user())
    assert len(list(directory.iterdir())) == len(targets)


def test_an_entry_depends_on_the_versions():
    """Of LLVM, of llvmlite and of liftgrad itself."""
    import llvmlite  # noqa: PLC0415
    from llvmlite import binding  # noqa: PLC0415

    import liftgrad  # noqa: PLC0415

    identity = " ".join(MachineCode(host(), KernelCache(None)).identity)
    llvm = ".".join(map(str, binding.llvm_version_info))
    for version in (f"llvmlite {llvmlite.__version__}", f"LLVM {llvm}", liftgrad.__version__):
        assert version in identity


@pytest.mark.skipif(_processor() is None, reason="nothing is known of this processor without LLVM")
def test_a_processor_is_described_anew_if_it_is_another_one(directory, monkeypatch):
    """Or for narrower vectors; else the description comes from the cache, and is LLVM's own."""
    cache = KernelCache.of_user()
    assert known_host(cache, None) == known_host(cache, None) == host()
    assert known_host(cache, 128) == host(128)
    assert len(list(directory.iterdir())) == 2
    monkeypatch.setattr(host_module, "_processor", lambda: "another one")
    known_host(cache, None)
    assert len(list(directory.iterdir())) == 3


def test_no_warning_without_need(directory):
    """A cache that can be used says nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert KernelCache.of_user().directory == directory
