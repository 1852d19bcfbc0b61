"""The kernel cache: private, checked, shared by processes, bounded, keyed by all that matters."""

import hashlib
import os
import re
import stat
import subprocess
import sys
import tempfile
import textwrap
import time
import warnings
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from liftgrad.lift.native import host as host_module
from liftgrad.lift.native.cache import KernelCache
from liftgrad.lift.native.compiler import host
from liftgrad.lift.native.host import _processor, known_host
from liftgrad.lift.native.machine_code import MachineCode
from liftgrad.lift.native.private_folder import Folder

FOLDER = f"liftgrad-kernels-{os.geteuid()}" if os.name == "posix" else "liftgrad-kernels"
KEY = hashlib.sha256(b"a kernel").hexdigest()
OTHER_KEY = hashlib.sha256(b"another kernel").hexdigest()
CODE = bytes(range(256)) * 16

# Prints the gradient and how many modules this process compiled itself.
PROGRAM = """
import warnings
warnings.simplefilter("error")
from liftgrad import Value, lift
from liftgrad.lift.native import compiler

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
as_root = pytest.mark.skipif(
    os.name != "posix" or os.geteuid() != 0, reason="takes root to be somebody else"
)


@pytest.fixture
def directory(tmp_path, monkeypatch):
    """The cache's folder, yet to be made, in a directory that was chosen for it."""
    chosen = tmp_path / "caches" / "chosen"
    monkeypatch.setenv("LIFTGRAD_CACHE_DIR", str(chosen))
    return chosen / FOLDER


def entry(key=KEY):
    return f"{key}.kernels"


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
    assert stat.S_IMODE(directory.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE((directory / entry()).stat().st_mode) == 0o600


@posix_only
@pytest.mark.parametrize("mode", [0o500, 0o755, 0o750])
def test_a_directory_that_others_may_read_is_used_as_it_is(directory, mode):
    """Nobody else can have written to it; its mode is its owner's business."""
    KernelCache.of_user().store(KEY, CODE)
    directory.chmod(mode)
    assert KernelCache.of_user().load(KEY) == CODE
    assert stat.S_IMODE(directory.stat().st_mode) == mode


@posix_only
@pytest.mark.parametrize("mode", [0o700, 0o755, 0o777, 0o1777])
def test_the_chosen_directory_is_left_as_it_is(directory, mode):
    """Its mode and all that the user keeps there, also beside the entries, whatever its name."""
    chosen = directory.parent
    directory.mkdir(parents=True)
    chosen.chmod(mode)
    kept = [chosen / "thesis.dat", chosen / entry(), directory / "thesis.dat", directory / KEY]
    for path in [*kept, directory / entry(OTHER_KEY)]:
        path.write_bytes(CODE)
        os.utime(path, (0, 0))
    cache = KernelCache(KernelCache.of_user().directory, limit=len(CODE) + 32)
    cache.store(KEY, CODE)
    assert all(path.read_bytes() == CODE for path in kept)
    assert stat.S_IMODE(chosen.stat().st_mode) == mode
    assert not (directory / entry(OTHER_KEY)).exists()


@posix_only
@pytest.mark.parametrize("mode", [0o770, 0o777, 0o702])
def test_a_directory_that_others_could_write_to_is_refused(directory, mode):
    """With one warning that says what to do; nothing there is loaded, nothing is stored."""
    KernelCache.of_user().store(KEY, CODE)
    directory.chmod(mode)
    sentence = f"{directory} is open to others, who may have put something there; delete it, or set"
    with pytest.warns(RuntimeWarning, match=re.escape(sentence)) as caught:
        cache = KernelCache.of_user()
    assert len(caught) == 1
    cache = KernelCache(directory)
    cache.store(OTHER_KEY, CODE)
    assert cache.load(KEY) is None
    assert not (directory / entry(OTHER_KEY)).exists()


@as_root
def test_a_directory_of_somebody_else_is_refused(directory):
    """Even if only its owner may write to it."""
    KernelCache.of_user().store(KEY, CODE)
    os.chown(directory, 65534, 65534)
    with pytest.warns(RuntimeWarning, match="belongs to another user; delete it, or set"):
        assert KernelCache.of_user().directory is None
    assert KernelCache(directory).load(KEY) is None


@posix_only
def test_a_link_to_a_directory_is_refused(directory):
    """It may lead to one of the user's own in which a stranger's files are, such as downloads."""
    downloads = directory.parent.parent / "downloads"
    downloads.mkdir(parents=True)
    directory.parent.mkdir()
    directory.symlink_to(downloads)
    with pytest.warns(RuntimeWarning, match="is a symbolic link; delete it, or set"):
        assert KernelCache.of_user().directory is None
    KernelCache(directory).store(KEY, CODE)
    assert not list(downloads.iterdir())


def writable_by_the_group(path):
    path.chmod(0o620)


def writable_by_all(path):
    path.chmod(0o602)


def somebody_elses(path):
    os.chown(path, 65534, 65534)


def hard_link(path):
    path.with_name("download").hardlink_to(path)


def symbolic_link(path):
    path.rename(path.with_name("download"))
    path.symlink_to("download")


def pipe(path):
    path.unlink()
    os.mkfifo(path)


def folder(path):
    path.unlink()
    path.mkdir()


@posix_only
@pytest.mark.parametrize(
    "become",
    [
        *(writable_by_the_group, writable_by_all, hard_link, symbolic_link, pipe, folder),
        pytest.param(somebody_elses, marks=as_root),
    ],
    ids=lambda f: f.__name__,
)
def test_an_entry_that_others_may_have_put_there_is_no_entry(directory, become):
    """Although its contents are right: a directory closed too late may hold what others made."""
    cache = KernelCache.of_user()
    cache.store(KEY, CODE)
    become(directory / entry())
    assert cache.load(KEY) is None
    if become is not folder:
        cache.store(KEY, CODE)
        assert cache.load(KEY) == CODE


@posix_only
def test_a_directory_swapped_while_it_is_used_is_not_read(directory):
    """What was looked at is what is used, wherever its path leads now."""
    cache = KernelCache.of_user()
    cache.store(KEY, CODE)
    other = directory.with_name("other")
    other.mkdir()
    (other / entry()).write_bytes(b"foreign")
    with Folder.of(directory) as held:
        directory.rename(directory.with_name("moved"))
        other.rename(directory)
        assert held.read(entry(), 2**20).endswith(CODE)
        held.delete(entry())
    assert (directory / entry()).read_bytes() == b"foreign"


@as_root
@pytest.mark.process
def test_users_may_share_a_directory():
    """Each has a folder of its own there, and loads nothing of another's."""
    program = f"""
    import os, sys, warnings
    warnings.simplefilter("error")
    from liftgrad.lift.native.compiler import host
    from liftgrad.lift.native.cache import KernelCache
    from liftgrad.lift.native.machine_code import MachineCode
    os.seteuid(int(sys.argv[1]))
    cache = KernelCache.of_user()
    print(cache.load({KEY!r}) is not None)
    cache.store({KEY!r}, b"code")
    print(cache.load({KEY!r}) == b"code")
    MachineCode(host(), cache)
    """
    with tempfile.TemporaryDirectory() as shared:
        Path(shared).chmod(0o1777)
        for user, known in (("65534", "False"), ("65533", "False"), ("0", "False"), ("0", "True")):
            done = subprocess.run(
                [sys.executable, "-c", textwrap.dedent(program), user],
                env={**os.environ, "LIFTGRAD_CACHE_DIR": shared},
                check=False,
                capture_output=True,
                text=True,
            )
            assert not done.returncode, done.stderr
            assert done.stdout.split() == [known, "True"]
        folders = list(Path(shared).iterdir())
        assert [len(list(folder.iterdir())) for folder in folders] == [2, 2, 2]


@pytest.mark.process
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


@pytest.mark.process
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
@pytest.mark.process
def test_a_read_only_directory_is_read(directory):
    """Its entries are loaded, new ones are not kept, and that is no reason to warn."""
    KernelCache.of_user().store(KEY, CODE)
    directory.chmod(0o500)
    program = f"""
    import os, warnings
    from pathlib import Path
    warnings.simplefilter("error")
    from liftgrad.lift.native.cache import KernelCache
    os.chdir({str(directory)!r})
    if os.geteuid() == 0:  # who may write anywhere
        for path in (".", {entry()!r}):
            os.chown(path, 65534, 65534)
        os.seteuid(65534)
    cache = KernelCache(Path("."))
    cache.store({OTHER_KEY!r}, b"")
    print(cache.load({KEY!r}) is not None, cache.load({OTHER_KEY!r}) is not None)
    """
    assert run(textwrap.dedent(program)) == ["True", "False"]
    directory.chmod(0o700)


@posix_only
@pytest.mark.process
def test_a_full_disk_is_no_error(directory):
    """Nothing is kept then, and nothing is left of the attempt."""
    directory.parent.mkdir(parents=True)
    program = f"""
    import resource
    from liftgrad import Value, lift
    from liftgrad.lift.native.cache import KernelCache
    resource.setrlimit(resource.RLIMIT_FSIZE, (16, 16))  # as a disk with 16 bytes left
    x = Value(3.0)
    lift(lambda x: x * x)(x).backward()
    KernelCache.of_user().store({KEY!r}, bytes(4096))
    print(x.grad)
    """
    assert run(textwrap.dedent(program)) == ["6.0"]
    assert not list(directory.iterdir())


@posix_only
@pytest.mark.process
def test_a_user_without_a_home_is_told_once(tmp_path, monkeypatch):
    """As in a container; lifted functions run, and no directory is made anywhere."""
    for name in ("HOME", "XDG_CACHE_HOME", "LIFTGRAD_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    program = f"""
    import os, pwd, warnings
    def unknown(uid):
        raise KeyError(uid)
    pwd.getpwuid = unknown
    os.chdir({str(tmp_path)!r})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        from liftgrad import Value, lift
        for factor in (1, 2):
            x = Value(3.0)
            lift(lambda x, factor: factor * x * x)(x, factor).backward()
    (warning,) = caught
    assert "the user has no home directory; set LIFTGRAD_CACHE_DIR" in str(warning.message)
    print(x.grad)
    """
    assert run(textwrap.dedent(program)) == ["12.0"]
    assert not list(tmp_path.iterdir())


@posix_only
def test_a_tilde_is_the_users_home(tmp_path, monkeypatch):
    """Where no shell has replaced it: in a file of settings, or a container's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LIFTGRAD_CACHE_DIR", "~/cache")
    assert KernelCache.of_user().directory == tmp_path / "home" / "cache" / FOLDER
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
    monkeypatch.setenv("LIFTGRAD_CACHE_DIR", "~nobody-of-that-name/cache")
    with pytest.warns(RuntimeWarning, match="nothing is known of '~nobody-of-that-name/cache'"):
        assert KernelCache.of_user().directory is None


def test_a_relative_directory_stays_where_it_is(tmp_path, monkeypatch):
    """Also when the program goes on to another working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LIFTGRAD_CACHE_DIR", "cache")
    cache = KernelCache.of_user()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    cache.store(KEY, CODE)
    assert cache.load(KEY) == CODE
    assert (tmp_path / "cache" / FOLDER / entry()).exists()


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
    (directory / entry()).write_bytes(damage((directory / entry()).read_bytes()))
    assert cache.load(KEY) is None
    cache.store(KEY, CODE)
    assert cache.load(KEY) == CODE


def test_an_entry_under_another_name_is_no_entry(directory):
    """A whole and valid one, of a kernel that was not asked for."""
    cache = KernelCache.of_user()
    cache.store(KEY, CODE)
    (directory / entry()).rename(directory / entry(OTHER_KEY))
    assert cache.load(OTHER_KEY) is None


@pytest.mark.process
def test_damaged_entries_are_rebuilt_never_executed(directory):
    """A process that finds nothing but damaged entries compiles, and leaves them whole."""
    gradient, compiled = run()
    assert compiled == "2"
    assert run() == [gradient, "0"]
    for path, damage in zip(sorted(directory.iterdir()), DAMAGES, strict=False):
        path.write_bytes(damage(path.read_bytes()))
    assert run() == [gradient, "2"]
    assert run() == [gradient, "0"]


@pytest.mark.process
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
@pytest.mark.process
def test_a_reader_never_sees_half_an_entry():
    """While another process writes it again and again."""
    code = os.urandom(2**20)
    cache = KernelCache.of_user()
    cache.store(KEY, code)
    program = f"""
    from liftgrad.lift.native.cache import KernelCache
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
        os.utime(directory / entry(key), (i, i))
    assert cache.load(keys[0]) == CODE  # used just now
    cache.store(keys[3], CODE)
    assert {path.name for path in directory.iterdir()} == {entry(keys[i]) for i in (0, 2, 3)}


def test_what_a_killed_process_left_goes(directory):
    """An unfinished file is nobody's entry; after an hour, nobody is at work on it any more."""
    cache = KernelCache.of_user()
    left, at_work = directory / f"{entry()}.{8 * 'a0'}", directory / f"{entry()}.{8 * 'b0'}"
    for path, age in ((left, 3700), (at_work, 100)):
        path.write_bytes(CODE)
        os.utime(path, (time.time() - age,) * 2)
    cache.store(OTHER_KEY, CODE)
    assert set(directory.iterdir()) == {at_work, directory / entry(OTHER_KEY)}
    KernelCache(directory, limit=len(CODE) + 32).store(OTHER_KEY, CODE)
    assert set(directory.iterdir()) == {directory / entry(OTHER_KEY)}


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
