#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#ifdef SYS_openat2
#include <linux/openat2.h>
#endif

#include "buf.h"
#include "outcome.h"
#include "text.h"

/* A record is one write(2) of at most this; long values are cut first. */
#define LOG_RECORD_MAX 65536
#define LOG_VALUE_MAX 1024
#define LOG_LINE_MAX 8192
/* syslog(3) daemons cut longer messages themselves. */
#define LOG_SYSLOG_MAX 4096
/* For a daemon that does not keep up. */
#define LOG_SYSLOG_MS 1000
/* msmtp's default, so that its readers go on working. */
#define LOG_TIME_FORMAT "%b %d %H:%M:%S"
#define LOG_JSON_TIME "%Y-%m-%dT%H:%M:%S%z"

struct log {
	int fd; /* -1: none */
	char *path;
	int syslog; /* connected socket, or -1 */
	bool syslog_stream;
	int facility;
	const char *tag;
	bool standard_output;
	enum log_format format;
	char *time_format;
};

/* Behind log_share(): what processes that share a pipe lock, or -1. */
static int shared = -1;

void
log_share(void)
{
	shared = memfd_create("onehop-log", MFD_CLOEXEC);
}

/* The kernel gives the lock back of whoever is killed. */
static void
lock_shared(short type)
{
	struct flock lock = { .l_type = type, .l_whence = SEEK_SET };

	while (fcntl(shared, F_SETLKW, &lock) != 0 && errno == EINTR)
		continue;
}

/* One line on stderr in one write; what cannot be written is lost. */
static void
write_stderr(struct buf *line)
{
	ssize_t ignored;

	buf_addc(line, '\n');
	ignored = write(STDERR_FILENO, buf_str(line), line->len);
	(void)ignored;
	buf_free(line);
}

void
log_warn(const char *format, ...)
{
	struct buf raw = BUF_INIT(SIZE_MAX), line = BUF_INIT(SIZE_MAX);
	va_list ap;

	va_start(ap, format);
	buf_addv(&raw, format, ap);
	va_end(ap);
	buf_adds(&line, "onehop: ");
	text_escape(&line, buf_str(&raw), raw.len, 0, LOG_LINE_MAX);
	write_stderr(&line);
	buf_free(&raw);
}

void
log_failure(const struct failure *f)
{
	struct buf line = BUF_INIT(SIZE_MAX);
	const char *p = buf_str(&f->detail), *end;

	buf_adds(&line, "onehop: ");
	text_escape(&line, buf_str(&f->text), f->text.len, 0, LOG_LINE_MAX);
	if (f->hint.len > 0) {
		buf_adds(&line, " (");
		text_escape(&line, buf_str(&f->hint), f->hint.len, 0,
		    LOG_LINE_MAX);
		buf_adds(&line, ")");
	}
	for (; (end = strchr(p, '\n')) != NULL; p = end + 1) {
		buf_adds(&line, "\n  ");
		text_escape(&line, p, (size_t)(end - p), 0, LOG_LINE_MAX);
	}
	write_stderr(&line);
}

/* No symbolic link anywhere in the path, where the kernel can say so. */
static int
open_no_links(const char *path, int flags)
{
	int fd = -1;

	errno = ENOSYS;
#ifdef SYS_openat2
	{
		struct open_how how = { .flags = (uint64_t)flags,
			.resolve = RESOLVE_NO_SYMLINKS };

		fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how,
		    sizeof(how));
	}
#endif
	if (fd < 0 && errno == ENOSYS)
		fd = open(path, flags | O_NOFOLLOW);
	return fd;
}

/*
 * With a group that the caller does not have: nothing is created, and only
 * what root has made for this is written to.
 */
static int
open_careful(const char *path)
{
	struct stat st;
	int fd = open_no_links(path,
	    O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	if (fd < 0) {
		log_warn("cannot open log file '%s': %s", path,
		    strerror(errno));
		return -1;
	}
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_nlink != 1 ||
	    st.st_uid != 0 || (st.st_mode & S_IWOTH) != 0) {
		log_warn("log file '%s' is not a file of root's own", path);
		close(fd);
		return -1;
	}
	return fd;
}

/*
 * Rule R11: nothing but a regular file (or the terminal and pipes that
 * /dev/stdout and friends stand for) is appended to, and opening never blocks
 * on a FIFO without a reader.
 */
static int
open_file(const char *path, bool careful)
{
	struct stat st;
	int fd;

	if (careful)
		return open_careful(path);

	fd = open(path,
	    O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
	    0600);
	if (fd < 0) {
		log_warn("cannot open log file '%s': %s", path,
		    strerror(errno));
		return -1;
	}
	if (fstat(fd, &st) != 0 || S_ISDIR(st.st_mode) ||
	    (S_ISREG(st.st_mode) && st.st_nlink != 1)) {
		log_warn("log file '%s' is not a file of its own", path);
		close(fd);
		return -1;
	}
	return fd;
}

/*
 * What syslog(3) does, but it waits for ever for a daemon that does not read:
 * not with us, when the relay has the message already.  No daemon: no log.
 */
static void
open_syslog(struct log *log)
{
	static const struct sockaddr_un sa = { .sun_family = AF_UNIX,
		.sun_path = "/dev/log" };
	static const int types[] = { SOCK_DGRAM, SOCK_STREAM };
	size_t i;

	for (i = 0; i < 2 && log->syslog < 0; i++) {
		log->syslog = socket(AF_UNIX,
		    types[i] | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		log->syslog_stream = types[i] == SOCK_STREAM;
		if (log->syslog >= 0 &&
		    connect(log->syslog, (const struct sockaddr *)&sa,
			sizeof(sa)) != 0) {
			close(log->syslog);
			log->syslog = -1;
		}
	}
}

struct log *
log_open(const struct log_params *p)
{
	struct log *log = mem_alloc(sizeof(*log));

	log->fd = -1;
	log->format = p->format;
	log->time_format = mem_strdup(p->time_format);
	if (p->file != NULL && strcmp(p->file, "-") == 0) {
		log->fd = STDOUT_FILENO;
		log->standard_output = true;
		log->path = mem_strdup("standard output");
	} else if (p->file != NULL) {
		log->fd = open_file(p->file, p->careful);
		log->path = mem_strdup(p->file);
	}
	log->tag = p->tag != NULL ? p->tag : "onehop";
	log->facility = p->syslog_facility >= 0 ? p->syslog_facility : LOG_MAIL;
	log->syslog = -1;
	if (p->syslog_facility >= 0 || p->automatic)
		open_syslog(log);
	return log;
}

void
log_close(struct log *log)
{
	if (log == NULL)
		return;
	if (log->fd >= 0 && !log->standard_output)
		close(log->fd);
	if (log->syslog >= 0)
		close(log->syslog);
	free(log->path);
	free(log->time_format);
	free(log);
}

static void
add_time(const struct log *log, struct buf *line)
{
	const char *format = log->time_format;
	time_t now = time(NULL);
	char text[128];
	struct tm tm;

	if (format == NULL)
		format = log->format == LOG_JSON ? LOG_JSON_TIME :
						   LOG_TIME_FORMAT;
	if (strcmp(format, "none") == 0 || localtime_r(&now, &tm) == NULL ||
	    strftime(text, sizeof(text), format, &tm) == 0)
		return;
	if (log->format == LOG_JSON)
		buf_adds(line, "\"time\":\"");
	text_escape(line, text, strlen(text), '"', LOG_VALUE_MAX);
	buf_adds(line, log->format == LOG_JSON ? "\"" : " ");
}

static void
text_value(struct buf *line, const struct log_item *item)
{
	const char *string = item->string;
	char **p;

	switch (item->type) {
	case LOG_NUMBER:
		buf_addf(line, "%lld", (long long)item->number);
		break;
	case LOG_BOOL:
		buf_adds(line, item->number != 0 ? "on" : "off");
		break;
	case LOG_LIST:
		for (p = item->list; *p != NULL; p++) {
			if (p != item->list)
				buf_addc(line, ',');
			text_escape(line, *p, strlen(*p), 0, LOG_VALUE_MAX);
		}
		break;
	case LOG_STRING:
		if (item->quoted)
			buf_addc(line, '\'');
		text_escape(line, string, strlen(string),
		    item->quoted ? '\'' : 0, LOG_VALUE_MAX);
		if (item->quoted)
			buf_addc(line, '\'');
		break;
	}
}

/*
 * A JSON string (RFC 8259 section 7) of the escaped text: what text_escape()
 * leaves needs only its backslashes doubled and its quotes escaped.
 */
static void
json_string(struct buf *line, const char *string)
{
	struct buf text = BUF_INIT(SIZE_MAX);
	size_t i;

	text_escape(&text, string, strlen(string), 0, LOG_VALUE_MAX);
	buf_addc(line, '"');
	for (i = 0; i < text.len; i++) {
		if (text.data[i] == '"' || text.data[i] == '\\')
			buf_addc(line, '\\');
		buf_addc(line, text.data[i]);
	}
	buf_addc(line, '"');
	buf_free(&text);
}

static void
json_value(struct buf *line, const struct log_item *item)
{
	char **p;

	switch (item->type) {
	case LOG_NUMBER:
		buf_addf(line, "%lld", (long long)item->number);
		break;
	case LOG_BOOL:
		buf_adds(line, item->number != 0 ? "true" : "false");
		break;
	case LOG_LIST:
		buf_addc(line, '[');
		for (p = item->list; *p != NULL; p++) {
			if (p != item->list)
				buf_addc(line, ',');
			json_string(line, *p);
		}
		buf_addc(line, ']');
		break;
	case LOG_STRING:
		json_string(line, item->string);
		break;
	}
}

static bool
present(const struct log_item *item)
{
	if (item->type == LOG_STRING)
		return item->string != NULL;
	return item->type != LOG_LIST ||
	    (item->list != NULL && item->list[0] != NULL);
}

/* The items without time and line end. */
static void
format_items(const struct log *log, struct buf *line,
    const struct log_item *items, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++) {
		if (!present(&items[i]))
			continue;
		if (log->format == LOG_JSON) {
			if (line->len > 0 && line->data[line->len - 1] != '{')
				buf_addc(line, ',');
			buf_addf(line, "\"%s\":", items[i].key);
			json_value(line, &items[i]);
		} else {
			if (line->len > 0 && line->data[line->len - 1] != ' ')
				buf_addc(line, ' ');
			buf_addf(line, "%s=", items[i].key);
			text_value(line, &items[i]);
		}
	}
}

/* Half a record is none, and the next one would go on in its line. */
static void
take_back(const struct log *log, const struct stat *before, ssize_t n)
{
	struct stat st;

	if (S_ISREG(before->st_mode) && fstat(log->fd, &st) == 0 &&
	    st.st_size == before->st_size + n &&
	    ftruncate(log->fd, before->st_size) != 0)
		log_warn("log file '%s' ends in half a record", log->path);
}

/*
 * O_APPEND makes one write(2) whole among others on a local file system; the
 * lock is for those where it does not, and is never waited for (a stopped
 * process may hold it).
 */
static void
write_file(struct log *log, struct buf *line)
{
	bool locked = flock(log->fd, LOCK_EX | LOCK_NB) == 0;
	struct stat before = { .st_mode = 0 };
	ssize_t n;

	if (!locked || fstat(log->fd, &before) != 0)
		before.st_mode = 0;
	if (shared >= 0)
		lock_shared(F_WRLCK);
	n = write(log->fd, buf_str(line), line->len);
	if (shared >= 0)
		lock_shared(F_UNLCK);
	if (n < 0)
		log_warn("cannot write log file '%s': %s", log->path,
		    strerror(errno));
	else if ((size_t)n != line->len) {
		take_back(log, &before, n);
		log_warn("cannot write log file '%s': no room", log->path);
	}
	if (locked)
		flock(log->fd, LOCK_UN);
}

/* One message, for which the daemon has a limited time. */
static void
write_syslog(struct log *log, const struct buf *items, int level)
{
	struct pollfd p = { .fd = log->syslog, .events = POLLOUT };
	struct buf line = BUF_INIT(SIZE_MAX);
	time_t now = time(NULL);
	char stamp[32] = "";
	struct tm tm;
	ssize_t n;

	if (localtime_r(&now, &tm) != NULL)
		strftime(stamp, sizeof(stamp), "%b %e %H:%M:%S", &tm);
	buf_addf(&line, "<%d>%s %s[%ld]: %.*s", log->facility | level, stamp,
	    log->tag, (long)getpid(), LOG_SYSLOG_MAX, buf_str(items));
	/* What parts messages in a stream. */
	if (log->syslog_stream)
		buf_addc(&line, '\0');
	n = send(log->syslog, line.data, line.len, MSG_NOSIGNAL);
	if (n < 0 && errno == EAGAIN && poll(&p, 1, LOG_SYSLOG_MS) > 0)
		n = send(log->syslog, line.data, line.len, MSG_NOSIGNAL);
	if (n < 0)
		log_warn("cannot write to syslog: %s", strerror(errno));
	buf_free(&line);
}

void
log_record(struct log *log, const struct log_item *items, size_t count,
    bool failed)
{
	struct buf line = BUF_INIT(SIZE_MAX);

	if (log->fd >= 0) {
		if (log->format == LOG_JSON)
			buf_addc(&line, '{');
		add_time(log, &line);
		format_items(log, &line, items, count);
		buf_adds(&line, log->format == LOG_JSON ? "}\n" : "\n");
		write_file(log, &line);
		buf_clear(&line);
	}
	if (log->syslog >= 0) {
		if (log->format == LOG_JSON)
			buf_addc(&line, '{');
		format_items(log, &line, items, count);
		if (log->format == LOG_JSON)
			buf_addc(&line, '}');
		write_syslog(log, &line, failed ? LOG_ERR : LOG_INFO);
	}
	buf_free(&line);
}
