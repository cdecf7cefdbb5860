"""A copy of the program with a configuration directory of its own, installed
as root:GROUP 2755 or otherwise, and run as somebody else.

It is compiled without sanitizers: they and setgid do not go together.
"""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile

from . import plain
from .onehop import MINIMAL_ENV, TOP, Onehop, Result, binary

NOBODY = 65534
# Base-passwd has it on every Debian system, and nothing here is its own.
GROUP = 60
WARNINGS = ["-std=c17", "-D_GNU_SOURCE", "-O1", "-g", "-fPIE"]
PLACES = ("SYSCONFDIR", "LIBEXECDIR")


def _definitions():
    """What configure has found out for the build that is tested."""
    text = (binary().parent / "Makefile").read_text()
    words = re.search(r"^DEFS = (.*)$", text, re.M)[1]
    return [word.replace('\\"', '"').replace("\\ ", " ")
            for word in re.findall(r"(?:\\.|[^ ])+", words)]


def build(sysconfdir):
    """The program for that directory: the plain build, whose sandbox tells
    what it denies, but for the files that know the directory."""
    built = plain.build()
    target = pathlib.Path(tempfile.mkdtemp(dir=plain.directory()))
    sources = [path for path in (TOP / "src").rglob("*.c")
               if path.name != "onehop-keyring.c"
               and any(word in path.read_text() for word in PLACES)]
    subprocess.run(
        ["gcc", *WARNINGS, *_definitions(),
         *(f'-D{word}="{sysconfdir}"' for word in PLACES),
         f"-I{TOP}/src", f"-I{TOP}/compat", "-c", *sources],
        check=True, cwd=target)
    libraries = subprocess.run(
        ["pkg-config", "--libs", "gnutls", "libidn2"], check=True,
        capture_output=True, text=True).stdout.split()
    objects = [*target.glob("*.o"), built / "libonehop.a"]
    if not (target / "main.o").exists():
        objects.insert(0, built / "src" / "cli" / "main.o")
    # Bound at once, as it is shipped: the linker's help at the first call of
    # a function leaves registers, and what of a secret is in them, on the
    # stack.
    subprocess.run(["gcc", "-pie", *objects, "-Wl,--as-needed,-z,relro,-z,now",
                    *libraries, "-o", target / "onehop"], check=True)
    return target / "onehop"


def build_keyring(path):
    """onehop-keyring, which the program built for a directory looks for
    there."""
    words = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "libsecret-1"], check=True,
        capture_output=True, text=True).stdout.split()
    subprocess.run(["gcc", *WARNINGS, *_definitions(),
                    TOP / "src" / "helper" / "onehop-keyring.c", *words, "-o", path],
                   check=True)


class Installation:
    """DIRECTORY/bin/onehop, DIRECTORY/etc, and DIRECTORY/home for the caller,
    whose uid and gid are NOBODY's."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.etc = self.directory / "etc"
        self.home = self.directory / "home"
        self.program = self.directory / "bin" / "onehop"
        for path in (self.etc, self.program.parent, self.home):
            path.mkdir()
            path.chmod(0o755)
        os.chown(self.home, NOBODY, NOBODY)
        self.built = build(self.etc)
        self.install()

    def install(self, mode=0o2755, name="onehop"):
        """Another copy; its path."""
        path = self.program.parent / name
        shutil.copyfile(self.built, path)
        os.chown(path, 0, GROUP)
        path.chmod(mode)
        return path

    def write(self, name, text, mode=0o640):
        """A file of root's that the group can read."""
        path = self.etc / name
        path.write_text(text)
        os.chown(path, 0, GROUP)
        path.chmod(mode)
        return path

    def start(self, argv=(), stdin=subprocess.PIPE, env=None, program=None,
              uid=NOBODY, **how):
        """The program, run by the caller."""
        how = {"cwd": self.home, "stdout": subprocess.PIPE, **how}
        return subprocess.Popen(
            [str(program or self.program), *argv], stdin=stdin,
            stderr=subprocess.PIPE, user=uid,
            group=how.pop("gid", uid), extra_groups=[],
            env={**MINIMAL_ENV, **(env or {})}, start_new_session=True, **how)

    def run(self, argv=(), stdin=b"", **how):
        process = self.start(argv, **how)
        return self.finish(process, stdin)

    @staticmethod
    def finish(process, stdin=None):
        return Onehop.finish(None, process, stdin, 30)


__all__ = ["GROUP", "NOBODY", "Installation", "Result"]
