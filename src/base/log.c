#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/failure.h"
#include "base/log_impl.h"
#include "base/text.h"

/* Longer values are cut; for syslog to as little as the second. */
#define LOG_VALUE_MAX 1024
#define LOG_VALUE_MIN 16
#define LOG_LINE_MAX 8192
/* syslog(3) daemons cut longer messages themselves, wherever that is. */
#define LOG_SYSLOG_MAX 4096
/* For a daemon that does not keep up. */
#define LOG_SYSLOG_MS 1000
/* msmtp's default, so that its readers go on working. */
#define LOG_TIME_FORMAT "%b %d %H:%M:%S"
#define LOG_JSON_TIME "%Y-%m-%dT%H:%M:%S%z"

struct log {
	struct log_file file;
	int syslog; /* connected socket, or -1 */
	bool syslog_stream;
	int facility;
	const char *tag;
	enum log_format format;
	char *time_format;
};

/* Behind log_limit(): lines that stderr may still get. */
static unsigned lines_left = UINT_MAX;

void
log_limit(unsigned lines)
{
	lines_left = lines;
}

/* One line on stderr in one write; what cannot be written is lost. */
static void
write_stderr(struct buf *line)
{
	ssize_t ignored;

	if (lines_left == 1) {
		buf_clear(line);
		buf_adds(line, "onehop: further lines are left out");
	}
	buf_addc(line, '\n');
	if (lines_left > 0) {
		ignored = write(STDERR_FILENO, buf_str(line), line->len);
		(void)ignored;
	}
	if (lines_left > 0 && lines_left < UINT_MAX)
		lines_left--;
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

/* For a person who reads along. */
static bool details;

void
log_details(void)
{
	details = true;
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
	for (; details && (end = strchr(p, '\n')) != NULL; p = end + 1) {
		buf_adds(&line, "\n  ");
		text_escape(&line, p, (size_t)(end - p), 0, LOG_LINE_MAX);
	}
	write_stderr(&line);
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

	log->format = p->format;
	log->time_format = mem_strdup(p->time_format);
	log_file_open(&log->file, p);
	log->tag = p->tag != NULL ? p->tag : "onehop";
	log->facility = p->syslog_facility != 0 ? p->syslog_facility : LOG_MAIL;
	log->syslog = -1;
	if (p->syslog_facility != 0 || p->automatic)
		open_syslog(log);
	return log;
}

void
log_close(struct log *log)
{
	if (log == NULL)
		return;
	log_file_close(&log->file);
	if (log->syslog >= 0)
		close(log->syslog);
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

/* The longest value, and the longest list, in bytes. */
struct limits {
	size_t value, list;
};

/* Whether a list goes on, and the mark that it does not. */
static bool
list_goes_on(struct buf *line, size_t start, const struct limits *limits,
    const char *mark)
{
	if (line->len - start < limits->list)
		return true;
	buf_adds(line, mark);
	return false;
}

/* Each number, as `before` name `between` value. */
static void
add_numbers(struct buf *line, const struct log_number *n, const char *before,
    const char *between)
{
	const char *comma = "";

	for (; n->name != NULL; n++) {
		if (n->value < 0)
			continue;
		buf_addf(line, "%s%s%s%s%lld", comma, before, n->name, between,
		    (long long)n->value);
		comma = ",";
	}
}

static void
text_list(struct buf *line, char **list, const struct limits *limits)
{
	size_t start = line->len;
	char **p;

	for (p = list; *p != NULL; p++) {
		if (p != list)
			buf_addc(line, ',');
		if (!list_goes_on(line, start, limits, "..."))
			return;
		text_escape(line, *p, strlen(*p), ' ', limits->value);
	}
}

/* The item's string; words of ours have quotes of the kind that the format
   does not put around them.  free() it. */
static char *
words_of(const struct log_item *item, char from, char to)
{
	char *words = mem_strdup(item->string), *p = words;

	for (; item->ours && *p != '\0'; p++)
		if (*p == from)
			*p = to;
	return words;
}

static void
text_string(struct buf *line, const struct log_item *item,
    const struct limits *limits)
{
	char *string = words_of(item, '\'', '"');

	if (item->quoted)
		buf_addc(line, '\'');
	text_escape(line, string, strlen(string), item->quoted ? '\'' : ' ',
	    limits->value);
	if (item->quoted)
		buf_addc(line, '\'');
	free(string);
}

static void
text_value(struct buf *line, const struct log_item *item,
    const struct limits *limits)
{
	switch (item->type) {
	case LOG_NUMBER:
		buf_addf(line, "%lld", (long long)item->number);
		break;
	case LOG_BOOL:
		buf_adds(line, item->number != 0 ? "on" : "off");
		break;
	case LOG_NUMBERS:
		add_numbers(line, item->numbers, "", ":");
		break;
	case LOG_LIST:
		text_list(line, item->list, limits);
		break;
	case LOG_STRING:
		text_string(line, item, limits);
		break;
	}
}

/*
 * A JSON string (RFC 8259 section 7) of the escaped text: what text_escape()
 * leaves needs only its backslashes doubled and its quotes escaped.
 */
static void
json_string(struct buf *line, const char *string, size_t limit)
{
	struct buf text = BUF_INIT(SIZE_MAX);
	size_t i;

	text_escape(&text, string, strlen(string), 0, limit);
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
json_list(struct buf *line, char **list, const struct limits *limits)
{
	size_t start = line->len;
	char **p;

	buf_addc(line, '[');
	for (p = list; *p != NULL; p++) {
		if (p != list)
			buf_addc(line, ',');
		if (!list_goes_on(line, start, limits, "\"...\""))
			break;
		json_string(line, *p, limits->value);
	}
	buf_addc(line, ']');
}

static void
json_value(struct buf *line, const struct log_item *item,
    const struct limits *limits)
{
	char *string;

	switch (item->type) {
	case LOG_NUMBER:
		buf_addf(line, "%lld", (long long)item->number);
		break;
	case LOG_BOOL:
		buf_adds(line, item->number != 0 ? "true" : "false");
		break;
	case LOG_NUMBERS:
		buf_addc(line, '{');
		add_numbers(line, item->numbers, "\"", "\":");
		buf_addc(line, '}');
		break;
	case LOG_LIST:
		json_list(line, item->list, limits);
		break;
	case LOG_STRING:
		string = words_of(item, '"', '\'');
		json_string(line, string, limits->value);
		free(string);
		break;
	}
}

static bool
present(const struct log_item *item)
{
	const struct log_number *n = item->numbers;

	if (item->type == LOG_STRING)
		return item->string != NULL;
	if (item->type == LOG_NUMBER)
		return item->number >= 0;
	while (item->type == LOG_NUMBERS && n->name != NULL && n->value < 0)
		n++;
	if (item->type == LOG_NUMBERS)
		return n->name != NULL;
	return item->type != LOG_LIST ||
	    (item->list != NULL && item->list[0] != NULL);
}

/* The items without time and line end. */
static void
format_items(const struct log *log, struct buf *line,
    const struct log_item *items, size_t count, const struct limits *limits)
{
	size_t i;

	for (i = 0; i < count; i++) {
		if (!present(&items[i]))
			continue;
		if (log->format == LOG_JSON) {
			if (line->len > 0 && line->data[line->len - 1] != '{')
				buf_addc(line, ',');
			buf_addf(line, "\"%s\":", items[i].key);
			json_value(line, &items[i], limits);
		} else {
			if (line->len > 0 && line->data[line->len - 1] != ' ')
				buf_addc(line, ' ');
			buf_addf(line, "%s=", items[i].key);
			text_value(line, &items[i], limits);
		}
	}
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
	buf_addf(&line, "<%d>%s %s[%ld]: %s", log->facility | level, stamp,
	    log->tag, (long)getpid(), buf_str(items));
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

/* A record without its time and line end, whole in at most max bytes: the
   longest values are cut until it is. */
static void
format_within(const struct log *log, struct buf *line,
    const struct log_item *items, size_t count, size_t max)
{
	struct limits limits = { LOG_VALUE_MAX, LOG_VALUE_MAX };

	for (;; limits.value = limits.list /= 2) {
		buf_clear(line);
		if (log->format == LOG_JSON)
			buf_addc(line, '{');
		format_items(log, line, items, count, &limits);
		if (log->format == LOG_JSON)
			buf_addc(line, '}');
		if (line->len <= max || limits.value <= LOG_VALUE_MIN)
			return;
	}
}

void
log_record(struct log *log, const struct log_item *items, size_t count,
    bool failed)
{
	static const struct limits limits = { LOG_VALUE_MAX, SIZE_MAX };
	struct buf line = BUF_INIT(SIZE_MAX);

	if (log->file.wanted) {
		if (log->format == LOG_JSON)
			buf_addc(&line, '{');
		add_time(log, &line);
		format_items(log, &line, items, count, &limits);
		buf_adds(&line, log->format == LOG_JSON ? "}\n" : "\n");
		log_file_write(&log->file, &line);
	}
	if (log->syslog >= 0) {
		format_within(log, &line, items, count, LOG_SYSLOG_MAX);
		write_syslog(log, &line, failed ? LOG_ERR : LOG_INFO);
	}
	buf_free(&line);
}
