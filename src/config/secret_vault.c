/* A secret that waits in the kernel until it is needed. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/failure.h"
#include "config/secret.h"

/* A pipe holds SECRET_MAX bytes whatever its size: PIPE_BUF times 16 is the
   least that Linux gives unless the user has very many pipes. */
static bool
fill(struct secret_vault *v, const struct buf *secret)
{
	return write(v->fd[1], buf_str(secret), secret->len) ==
	    (ssize_t)secret->len;
}

bool
secret_put_away(struct secret_vault *v, struct buf *secret, struct failure *f)
{
	if (pipe2(v->fd, O_CLOEXEC | O_NONBLOCK) != 0)
		return failure_set(f, FAIL_TEMP, "cannot make a pipe: %s",
		    strerror(errno));
	v->len = secret->len;
	v->used = fill(v, secret);
	buf_free(secret);
	if (v->used)
		return true;
	secret_vault_free(v);
	return failure_set(f, FAIL_TEMP, "cannot put the password away");
}

bool
secret_fetch(struct secret_vault *v, struct buf *out, struct failure *f)
{
	unsigned char *room = buf_reserve(out, v->len);
	ssize_t n;

	if (room == NULL)
		return failure_set(f, FAIL_SOFTWARE, "no room for a password");
	do {
		n = read(v->fd[0], room, v->len);
	} while (n < 0 && errno == EINTR);
	if (n != (ssize_t)v->len)
		return failure_set(f, FAIL_SOFTWARE, "the password is gone");
	out->len += v->len;
	buf_terminate(out);
	/* For the next connection. */
	return fill(v, out) ||
	    failure_set(f, FAIL_SOFTWARE, "cannot put the password away");
}

void
secret_vault_free(struct secret_vault *v)
{
	if (!v->used && v->fd[0] == v->fd[1])
		return;
	close(v->fd[0]);
	close(v->fd[1]);
	v->fd[0] = v->fd[1] = 0;
	v->used = false;
}
