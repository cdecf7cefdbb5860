#include "base/interrupt.h"

#include <poll.h>
#include <signal.h>
#include <stddef.h>

#ifdef __linux__
#include <sys/signalfd.h>
#endif

static sigset_t set; /* while they are held */
static bool held;
static int signals = -1; /* made once, readable when one of set has come */
static int request = -1; /* of interrupt_by() */

/* Signals of faults, those that stop or do nothing, and those that we ignore
   from the start. */
static const int others[] = { SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS,
	SIGTRAP, SIGKILL, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGCONT, SIGCHLD,
	SIGURG, SIGWINCH, SIGPIPE, SIGXFSZ };

static bool
ends_us(int number)
{
	size_t i;

	for (i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (others[i] == number)
			return false;
	return true;
}

void
interrupt_by(int fd)
{
	int number;

	request = fd;
	for (number = 1; number <= SIGRTMAX; number++)
		if (ends_us(number))
			signal(number, SIG_IGN);
}

/* As a descriptor that can be polled beside a connection.  Without one a
   signal just waits, for as long as the relay may take. */
static void
open_signals(void)
{
#ifdef __linux__
	if (signals < 0)
		signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
#endif
}

void
interrupt_hold(void)
{
	struct sigaction now;
	int number;

	if (held)
		return;
	held = true;
	sigemptyset(&set);
	for (number = 1; number <= SIGRTMAX; number++)
		if (ends_us(number) && sigaction(number, NULL, &now) == 0 &&
		    now.sa_handler == SIG_DFL)
			sigaddset(&set, number);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	if (request < 0)
		open_signals();
}

void
interrupt_release(void)
{
	if (held)
		pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	held = false;
}

int
interrupt_fd(void)
{
	if (!held)
		return -1;
	return request >= 0 ? request : signals;
}

bool
interrupt_came(void)
{
	struct pollfd p = { .fd = interrupt_fd(), .events = POLLIN };

	return poll(&p, 1, 0) > 0;
}
