/* The files backend: one file per message, whole or not at all. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/identity.h"
#include "base/interrupt.h"
#include "config/settings.h"
#include "deliver/envelope.h"
#include "deliver/transport.h"
#include "message/message.h"
#include "sys/sandbox.h"

#define FILES_BLOCK 65536
/* Where a header line is folded (RFC 5322 section 2.1.1). */
#define FILES_COLUMNS 78

struct file {
	int dir;	 /* files_path */
	char *temporary; /* relative to dir */
	char *final;
	char *final_dir; /* directory of final, relative to dir */
	int fd;
	struct buf out;
};

/* Full disks pass, missing directories and permissions do not. */
static bool
file_failed(struct failure *f, const char *what, const char *path)
{
	enum fail_class class = FAIL_CANTCREATE;

	switch (errno) {
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
	case EMFILE:
	case ENFILE:
	case ENOMEM:
		class = FAIL_TEMP;
		break;
	case EIO:
		class = FAIL_IO;
		break;
	}
	failure_set(f, class, "cannot %s '%s': %s", what, path,
	    strerror(errno));
	if (errno == EACCES || errno == ENOENT || errno == EROFS)
		failure_hint(f, "check the keyword 'files_path'");
	return false;
}

static bool
make_directory(int at, const char *name)
{
	return mkdirat(at, name, 0700) == 0 || errno == EEXIST;
}

static bool
open_directory(struct file *file, const char *path, bool maildir,
    struct failure *f)
{
	make_directory(AT_FDCWD, path);
	file->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (file->dir < 0)
		return file_failed(f, "open directory", path);
	if (maildir &&
	    (!make_directory(file->dir, "tmp") ||
		!make_directory(file->dir, "new") ||
		!make_directory(file->dir, "cur")))
		return file_failed(f, "make a Maildir of", path);
	return true;
}

/* Unpredictable and unique (the Maildir rules and rule R12 alike). */
static bool
choose_names(struct file *file, bool maildir, struct failure *f)
{
	unsigned long long unique;
	time_t now = time(NULL);
	char stamp[32] = "", *host, *p;
	struct tm tm;

	if (getrandom(&unique, sizeof(unique), 0) != sizeof(unique))
		return failure_set(f, FAIL_OS, "no random numbers: %s",
		    strerror(errno));
	if (maildir) {
		host = identity_host(true);
		/* A '/' or ':' cannot be in a file name there; identity has
		   checked that it is a host name. */
		p = mem_printf("%lld.R%016llx.%s", (long long)now, unique,
		    host != NULL ? host : "localhost");
		file->temporary = mem_printf("tmp/%s", p);
		file->final = mem_printf("new/%s", p);
		file->final_dir = mem_strdup("new");
		free(p);
		free(host);
		return true;
	}
	if (localtime_r(&now, &tm) != NULL)
		strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%S", &tm);
	file->temporary = mem_printf(".%s-%016llx.tmp", stamp, unique);
	file->final = mem_printf("%s-%016llx.eml", stamp, unique);
	file->final_dir = mem_strdup(".");
	return true;
}

static bool
write_out(struct file *file, struct failure *f)
{
	if (!file_write_all(file->fd, file->out.data, file->out.len))
		return file_failed(f, "write", file->temporary);
	buf_clear(&file->out);
	return true;
}

/* Files have local line ends: CR goes, a chunk never splits a CRLF.  No piece
   is longer than what there is room for. */
static bool
add_canonical(struct file *file, const unsigned char *p, size_t len,
    struct failure *f)
{
	const unsigned char *end = p + len, *cr;

	while (p < end) {
		cr = memchr(p, '\r', (size_t)(end - p));
		if (cr == NULL)
			cr = end;
		buf_add(&file->out, p, (size_t)(cr - p));
		p = cr + 1;
		if (file->out.len >= FILES_BLOCK && !write_out(file, f))
			return false;
	}
	return true;
}

/* One field each; the recipients are folded when they are many. */
static void
add_envelope(struct file *file, const struct envelope *e)
{
	size_t i, column = strlen("X-Envelope-To:");

	buf_addf(&file->out, "Return-Path: <%s>\nX-Envelope-To:", e->sender);
	for (i = 0; i < e->count; i++) {
		size_t len = strlen(e->recipients[i]) + 2;

		if (i > 0)
			buf_addc(&file->out, ',');
		if (i > 0 && column + len > FILES_COLUMNS) {
			buf_adds(&file->out, "\n");
			column = 0;
		}
		buf_addf(&file->out, " %s", e->recipients[i]);
		column += len;
	}
	buf_addc(&file->out, '\n');
}

/* All memory is there before the file is: none that is missing leaves it. */
static bool
render(struct file *file, const struct transport_job *job,
    struct transport_result *r)
{
	struct message_form form = { .eightbit = true,
		.utf8 = true,
		.utf8_addresses = job->envelope->utf8,
		.verbatim = true };
	struct message_wire wire;

	if (!message_render(job->message, &form, &wire, &r->failure))
		return false;
	r->size = wire.size;
	add_envelope(file, job->envelope);
	buf_reserve(&file->out, 2 * FILES_BLOCK);
	return true;
}

static bool
write_message(struct file *file, const struct transport_job *job,
    struct transport_result *r)
{
	const unsigned char *chunk;
	ssize_t n;

	message_rewind(job->message);
	while ((n = message_next(job->message, &chunk)) > 0)
		if (!add_canonical(file, chunk, (size_t)n, &r->failure))
			return false;
	if (n < 0)
		return failure_set(&r->failure, FAIL_IO,
		    "cannot read the message: %s", strerror(errno));
	return write_out(file, &r->failure);
}

static bool
sync_directory(struct file *file)
{
	int fd = openat(file->dir, file->final_dir,
	    O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool ok = fd >= 0 && fsync(fd) == 0;

	if (fd >= 0)
		close(fd);
	return ok;
}

/* Whole and durable before its name appears, and its name durable too. */
static bool
commit(struct file *file, struct failure *f)
{
	if (fsync(file->fd) != 0)
		return file_failed(f, "sync", file->temporary);
	/* What is stored is recorded, too. */
	interrupt_hold();
	if (renameat(file->dir, file->temporary, file->dir, file->final) != 0)
		return file_failed(f, "rename to", file->final);
	if (!sync_directory(file)) {
		file_failed(f, "sync the directory of", file->final);
		unlinkat(file->dir, file->final, 0);
		return false;
	}
	return true;
}

static bool
store(struct file *file, const struct transport_job *job,
    struct transport_result *r)
{
	bool maildir = job->settings->files_format == FORMAT_MAILDIR;

	if (!open_directory(file, r->host, maildir, &r->failure))
		return false;
	if (job->confine != NULL)
		sandbox_enter(job->confine);
	if (!choose_names(file, maildir, &r->failure) || !render(file, job, r))
		return false;
	file->fd = openat(file->dir, file->temporary,
	    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (file->fd < 0)
		return file_failed(&r->failure, "create a file in", r->host);
	if (write_message(file, job, r) && commit(file, &r->failure)) {
		/* It is there: memory that runs out changes nothing. */
		if (!job->more)
			mem_set_exit(fail_status(FAIL_NONE));
		return true;
	}
	unlinkat(file->dir, file->temporary, 0);
	return false;
}

static void
settle(struct transport_result *r, enum fail_class class, const char *words)
{
	size_t i;

	for (i = 0; i < r->count; i++)
		outcome_set(&r->outcomes[i], class, 0, words);
}

bool
files_send(const struct transport_job *job, struct transport_result *r)
{
	struct file file = { .dir = -1, .fd = -1, .out = BUF_INIT(SIZE_MAX) };
	bool ok;

	r->host = mem_strdup(job->settings->files_path);
	r->stored = true;
	r->complete = true; /* no other destination is tried */
	mem_set_exit(fail_status(FAIL_TEMP));
	ok = store(&file, job, r);
	if (ok) {
		r->reply = mem_printf("stored as %s", file.final);
		settle(r, FAIL_NONE, r->reply);
	} else {
		settle(r, r->failure.class, NULL);
	}
	if (file.fd >= 0)
		close(file.fd);
	if (file.dir >= 0)
		close(file.dir);
	buf_free(&file.out);
	free(file.temporary);
	free(file.final);
	free(file.final_dir);
	return ok;
}
