/*
 * System calls, on Linux.  A list of what is denied, not of what is allowed:
 * which calls a C library makes changes with its version, and no message is to
 * be lost over that.  For the same reason a call is denied by an error and
 * does not kill: a denied call of a future library's is one that fails.
 */
#include "sys/sandbox_impl.h"

#if defined(__linux__) && defined(__has_include) && \
    ((defined(__x86_64__) && !defined(__ILP32__)) || \
	(defined(__aarch64__) && defined(__AARCH64EL__)))
#if __has_include(<linux/seccomp.h>)
#define SECCOMP_KNOWN
#endif
#endif

#ifdef SECCOMP_KNOWN

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifdef __x86_64__
#define ARCHITECTURE AUDIT_ARCH_X86_64
#else
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* From 424 on the numbers are the same everywhere; headers may lack them. */
enum {
	NR_PIDFD_SEND_SIGNAL = 424,
	NR_IO_URING_SETUP,
	NR_IO_URING_ENTER,
	NR_IO_URING_REGISTER,
	NR_OPEN_TREE,
	NR_MOVE_MOUNT,
	NR_FSOPEN,
	NR_FSCONFIG,
	NR_FSMOUNT,
	NR_FSPICK,
	NR_PIDFD_OPEN,
	NR_CLONE3,
	NR_OPENAT2 = 437,
	NR_PIDFD_GETFD,
	NR_PROCESS_MADVISE = 440,
	NR_MOUNT_SETATTR = 442,
	NR_QUOTACTL_FD,
	NR_PROCESS_MRELEASE = 448,
	NR_FCHMODAT2 = 452,
	NR_UNKNOWN = 463 /* from here on later than what was looked at */
};

/* Other processes, the system as a whole, rights, waiting for others to
   connect: never needed here. */
static const int never[] = { SYS_execve, SYS_execveat, SYS_process_vm_readv,
	SYS_process_vm_writev, SYS_kcmp, SYS_kill, SYS_tkill,
	SYS_rt_sigqueueinfo, SYS_rt_tgsigqueueinfo, SYS_bpf,
	SYS_perf_event_open, SYS_userfaultfd, SYS_add_key, SYS_request_key,
	SYS_keyctl, SYS_mount, SYS_umount2, SYS_pivot_root, SYS_chroot,
	SYS_setns, SYS_unshare, SYS_personality, SYS_init_module,
	SYS_finit_module, SYS_delete_module, SYS_kexec_load, SYS_reboot,
	SYS_swapon, SYS_swapoff, SYS_acct, SYS_quotactl, SYS_settimeofday,
	SYS_clock_settime, SYS_adjtimex, SYS_clock_adjtime, SYS_sethostname,
	SYS_setdomainname, SYS_syslog, SYS_vhangup, SYS_name_to_handle_at,
	SYS_open_by_handle_at, SYS_fanotify_init, SYS_setuid, SYS_setgid,
	SYS_setreuid, SYS_setregid, SYS_setresuid, SYS_setresgid, SYS_setgroups,
	SYS_setfsuid, SYS_setfsgid, SYS_capset, SYS_shmat, SYS_mknodat,
	SYS_fchmod, SYS_fchmodat, SYS_fchown, SYS_fchownat, SYS_setxattr,
	SYS_lsetxattr, SYS_fsetxattr, SYS_removexattr, SYS_lremovexattr,
	SYS_fremovexattr, SYS_truncate, SYS_linkat, SYS_symlinkat, SYS_listen,
	SYS_accept, SYS_accept4, NR_PIDFD_SEND_SIGNAL, NR_IO_URING_SETUP,
	NR_IO_URING_ENTER, NR_IO_URING_REGISTER, NR_OPEN_TREE, NR_MOVE_MOUNT,
	NR_FSOPEN, NR_FSCONFIG, NR_FSMOUNT, NR_FSPICK, NR_PIDFD_OPEN,
	NR_PIDFD_GETFD, NR_PROCESS_MADVISE, NR_MOUNT_SETATTR, NR_QUOTACTL_FD,
	NR_PROCESS_MRELEASE, NR_FCHMODAT2,
#ifdef __x86_64__
	SYS_fork, SYS_vfork, SYS_mknod, SYS_chmod, SYS_chown, SYS_lchown,
	SYS_link, SYS_symlink, SYS_iopl, SYS_ioperm, SYS_modify_ldt, SYS_uselib
#endif
};

/* How files are made. */
static const int making[] = { SYS_mkdirat, SYS_unlinkat, SYS_renameat,
	SYS_renameat2,
#ifdef __x86_64__
	SYS_creat, SYS_mkdir, SYS_rmdir, SYS_unlink, SYS_rename
#endif
};

/* With SANDBOX_LAST. */
static const int connecting[] = { SYS_socket, SYS_connect, SYS_bind };
static const int opening[] = { SYS_openat,
#ifdef __x86_64__
	SYS_open
#endif
};

/* ---- the program ---- */

/* Twice as many instructions as there are runs of numbers, and some. */
#define LENGTH_MAX 384
#define NUMBERS_MAX 160
/* A jump goes no further than 255 instructions. */
#define RUNS_MAX 120

struct program {
	struct sock_filter code[LENGTH_MAX];
	unsigned short len;
	int numbers[NUMBERS_MAX]; /* denied whatever their arguments */
	size_t count;
};

/* The test suite runs with a filter that tells. */
#ifdef SANDBOX_LOG
#define DENIED SECCOMP_RET_TRAP
#else
#define DENIED SECCOMP_RET_ERRNO
#endif

static void
add(struct program *p, unsigned code, uint32_t k, size_t yes, size_t no)
{
	if (p->len < LENGTH_MAX)
		p->code[p->len++] = (struct sock_filter){ (uint16_t)code,
			(uint8_t)yes, (uint8_t)no, k };
}

static void
answer(struct program *p, uint32_t action)
{
	add(p, BPF_RET | BPF_K, action, 0, 0);
}

static void
deny(struct program *p, const int *numbers, size_t count)
{
	size_t i;

	for (i = 0; i < count && p->count < NUMBERS_MAX; i++)
		p->numbers[p->count++] = numbers[i];
}

/* The lower half of an argument: all of those below are an int's. */
static void
load_argument(struct program *p, unsigned which)
{
	add(p, BPF_LD | BPF_W | BPF_ABS,
	    (uint32_t)offsetof(struct seccomp_data, args) + which * 8, 0, 0);
}

/* Denied if any bit (or, with none, no bit) of the argument is set. */
static void
deny_bits(struct program *p, int number, unsigned which, uint32_t bits,
    bool none)
{
	add(p, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 4);
	load_argument(p, which);
	add(p, BPF_JMP | BPF_JSET | BPF_K, bits, none, !none);
	answer(p, DENIED | EACCES);
	answer(p, SECCOMP_RET_ALLOW);
}

/* Keystrokes for whoever reads the terminal next. */
static void
deny_typing(struct program *p)
{
	add(p, BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 5);
	load_argument(p, 1);
	add(p, BPF_JMP | BPF_JEQ | BPF_K, TIOCSTI, 1, 0);
	add(p, BPF_JMP | BPF_JEQ | BPF_K, TIOCLINUX, 0, 1);
	answer(p, DENIED | EACCES);
	answer(p, SECCOMP_RET_ALLOW);
}

/* Names are looked up by way of these families. */
static void
limit_sockets(struct program *p)
{
	add(p, BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 7);
	load_argument(p, 0);
	add(p, BPF_JMP | BPF_JEQ | BPF_K, AF_UNIX, 4, 0);
	add(p, BPF_JMP | BPF_JEQ | BPF_K, AF_INET, 3, 0);
	add(p, BPF_JMP | BPF_JEQ | BPF_K, AF_INET6, 2, 0);
	add(p, BPF_JMP | BPF_JEQ | BPF_K, AF_NETLINK, 1, 0);
	answer(p, DENIED | EAFNOSUPPORT);
	answer(p, SECCOMP_RET_ALLOW);
}

/* Leaves the number to be looked at, where there is more to say of it. */
static void
begin(struct program *p)
{
	add(p, BPF_LD | BPF_W | BPF_ABS,
	    (uint32_t)offsetof(struct seccomp_data, arch), 0, 0);
	add(p, BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0);
	answer(p, DENIED | ENOSYS);
	add(p, BPF_LD | BPF_W | BPF_ABS,
	    (uint32_t)offsetof(struct seccomp_data, nr), 0, 0);
	/* As an older kernel would answer: a library tries another way.  The
	   structures of the first two cannot be looked into. */
	add(p, BPF_JMP | BPF_JEQ | BPF_K, NR_CLONE3, 2, 0);
	add(p, BPF_JMP | BPF_JEQ | BPF_K, NR_OPENAT2, 1, 0);
	add(p, BPF_JMP | BPF_JGE | BPF_K, NR_UNKNOWN, 0, 1);
	answer(p, SECCOMP_RET_ERRNO | ENOSYS);
}

static int
by_number(const void *a, const void *b)
{
	const int *left = a, *right = b;

	return *left - *right;
}

/*
 * Runs of numbers in order: few instructions, as the kernel follows them once
 * for each call that there is, to know those that are allowed in any case.
 */
static bool
end(struct program *p)
{
	struct {
		int first, last;
	} runs[RUNS_MAX];
	size_t n = 0, i;

	qsort(p->numbers, p->count, sizeof(p->numbers[0]), by_number);
	for (i = 0; i < p->count; i++)
		if (n > 0 && p->numbers[i] <= runs[n - 1].last + 1)
			runs[n - 1].last = p->numbers[i];
		else if (n == RUNS_MAX)
			return false;
		else
			runs[n].first = runs[n].last = p->numbers[i], n++;
	for (i = 0; i < n; i++) {
		add(p, BPF_JMP | BPF_JGT | BPF_K, (uint32_t)runs[i].last, 1, 0);
		add(p, BPF_JMP | BPF_JGE | BPF_K, (uint32_t)runs[i].first,
		    2 * (n - i - 1) + 1, 2 * (n - i - 1));
	}
	answer(p, SECCOMP_RET_ALLOW);
	answer(p, DENIED | EACCES);
	return p->count < NUMBERS_MAX && p->len < LENGTH_MAX;
}

static void
limit_files(struct program *p, const struct sandbox *s)
{
	/* The leak check reads there what it is about to report. */
#if defined(__SANITIZE_ADDRESS__)
	bool reads = true;
#else
	bool reads = s->level == SANDBOX_AGAIN;
#endif
	size_t i;

	if (s->directory_count > 0)
		return;
	deny(p, making, COUNT(making));
	if (!reads)
		deny(p, opening, COUNT(opening));
	for (i = 0; reads && i < COUNT(opening); i++)
		deny_bits(p, opening[i], opening[i] == SYS_openat ? 2 : 1,
		    O_WRONLY | O_RDWR | O_CREAT | O_TRUNC, false);
}

static bool
write_program(struct program *p, const struct sandbox *s)
{
	p->len = 0;
	p->count = 0;
	begin(p);
#if !defined(__SANITIZE_ADDRESS__)
	/* The leak check is a process that traces this one. */
	deny(p, (int[]){ SYS_ptrace }, 1);
	deny_bits(p, SYS_clone, 0, CLONE_THREAD, true);
#endif
	deny(p, never, COUNT(never));
	deny_typing(p);
	limit_files(p, s);
	if (s->level == SANDBOX_LAST) {
		deny(p, connecting, COUNT(connecting));
		/* No library is loaded any more, and no other code comes. */
		deny_bits(p, SYS_mmap, 2, PROT_EXEC, false);
		deny_bits(p, SYS_mprotect, 2, PROT_EXEC, false);
		deny_bits(p, SYS_pkey_mprotect, 2, PROT_EXEC, false);
	} else {
		limit_sockets(p);
	}
	return end(p);
}

/* ---- for the tests ---- */

#ifdef SANDBOX_LOG

#include <signal.h>
#include <stdio.h>
#include <sys/ucontext.h>

/* Says so, and fails as the call would have. */
static void
tell(int signal, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	char line[64];
	int len;
	ssize_t ignored;

	(void)signal;
	len = snprintf(line, sizeof(line), "sandbox: denied system call %d\n",
	    info->si_syscall);
	ignored = write(STDERR_FILENO, line, (size_t)len);
	(void)ignored;
#ifdef __x86_64__
	uc->uc_mcontext.gregs[REG_RAX] = -info->si_errno;
#else
	uc->uc_mcontext.regs[0] = (uint64_t)-info->si_errno;
#endif
}

static void
prepare_telling(void)
{
	struct sigaction act = { .sa_sigaction = tell, .sa_flags = SA_SIGINFO };

	sigaction(SIGSYS, &act, NULL);
}

#else

static void
prepare_telling(void)
{
}

#endif

/* ---- */

bool
sandbox_seccomp_there(void)
{
	uint32_t action = SECCOMP_RET_ERRNO;

	return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

bool
sandbox_seccomp(const struct sandbox *s)
{
	struct program p;
	struct sock_fprog prog = { .filter = p.code };

	if (!write_program(&p, s) ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return false;
	prog.len = p.len;
	prepare_telling();
	/* Threads that still look up a name, too. */
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
		   SECCOMP_FILTER_FLAG_TSYNC, &prog) == 0;
}

#else

bool
sandbox_seccomp_there(void)
{
	return false;
}

bool
sandbox_seccomp(const struct sandbox *s)
{
	(void)s;
	return false;
}

#endif
