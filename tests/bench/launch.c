/*
 * launch: runs a command and says what each run took, from a process so small
 * that nothing of it shows in the numbers of its children.
 *
 *   launch [-n RUNS] [-j JOBS] [-i FILE | -p BYTES] [-o FILE] COMMAND...
 *
 * runs it RUNS times, JOBS at once, with FILE on standard input or a pipe that
 * gives a message of BYTES, and standard output to FILE.  One line for each run: wall, user and system time
 * in microseconds, peak memory in KiB, and status (128 and the number of the
 * signal); then one more with the wall time of all.
 */
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define JOBS_MAX 256

/* One paragraph of what goes through the pipe. */
static const char header[] = "From: sender@example.org\n"
			     "To: recipient@example.net\n"
			     "Subject: bulk\n\n";
static const char paragraph[] =
    "VGhlIHF1aWNrIGJyb3duIGZveCBqdW1wcyBvdmVyIHRoZSBsYXp5IGRvZyBhbmQgcnVucwo\n"
    "It was a dark and stormy night. The rain fell in torrents, except at\n"
    ".this line begins with a dot and is one byte longer on the wire, 1 of 8\n"
    "occasional intervals, when it was checked by a violent gust of wind which\n"
    "QW5kIHRoZSBkYXkgY2FtZSB1cCBvdmVyIHRoZSBoaWxscywgY29sZCBhbmQgYnJpZ2h0Lgo\n"
    "swept up the streets. It is in London that our scene lies, rattling along\n"
    "\n"
    "the housetops, and fiercely agitating the scanty flame of the lamps.\n";

struct run {
	pid_t pid;
	long long start;
};

struct plan {
	int runs, jobs;
	const char *file, *output;
	long long bytes; /* of a pipe; 0: none */
	char **command;
};

extern char **environ;

static long long
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (long long)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static long long
microseconds(struct timeval t)
{
	return (long long)t.tv_sec * 1000000 + t.tv_usec;
}

/* Writes a message of so many bytes; the process ends here. */
static _Noreturn void
feed(int fd, long long bytes)
{
	const size_t len = sizeof(paragraph) - 1;
	static char block[128 * sizeof(paragraph)];
	size_t size = 0, first = sizeof(header) - 1;
	long long n;

	while (size + len <= sizeof(block)) {
		memcpy(block + size, paragraph, len);
		size += len;
	}
	if (write(fd, header, first) < 0)
		_exit(1);
	for (bytes -= (long long)first; bytes > 0; bytes -= n) {
		n = bytes < (long long)size ? bytes : (long long)size;
		n = write(fd, block, (size_t)n);
		if (n < 0)
			_exit(1);
	}
	_exit(0);
}

static int
open_pipe(const struct plan *plan)
{
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) != 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		close(ends[0]);
		feed(ends[1], plan->bytes);
	}
	close(ends[1]);
	return pid < 0 ? -1 : ends[0];
}

static int
start(const struct plan *plan, struct run *run)
{
	posix_spawn_file_actions_t actions;
	int fd, error;

	fd = plan->bytes > 0 ? open_pipe(plan) :
			       open(plan->file, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fd, STDIN_FILENO);
	posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, plan->output,
	    O_WRONLY | O_CREAT | O_TRUNC, 0600);
	run->start = now();
	error = posix_spawnp(&run->pid, plan->command[0], &actions, NULL,
	    plan->command, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(fd);
	return error == 0 ? 0 : -1;
}

/* Waits for one of ours, and reports it; other children fed a pipe. */
static int
reap(struct run *runs, int jobs)
{
	struct rusage used;
	long long end;
	int i, status;
	pid_t pid;

	for (;;) {
		pid = wait4(-1, &status, 0, &used);
		end = now();
		if (pid < 0)
			return -1;
		for (i = 0; i < jobs && runs[i].pid != pid; i++)
			continue;
		if (i < jobs)
			break;
	}
	status = WIFEXITED(status) ? WEXITSTATUS(status) :
				     128 + WTERMSIG(status);
	printf("%lld %lld %lld %ld %d\n", end - runs[i].start,
	    microseconds(used.ru_utime), microseconds(used.ru_stime),
	    used.ru_maxrss, status);
	runs[i].pid = 0;
	return i;
}

static int
carry_out(const struct plan *plan)
{
	struct run runs[JOBS_MAX] = { { 0, 0 } };
	long long begin = now();
	int started = 0, ended = 0, slot;

	while (ended < plan->runs) {
		if (started - ended < plan->jobs && started < plan->runs) {
			for (slot = 0; runs[slot].pid != 0; slot++)
				continue;
			if (start(plan, &runs[slot]) != 0)
				return -1;
			started++;
		} else if (reap(runs, plan->jobs) < 0) {
			return -1;
		} else {
			ended++;
		}
	}
	printf("%lld\n", now() - begin);
	return 0;
}

int
main(int argc, char **argv)
{
	struct plan plan = { 1, 1, "/dev/null", "/dev/null", 0, NULL };
	int option;

	while ((option = getopt(argc, argv, "+n:j:i:o:p:")) != -1) {
		if (option == 'n')
			plan.runs = atoi(optarg);
		else if (option == 'j')
			plan.jobs = atoi(optarg);
		else if (option == 'i')
			plan.file = optarg;
		else if (option == 'o')
			plan.output = optarg;
		else if (option == 'p')
			plan.bytes = atoll(optarg);
		else
			return 2;
	}
	plan.command = argv + optind;
	if (optind == argc || plan.jobs < 1 || plan.jobs > JOBS_MAX)
		return 2;
	signal(SIGPIPE, SIG_IGN);
	if (carry_out(&plan) != 0) {
		perror(plan.command[0]);
		return 1;
	}
	return 0;
}
