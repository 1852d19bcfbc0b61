"""Files are written completely or not at all, and keep their owner and permissions."""

import ast
import contextlib
import errno
import io
import os
import resource
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import liftgrad
from liftgrad import files

posix = pytest.mark.skipif(os.name != "posix", reason="of POSIX")


@pytest.fixture(params=["without a name", "beside", "without links"], autouse=True)
def temporary(request, monkeypatch):
    """Write through a nameless file, and as where there are none or they cannot be linked."""
    if request.param == "beside":
        monkeypatch.setattr(files, "_UNNAMED", None)
    if request.param == "without links":
        # The directory is there, and what is in it cannot be linked to.
        monkeypatch.setattr(files, "_DESCRIPTORS", Path("/proc/self/fdinfo"))
    return request.param


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_written_or_replaced(tmp_path):
    """Whatever its name, and no other file is there afterwards."""
    for name in ("a.txt", "x" * 255, "ä\n*[?", ".hidden"):
        path = tmp_path / name
        for content in (b"first", b"2nd", b""):
            files.check_writable(path)
            files.write(path, content)
            assert path.read_bytes() == content
    assert len(names(tmp_path)) == 4


def test_a_block_that_fails_leaves_what_was_there(tmp_path):
    """Whatever ends it, also if the file is overwritten in place."""
    path = tmp_path / "a"
    path.write_bytes(b"old")
    for links in (1, 2):
        if links == 2:
            (tmp_path / "b").hardlink_to(path)
        for error in (ValueError, KeyboardInterrupt):
            with pytest.raises(error), files.writing(path) as file:  # noqa: PT012, a block
                file.write(b"new")
                raise error
        assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a", "b"]


def test_errors_of_another_file_are_left_alone(tmp_path):
    """A block may read one."""
    with (
        pytest.raises(FileNotFoundError, match=r"No such file.*elsewhere"),
        files.writing(tmp_path / "a"),
    ):
        (tmp_path / "elsewhere").read_bytes()


@posix
@pytest.mark.parametrize("mode", [0o600, 0o664, 0o755, 0o4710])
def test_permissions_stay(mode, tmp_path):
    """A private file stays private when it is written again."""
    path = tmp_path / "a"
    path.write_bytes(b"old")
    path.chmod(mode)
    before = path.stat()
    files.write(path, b"new")
    after = path.stat()
    assert stat.S_IMODE(after.st_mode) == mode
    assert (after.st_uid, after.st_gid) == (before.st_uid, before.st_gid)


@posix
def test_a_new_file_has_the_permissions_that_files_have(tmp_path):
    """Those that the process's umask leaves."""
    before = os.umask(0o027)
    try:
        files.write(tmp_path / "a", b"new")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="of root")
def test_an_owner_stays(tmp_path):
    """Also when root writes."""
    path = tmp_path / "a"
    path.write_bytes(b"old")
    os.chown(path, 12345, 23456)
    files.write(path, b"new")
    assert (path.stat().st_uid, path.stat().st_gid) == (12345, 23456)
    assert path.read_bytes() == b"new"


@pytest.mark.skipif(not hasattr(os, "setxattr"), reason="of Linux")
def test_extended_attributes_stay(tmp_path):
    """Such as access lists."""
    path = tmp_path / "a"
    path.write_bytes(b"old")
    try:
        os.setxattr(path, "user.note", b"mine")
    except OSError:
        pytest.skip("the file system has none")
    files.write(path, b"new")
    assert os.getxattr(path, "user.note") == b"mine"


@posix
@pytest.mark.parametrize("content", [b"", b"n", b"a longer content than before"])
def test_hard_links_stay(content, tmp_path):
    """All names of a file have the content that is written to one."""
    path, other = tmp_path / "a", tmp_path / "b"
    path.write_bytes(b"before")
    other.hardlink_to(path)
    files.write(path, content)
    assert other.read_bytes() == path.read_bytes() == content
    assert path.samefile(other)
    assert names(tmp_path) == ["a", "b"]


@posix
def test_ctrl_c_while_a_file_is_written_over_waits_for_its_end(tmp_path, press_ctrl_c):
    """Otherwise it would be half of each."""
    path, content = tmp_path / "a", os.urandom(3_000_000)
    path.write_bytes(b"old")
    (tmp_path / "b").hardlink_to(path)
    press_ctrl_c("copyfileobj")
    with pytest.raises(KeyboardInterrupt):
        files.write(path, content)
    assert path.read_bytes() == content


@posix
def test_symbolic_links_stay(tmp_path):
    """Their target is written, whether it exists or not; a circle is refused."""
    (tmp_path / "inner").mkdir()
    link, end = tmp_path / "link", tmp_path / "inner" / "end"
    link.symlink_to("inner/end")
    for content in (b"first", b"second"):
        files.write(link, content)
        assert end.read_bytes() == content
        assert link.is_symlink()
    assert names(tmp_path / "inner") == ["end"]
    (tmp_path / "round").symlink_to("round")
    (tmp_path / "nowhere").symlink_to("missing/file")
    for name in ("round", "nowhere"):
        for attempt in (files.check_writable, lambda path: files.write(path, b"")):
            with pytest.raises(OSError, match=r"cannot be written|there is no directory"):
                attempt(tmp_path / name)
    assert (tmp_path / "round").is_symlink()


@posix
def test_pipes_and_devices_are_written_to(tmp_path):
    """And not replaced by files."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    heard = []
    reader = threading.Thread(target=lambda: heard.append(path.read_bytes()))
    reader.start()
    content = os.urandom(300_000)  # more than a pipe holds
    while not heard:
        with contextlib.suppress(OSError):  # the reader is not that far
            files.check_writable(path)
            files.write(path, content)
            reader.join()
    assert heard == [content]
    assert stat.S_ISFIFO(path.stat().st_mode)
    files.check_writable("/dev/null")
    files.write("/dev/null", content)
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    assert names(tmp_path) == ["pipe"]


@posix
def test_a_pipe_that_nobody_reads_is_refused_at_once(tmp_path):
    """Instead of being waited for."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="a pipe that nobody reads; start its reader first"):
        files.write(tmp_path / "pipe", b"")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="of root")
def test_devices_of_root_stay_devices(tmp_path):
    """A /dev/null of our own is still one afterwards; a disk is refused."""
    null, disk = tmp_path / "null", tmp_path / "disk"
    try:
        os.mknod(null, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        os.mknod(disk, 0o600 | stat.S_IFBLK, os.makedev(259, 250))
    except OSError:
        pytest.skip("no devices can be made here")
    files.write(null, b"content")
    assert stat.S_ISCHR(null.stat().st_mode)
    for attempt in (files.check_writable, lambda path: files.write(path, b"")):
        with pytest.raises(OSError, match="is a disk; name a file"):
            attempt(disk)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "'' names no file; write a name"),
        (".", "is a directory; name a file in it"),
        ("new/", "is a directory; name a file in it"),
        ("missing/a", "there is no directory '.*missing'; make it first"),
        ("file/a", "there is no directory '.*file'; make it first"),
        ("x" * 256, "cannot be written .File name too long."),
    ],
)
def test_what_cannot_be_a_file_is_refused(name, words, tmp_path, monkeypatch):
    """With the same sentence before and after the work."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    for attempt in (files.check_writable, lambda path: files.write(path, b"")):
        with pytest.raises(OSError, match=words):
            attempt(name)
    assert names(tmp_path) == ["file"]


@posix
def test_a_full_disk_leaves_the_old_file(tmp_path):
    """Also one that would be overwritten in place."""
    path = tmp_path / "a"
    path.write_bytes(b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        for links in (1, 2):
            if links == 2:
                (tmp_path / "b").hardlink_to(path)
            with pytest.raises(
                OSError, match=r"'.*a' cannot be written \(File too large\)"
            ) as told:
                files.write(path, bytes(1001))
            assert told.value.errno == errno.EFBIG
            assert path.read_bytes() == b"old"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert names(tmp_path) == ["a", "b"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no such device")
def test_a_full_device_is_said():
    """Like a full disk."""
    with pytest.raises(OSError, match=r"'/dev/full' cannot be written \(No space left"):
        files.write("/dev/full", b"content")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="it becomes another")
@pytest.mark.process
def test_what_must_not_be_written_is_not_replaced(folder_of_all):
    """Although the directory may be written to."""
    path = folder_of_all / "a"
    path.write_bytes(b"old")
    path.chmod(0o444)
    program = (
        "import os, sys; from liftgrad import files; os.setuid(12345)\n"
        f"files._UNNAMED = {files._UNNAMED}\n"
        "try: files.write(sys.argv[1], b'new')\n"
        "except PermissionError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, path], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"'{path}' cannot be written (Permission denied); choose another place.\n"
    assert path.read_bytes() == b"old"


@posix
@pytest.mark.process
def test_a_process_that_is_killed_leaves_nothing_for_long(tmp_path, temporary):
    """At most one file next to it, which the next writer removes."""
    path = tmp_path / "a"
    path.write_bytes(b"old")
    program = (
        "import sys; from liftgrad import files\n"
        f"files._UNNAMED = {files._UNNAMED}\n"
        "with files.writing(sys.argv[1]) as file: print(file.write(b'new'), flush=True); input()"
    )
    command = [sys.executable, "-c", program, path]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(2)
    ]
    for process in processes:
        assert process.stdout.readline() == b"3\n"
    processes[0].kill()
    processes[0].communicate()
    assert path.read_bytes() == b"old"
    assert len(names(tmp_path)) == (3 if temporary == "beside" else 1)
    files.write(path, b"newer")
    # The other still writes its own.
    assert len(names(tmp_path)) == (2 if temporary == "beside" else 1)
    processes[1].communicate(b"\n")
    assert processes[1].returncode == 0
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["a"]


def test_many_writers_leave_one_whole_file(tmp_path):
    """Whichever is the last."""
    path = tmp_path / "a"
    contents = [bytes([i]) * 100_000 for i in range(8)]

    def write(content):
        for _ in range(20):
            files.write(path, content)

    threads = [threading.Thread(target=write, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        if path.exists():
            assert path.read_bytes() in contents
    assert path.read_bytes() in contents
    assert names(tmp_path) == ["a"]


def test_a_file_that_loses_its_name_while_it_is_looked_at_is_replaced(tmp_path, monkeypatch):
    """Another writer's new one is never written over."""
    path = tmp_path / "a"
    path.write_bytes(b"old")
    number, stat = path.stat().st_ino, Path.stat

    def unlinked(self, **options):
        found = list(stat(self, **options))
        found[3] = 0
        return os.stat_result(found)

    monkeypatch.setattr(Path, "stat", unlinked)
    files.write(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"new"
    assert path.stat().st_ino != number


def test_a_file_that_is_replaced_between_two_looks_is_no_device(tmp_path, monkeypatch):
    """Whose content would be written over, while others read it."""
    path = tmp_path / "a"
    path.write_bytes(b"old")
    number, samefile, looks = path.stat().st_ino, Path.samefile, []

    def replaced_at_first(self, other):
        looks.append(self)
        return len(looks) > 1 and samefile(self, other)

    monkeypatch.setattr(Path, "samefile", replaced_at_first)
    files.write(path, b"new")
    assert path.read_bytes() == b"new"
    assert path.stat().st_ino != number


def test_a_file_may_be_written_out_of_order(tmp_path):
    """As for a header that describes what follows it."""
    with files.writing(tmp_path / "a") as file:
        file.write(b"?23")
        file.seek(0)
        file.write(b"1")
        file.seek(0, io.SEEK_END)
        file.write(b"4")
    assert (tmp_path / "a").read_bytes() == b"1234"


WRITING = ("write_text", "write_bytes", "savefig", "save_file", "tofile")
KEEPERS = {"files.py", "private_folder.py", "tables.py"}
"""Who may open files to write: the cache's entries and standard input's copy are no outputs."""


def writers(tree):
    """Yield the calls in a module that write a file at a path."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            texts = [x.value for x in node.args if isinstance(x, ast.Constant)]
            opens = name in ("open", "fdopen") and any(set("wxa+") & set(str(x)) for x in texts)
            # A picture is drawn into memory first.
            into_memory = name == "savefig" and ast.unparse(node.args[0]) == "picture"
            if opens or (name in WRITING and not into_memory):
                yield ast.unparse(node)


def test_every_writer_writes_through_files():
    """Whatever the package writes is complete, and keeps its owner and permissions."""
    package = Path(liftgrad.__file__).parent
    found = {
        path.name: list(writers(ast.parse(path.read_text()))) for path in package.rglob("*.py")
    }
    assert {name for name, calls in found.items() if calls} - KEEPERS == set()
    assert len(found["files.py"]) > 3
