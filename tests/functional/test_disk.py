"""What disks do: every system call of the files backend and of the log
fails, or is the last one. A message is there whole or not at all, success is
said only when it is, and a log never changes an outcome."""

import fcntl
import os
import re
import shutil
import socket
import subprocess

import pytest

from fake.sink import MESSAGE, Sink
from lib import deadnet, inject
from lib import onehop as program

needs_strace = pytest.mark.skipif(not inject.available(),
                                  reason="strace may not trace here")
needs_mounts = pytest.mark.skipif(not deadnet.available(),
                                  reason="no mount namespaces here")

TAIL = b"the last line of a message that is whole\n"
LONG = MESSAGE + b"x" * 70 + b"\n" + b"0123456789abcdef" * 4 * 3000 + b"\n" \
    + TAIL
STATUS = {"ENOSPC": 75, "EDQUOT": 75, "EIO": 74, "EROFS": 73}


def config(onehop, form="eml"):
    """A files account that logs."""
    return onehop.write_config(
        f"backend files\nfiles_path {onehop.directory}/out\n"
        f"files_format {form}\nfrom a@example.org\n"
        f"logfile {onehop.directory}/log\n")


def stored(onehop):
    """What others may see: whole messages, or none; temporary files too."""
    out = onehop.directory / "out"
    found = [path for path in out.rglob("*")
             if path.is_file() and path.parent.name != "tmp"
             and not path.name.startswith(".")]
    for path in found:
        data = path.read_bytes()
        assert data.startswith(b"Return-Path: <a@example.org>\n"), path
        assert data.endswith(TAIL), f"{path}: not whole"
    return found


def temporary(onehop):
    return [path for path in (onehop.directory / "out").rglob("*")
            if path.is_file() and (path.parent.name == "tmp"
                                   or path.name.startswith("."))]


def clear(onehop):
    shutil.rmtree(onehop.directory / "out", ignore_errors=True)
    (onehop.directory / "log").unlink(missing_ok=True)


def backend_calls(onehop, argv):
    """Those from making the directory on, the log's first, and the rest; the
    sandbox, which opens with O_PATH, does what it can."""
    result, lines = inject.run(onehop, argv, LONG)
    assert result.status == 0, result
    every = list(inject.calls(lines))
    first = next(i for i, call in enumerate(every) if call[0] == "mkdirat")
    log = next(i for i, call in enumerate(every) if call[0] == "flock")
    names = {"mkdirat", "openat", "write", "fsync", "renameat", "getrandom"}
    backend = [call[:2] for call in every[first:log] if call[0] in names
               and (call[0] != "openat" or call[2][0].isdigit()
                    or "/out" in call[2]) and "O_PATH" not in call[2]]
    log_open = [call[:2] for call in every[:first]
                if call[0] == "openat" and "/log" in call[2]]
    logging = [call[:2] for call in every[log:]
               if call[0] in ("flock", "write", "close")]
    every = [call[:2] for call in every[first:]]
    return backend, log_open + logging, every


@needs_strace
@pytest.mark.parametrize("form", ["eml", "maildir"])
def test_every_call_of_the_backend_fails(form, onehop):
    """Threats row 192."""
    argv = ["-C", config(onehop, form), "x@example.net"]
    backend, _, _ = backend_calls(onehop, argv)
    assert sum(name == "write" for name, _ in backend) > 2
    assert sum(name == "fsync" for name, _ in backend) == 2
    for number, (name, count) in enumerate(backend):
        # Every error at one call in turn, all of them at the syncs.
        errors = list(STATUS) if name in ("fsync", "renameat") \
            else [list(STATUS)[number % len(STATUS)]]
        for error in errors:
            clear(onehop)
            result, _ = inject.run(onehop, argv, LONG,
                                   inject.failing(name, count, error))
            where = f"{name} number {count}: {error}: {result}"
            if name == "getrandom":
                assert result.status in (71, STATUS[error]), where
            elif name == "mkdirat":
                assert result.status in STATUS.values(), where
            else:
                assert result.status == STATUS[error], where
            assert not stored(onehop) and not temporary(onehop), where
            assert result.err.count("\n") == 1, where


@needs_strace
def test_the_log_fails(onehop):
    """Threats row 187: the outcome is what it was."""
    argv = ["-C", config(onehop), "x@example.net"]
    _, log, _ = backend_calls(onehop, argv)
    assert len(log) >= 4
    for number, (name, count) in enumerate(log):
        error = list(STATUS)[number % len(STATUS)]
        clear(onehop)
        result, _ = inject.run(onehop, argv, LONG,
                               inject.failing(name, count, error))
        assert result.status == 0, f"{name} {count}: {error}: {result}"
        assert len(stored(onehop)) == 1
        assert result.err.count("\n") <= 1
        if name in ("write", "openat"):
            record = result.err
            if (onehop.directory / "log").exists():
                record += (onehop.directory / "log").read_text()
            assert record.count("exitcode=EX_OK") == 1, (name, count, result)


@needs_strace
@pytest.mark.parametrize("form", ["eml", "maildir"])
def test_killed_at_every_call(form, onehop):
    """Threats row 193: whole or nothing, and whole before success."""
    argv = ["-C", config(onehop, form), "x@example.net"]
    _, _, every = backend_calls(onehop, argv)
    whole = 0
    for name, count in every:
        if name in ("exit_group", "mmap", "munmap"):
            continue
        clear(onehop)
        result, _ = inject.run(onehop, argv, LONG,
                               inject.killing(name, count))
        assert result.status in (-9, 137), result
        whole += len(stored(onehop))
    assert whole >= 3


@needs_strace
def test_the_order_of_syncs(onehop):
    """Threats row 194: data, then its name, then the name's directory."""
    argv = ["-C", config(onehop), "x@example.net"]
    _, lines = inject.run(onehop, argv, LONG,
                          ["-y", "-e", "trace=fsync,renameat,write"])
    order = [line.split("(")[0] + ("" if ".tmp>" in line else " other")
             for line in lines if line.startswith(("fsync", "rename"))]
    assert order == ["fsync", "renameat other", "fsync other"]
    writes = [i for i, line in enumerate(lines)
              if line.startswith("write") and ".tmp>" in line]
    first = next(i for i, line in enumerate(lines)
                 if line.startswith("fsync"))
    assert max(writes) < first


def in_tmpfs(onehop, options, argv, stdin, directory="out"):
    """A run where that directory is a tiny file system; what is in it after
    the run comes on standard output."""
    path = onehop.directory / directory
    path.mkdir(exist_ok=True)
    script = (f"mount -t tmpfs -o {options} none {path} && "
              f'{{ "$@"; status=$?; ls -A {path}; exit $status; }}')
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", str(program.binary()),
         *argv], input=stdin, capture_output=True, check=False, timeout=30,
        env={**program.MINIMAL_ENV, **program.SANITIZER_ENV,
             "PATH": os.environ["PATH"], "TMPDIR": str(path)})
    result = program.Result(argv, done.returncode, done.stdout, done.stderr)
    program.check_sanitizers(result)
    return result


@needs_mounts
@pytest.mark.parametrize("options", ["size=16k", "nr_inodes=1", "ro"])
def test_a_disk_that_is_full(options, onehop):
    """Threats rows 192 and 196, with a real file system."""
    result = in_tmpfs(onehop, options,
                      ["-C", config(onehop), "x@example.net"], LONG)
    assert result.status == (73 if options == "ro" else 75), result
    assert result.out == "" and result.err.count("\n") == 1


@needs_mounts
def test_no_room_for_a_temporary_file(onehop):
    """Threats row 202: the input is larger than memory may be."""
    with Sink() as sink:
        config_path = onehop.write_config(sink.config)
        body = MESSAGE + b"0123456789abcde\n" * (3 << 16)
        result = in_tmpfs(onehop, "size=16k", ["-C", config_path, "a@b.org"],
                          body, "tmp")
    assert result.status in (0, 75), result
    assert len(sink.messages) == (result.status == 0)
    if sink.messages:
        assert len(sink.message) == len(body) + body.count(b"\n")
    assert result.out == ""


@pytest.mark.parametrize("bytes_left", [0, 1, 100])
def test_a_limit_on_file_sizes(bytes_left, onehop):
    """Threats row 188."""
    argv = ["-C", config(onehop), "x@example.net"]
    script = 'ulimit -f 0; exec "$@"'
    if bytes_left:
        script = f'prlimit --fsize={bytes_left} --pid $$; exec "$@"'
    done = subprocess.run(
        ["sh", "-c", script, "sh", str(program.binary()), *argv], input=LONG,
        capture_output=True, check=False, timeout=30,
        env={**program.MINIMAL_ENV, **program.SANITIZER_ENV})
    assert done.returncode == 75, done
    assert not stored(onehop) and not temporary(onehop)


@pytest.mark.parametrize("limit", [0, 1, 50])
def test_a_limit_on_the_log(limit, onehop):
    """Threats rows 188 and 190: the message goes; a record that does not
    fit is no record."""
    log = onehop.directory / "log"
    with Sink() as sink:
        path = onehop.write_config(sink.config + f"logfile {log}\n")
        done = subprocess.run(
            ["prlimit", f"--fsize={limit}", str(program.binary()), "-C", path,
             "a@example.net"], input=MESSAGE, capture_output=True,
            check=False, timeout=30,
            env={**program.MINIMAL_ENV, **program.SANITIZER_ENV})
    assert done.returncode == 0 and len(sink.messages) == 1, done
    assert done.stderr.count(b"\n") == 1 and str(log).encode() in done.stderr
    assert b"exitcode=EX_OK" in done.stderr
    assert log.read_bytes() == b""


@pytest.mark.parametrize("log", ["/dev/full", "/nonexistent/log", "/",
                                 "/proc/self/mounts/x"])
def test_a_log_that_cannot_be(log, onehop):
    """Threats row 187."""
    with Sink() as sink:
        result = onehop.run(["a@example.net"], stdin=MESSAGE,
                            config=sink.config + f"logfile {log}\n")
    assert result.status == 0 and len(sink.messages) == 1
    assert result.err.count("\n") == 1 and log in result.err
    assert "exitcode=EX_OK" in result.err


def test_a_log_that_is_a_fifo_without_a_reader(onehop, tmp_path):
    """Threats row 162: opening it does not wait."""
    os.mkfifo(tmp_path / "fifo")
    with Sink() as sink:
        result = onehop.run(["a@example.net"], stdin=MESSAGE, timeout=10,
                            config=f"{sink.config}logfile {tmp_path}/fifo\n")
    assert result.status == 0 and len(sink.messages) == 1
    assert "fifo" in result.err


def test_a_log_that_somebody_has_locked(onehop, tmp_path):
    """Threats row 189: nobody waits for the one that holds it."""
    log = tmp_path / "log"
    with open(log, "w", encoding="ascii") as holder, Sink() as sink:
        fcntl.flock(holder, fcntl.LOCK_EX)
        result = onehop.run(["a@example.net"], stdin=MESSAGE, timeout=10,
                            config=f"{sink.config}logfile {log}\n")
    assert (result.status, result.err) == (0, "")
    assert log.read_text().count("exitcode=EX_OK") == 1


@needs_mounts
@pytest.mark.parametrize("kind", ["absent", "full", "refusing",
                                  "listening"])
def test_syslog(kind, onehop, tmp_path):
    """Threats row 191: nothing hangs."""
    where = tmp_path / "syslog"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        if kind != "absent":
            server.bind(str(where))
        if kind == "refusing":
            server.close()
        if kind == "full":
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
                client.setblocking(False)
                client.connect(str(where))
                with pytest.raises(BlockingIOError):
                    while True:
                        client.send(b"x")
        script = ("mount -t tmpfs none /dev && mknod /dev/null c 1 3 && "
                  "chmod 666 /dev/null && mknod /dev/urandom c 1 9 && "
                  f'ln -s {where} /dev/log && exec "$@"')
        with Sink() as sink:
            path = onehop.write_config(sink.config + "syslog on\n")
            done = subprocess.run(
                ["unshare", "-m", "sh", "-c", script, "sh",
                 str(program.binary()), "-C", path, "a@example.net"],
                input=MESSAGE, capture_output=True, check=False, timeout=15,
                env={**program.MINIMAL_ENV, **program.SANITIZER_ENV,
                     "PATH": os.environ["PATH"]})
        if kind == "listening":
            assert re.fullmatch(
                rb"<14>\w{3} [ \d]\d \d\d:\d\d:\d\d onehop\[\d+\]: "
                rb"host=.*exitcode=EX_OK.*", server.recv(65536))
    assert done.returncode == 0 and len(sink.messages) == 1, done
    assert done.stderr.count(b"\n") == (kind == "full")
