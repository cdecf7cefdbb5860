"""The program without sanitizers, which go badly with strange memory limits,
other allocators and bare roots, and a library that makes allocations fail."""

import atexit
import functools
import os
import pathlib
import shutil
import subprocess
import tempfile

from .onehop import TOP

DEFINES = ["-D_GNU_SOURCE", "-DHAVE_EXPLICIT_BZERO", "-DHAVE_CLOSE_RANGE",
           '-DPACKAGE_VERSION="test"', '-DSYSCONFDIR="/nonexistent"',
           '-DLIBEXECDIR="/nonexistent"']


@functools.cache
def directory():
    """Where what is made here lies until the end."""
    path = tempfile.mkdtemp(prefix="onehop-plain-")
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    pathlib.Path(path).chmod(0o755)
    return pathlib.Path(path)


@functools.cache
def binary():
    """$ONEHOP_PLAIN, the build with clang when it is no older than the
    sources, or one made here."""
    named = os.environ.get("ONEHOP_PLAIN")
    if named:
        return pathlib.Path(named).resolve()
    sources = sorted((TOP / "src").rglob("*.[ch]"))
    built = TOP / "build" / "clang" / "onehop"
    if built.exists() and all(path.stat().st_mtime < built.stat().st_mtime
                              for path in sources):
        return built
    target = directory() / "onehop"
    subprocess.run(
        ["gcc", "-std=c17", "-O1", *DEFINES, f"-I{TOP}/src",
         f"-I{TOP}/compat",
         *(str(path) for path in sources
           if path.suffix == ".c" and path.name != "onehop-keyring.c"),
         "-lgnutls", "-lidn2", "-lpthread", "-o", str(target)], check=True)
    return target


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
