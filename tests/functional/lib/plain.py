"""The program without sanitizers, which go badly with strange memory limits,
other allocators and bare roots, and a library that makes allocations fail."""

import atexit
import fcntl
import functools
import os
import pathlib
import shutil
import subprocess
import tempfile

from .onehop import TOP

BUILD = TOP / "build" / "clang"


@functools.cache
def directory():
    """Where what is made here lies until the end."""
    path = tempfile.mkdtemp(prefix="onehop-plain-")
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    pathlib.Path(path).chmod(0o755)
    return pathlib.Path(path)


@functools.cache
def build():
    """The directory of the build with clang, brought up to date by the first
    process of the tests that asks."""
    if not (BUILD / "Makefile").exists():
        raise FileNotFoundError(f"no {BUILD}: run tests/run build")
    with open(BUILD / ".lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run(["make", "-s", "-C", BUILD, "all"], check=True)
    return BUILD


def binary():
    """$ONEHOP_PLAIN, or the program of the build with clang."""
    named = os.environ.get("ONEHOP_PLAIN")
    return pathlib.Path(named).resolve() if named else build() / "onehop"


# Fails allocation number $TORTURE after the call of umask() with which the
# program begins (what libraries do before main() is theirs), with
# $TORTURE_LASTS also every one after it, and writes who wanted it into the
# file $TORTURE_MARK.
FAILING = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static long left = -1;
static int lasts, mark = -1;

mode_t
umask(mode_t mask)
{
	const char *n = getenv("TORTURE");

	/* Later the sandbox forbids it. */
	mark = open(getenv("TORTURE_MARK"), O_WRONLY | O_CREAT | O_CLOEXEC,
	    0600);
	left = n != NULL ? atol(n) : -1;
	lasts = getenv("TORTURE_LASTS") != NULL;
	return (mode_t)syscall(SYS_umask, mask);
}

static int
fails(void *caller)
{
	Dl_info from;

	if (left <= 0 || --left > 0)
		return 0;
	left = -1;
	dprintf(mark, "%s", dladdr(caller, &from) != 0 ? from.dli_fname : "?");
	left = lasts ? 1 : -1;
	errno = ENOMEM;
	return 1;
}

void *
malloc(size_t size)
{
	static void *(*real)(size_t);

	if (real == NULL)
		real = (void *(*)(size_t))dlsym(RTLD_NEXT, "malloc");
	return fails(__builtin_return_address(0)) ? NULL : real(size);
}

void *
realloc(void *p, size_t size)
{
	static void *(*real)(void *, size_t);

	if (real == NULL)
		real = (void *(*)(void *, size_t))dlsym(RTLD_NEXT, "realloc");
	return fails(__builtin_return_address(0)) ? NULL : real(p, size);
}



void *
calloc(size_t count, size_t size)
{
	static void *(*real)(size_t, size_t);

	if (real == NULL)
		real = (void *(*)(size_t, size_t))dlsym(RTLD_NEXT, "calloc");
	return fails(__builtin_return_address(0)) ? NULL : real(count, size);
}
"""


@functools.cache
def failing_allocator():
    """A library for LD_PRELOAD."""
    target = directory() / "failing.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1",
                    "-fno-omit-frame-pointer", "-x", "c", "-", "-o",
                    str(target), "-ldl"], input=FAILING, text=True,
                   check=True)
    return target
