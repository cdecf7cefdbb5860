#include "message/message_impl.h"

#include <sys/mman.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/failure.h"
#include "base/file.h"
#include "base/text.h"

/* First read: most messages are smaller. */
#define FIRST_READ (8 << 10)

/* A pipe of this size saves turns between its two ends; root apart, nobody may
   have a larger one (/proc/sys/fs/pipe-max-size). */
#define PIPE_WANTED (1 << 20)

void
message_store_init(struct message_store *s)
{
	*s = (struct message_store){ .memory = BUF_INIT(MESSAGE_MEMORY_MAX),
		.fd = -1,
		.lent = -1 };
}

static bool
empty(int fd)
{
	return lseek(fd, 0, SEEK_SET) == 0 && ftruncate(fd, 0) == 0;
}

void
message_store_free(struct message_store *s)
{
	buf_free(&s->memory);
	if (s->fd >= 0 && s->fd == s->lent)
		empty(s->fd);
	else if (s->fd >= 0)
		close(s->fd);
	free(s->window);
	message_store_init(s);
}

/* --- the temporary file --------------------------------------------------- */

static int
open_temporary(const char *directory)
{
	char *name;
	int fd;

#ifdef O_TMPFILE
	fd = open(directory, O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);
	if (fd >= 0)
		return fd;
#endif
	name = mem_printf("%s/onehop.XXXXXX", directory);
	fd = mkostemp(name, O_CLOEXEC);
	if (fd >= 0)
		unlink(name);
	free(name);
	return fd;
}

/* A file without a name, or memory where no directory can be written. */
int
message_temporary(void)
{
	const char *directory = secure_getenv("TMPDIR");
	int fd = -1;

	if (directory != NULL && *directory != '\0')
		fd = open_temporary(directory);
	if (fd < 0)
		fd = open_temporary("/tmp");
#ifdef MFD_CLOEXEC
	if (fd < 0)
		fd = memfd_create("onehop message", MFD_CLOEXEC);
#endif
	return fd;
}

static bool
write_all(int fd, const void *bytes, size_t len, struct failure *f)
{
	return file_write_all(fd, bytes, len) ||
	    failure_set(f, FAIL_TEMP, "cannot store the message: %s",
		strerror(errno));
}

/* Of memfd_create(2), and of a file system in memory: only these have seals. */
static bool
is_memory(int fd)
{
#ifdef F_GET_SEALS
	return fcntl(fd, F_GET_SEALS) >= 0;
#else
	(void)fd;
	return false;
#endif
}

/* Moves what is in memory to a file. */
static bool
spill(struct message_store *s, struct failure *f)
{
	s->fd = s->lent >= 0 ? s->lent : message_temporary();
	if (s->fd < 0)
		return failure_set(f, FAIL_TEMP,
		    "cannot store the message in a temporary file: %s",
		    strerror(errno));
	s->is_memory = is_memory(s->fd);
	if (!write_all(s->fd, s->memory.data, s->memory.len, f))
		return false;
	buf_free(&s->memory);
	s->window = mem_alloc(MESSAGE_WINDOW);
	return true;
}

static bool
check_max(const struct message_store *s, uint64_t more, struct failure *f)
{
	if (s->max == 0 || (s->size <= s->max && more <= s->max - s->size))
		return true;
	return failure_set(f, FAIL_DATA,
	    "the message is larger than the maximum of %" PRIu64 " bytes",
	    s->max);
}

static bool
fits_memory(const struct message_store *s, uint64_t more, struct failure *f)
{
	if (!s->is_memory || s->max_memory == 0 ||
	    (s->size <= s->max_memory && more <= s->max_memory - s->size))
		return true;
	failure_set(f, FAIL_TEMP,
	    "no disk for the message, and more than %" PRIu64
	    " bytes are too many for memory",
	    s->max_memory);
	failure_hint(f, "set TMPDIR to a directory that can be written");
	return false;
}

bool
message_store_add(struct message_store *s, const void *bytes, size_t len,
    struct failure *f)
{
	if (!check_max(s, len, f))
		return false;
	if (s->fd < 0 && len > MESSAGE_MEMORY_MAX - s->memory.len &&
	    !spill(s, f))
		return false;
	if (!fits_memory(s, len, f))
		return false;
	if (s->fd < 0)
		buf_add(&s->memory, bytes, len);
	else if (!write_all(s->fd, bytes, len, f))
		return false;
	s->size += len;
	return true;
}

/* --- reading the input ---------------------------------------------------- */

/* read(2), also from a descriptor that somebody made non-blocking. */
static ssize_t
read_some(int fd, void *to, size_t len, struct failure *f)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	ssize_t n;

	while ((n = read(fd, to, len)) < 0) {
		if (errno == EAGAIN)
			poll(&p, 1, -1);
		else if (errno != EINTR)
			break;
	}
	if (n < 0)
		failure_set(f, errno == EBADF ? FAIL_NOINPUT : FAIL_IO,
		    "cannot read the message from standard input: %s",
		    strerror(errno));
	return n;
}

/* Reads into memory until it is full or the input ends. */
static ssize_t
read_memory(struct message_store *s, int fd, struct failure *f)
{
	struct buf *b = &s->memory;
	size_t want;
	ssize_t n;

	do {
		want = b->len < FIRST_READ ? FIRST_READ : b->len;
		if (want > MESSAGE_WINDOW)
			want = MESSAGE_WINDOW;
		if (want > MESSAGE_MEMORY_MAX - b->len)
			want = MESSAGE_MEMORY_MAX - b->len;
		n = read_some(fd, buf_reserve(b, want), want, f);
		if (n <= 0)
			return n;
		if (!check_max(s, (uint64_t)n, f))
			return -1;
		b->len += (size_t)n;
		buf_terminate(b);
		s->size += (uint64_t)n;
	} while (b->len < MESSAGE_MEMORY_MAX);
	return 1;
}

/*
 * What is in a pipe goes into the file without a copy of ours, as far as the
 * system can do that; errors and the end are left to read(2).
 */
static void
move_pipe(struct message_store *s, int fd)
{
#ifdef F_SETPIPE_SZ
	size_t want;
	ssize_t n;

	fcntl(fd, F_SETPIPE_SZ, PIPE_WANTED);
	do {
		want = PIPE_WANTED;
		if (s->max != 0 && want > s->max - s->size)
			want = (size_t)(s->max - s->size);
		n = want == 0 ? 0 : splice(fd, NULL, s->fd, NULL, want, 0);
		if (n > 0)
			s->size += (uint64_t)n;
	} while (n > 0);
#else
	(void)s;
	(void)fd;
#endif
}

static bool
read_stream(struct message_store *s, int fd, bool is_pipe, struct failure *f)
{
	unsigned char *window;
	ssize_t n = read_memory(s, fd, f);

	if (n <= 0)
		return n == 0;
	window = mem_alloc(MESSAGE_WINDOW);
	while ((n = read_some(fd, window, MESSAGE_WINDOW, f)) > 0) {
		if (!message_store_add(s, window, (size_t)n, f))
			break;
		if (is_pipe)
			move_pipe(s, fd);
	}
	free(window);
	return n == 0;
}

/* Lines that somebody types: "." alone ends them. */
static bool
read_terminal(struct message_store *s, int fd, struct failure *f)
{
	bool start = true, dot = false; /* of a line; one held back */
	ssize_t n;
	char c;

	while ((n = read_some(fd, &c, 1, f)) > 0) {
		if (dot && c == '\n')
			return true;
		if (dot && !message_store_add(s, ".", 1, f))
			return false;
		dot = start && c == '.';
		if (!dot && !message_store_add(s, &c, 1, f))
			return false;
		start = c == '\n';
	}
	if (n == 0 && dot)
		return message_store_add(s, ".", 1, f);
	return n == 0;
}

/*
 * A large regular file stays where it is.  Small ones are copied: nobody can
 * change them then.  Files whose size is not their length (/proc) are small.
 */
static bool
take_file(struct message_store *s, int fd, const struct stat *st,
    struct failure *f)
{
	off_t at = lseek(fd, 0, SEEK_CUR);

	if (!S_ISREG(st->st_mode) || at < 0 ||
	    st->st_size - at <= MESSAGE_MEMORY_MAX)
		return read_stream(s, fd, S_ISFIFO(st->st_mode), f);
	if (!check_max(s, (uint64_t)(st->st_size - at), f))
		return false;
	s->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (s->fd < 0)
		return failure_set(f, FAIL_OS,
		    "cannot duplicate standard input: %s", strerror(errno));
	s->in_place = true;
	s->st = *st;
	s->begin = (uint64_t)at;
	s->size = (uint64_t)(st->st_size - at);
	s->window = mem_alloc(MESSAGE_WINDOW);
	/* As if it had been read, for whoever shares the descriptor. */
	lseek(fd, st->st_size, SEEK_SET);
	return true;
}

bool
message_store_read(struct message_store *s, int fd, struct failure *f)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return failure_set(f, FAIL_NOINPUT,
		    "there is no message: standard input is closed");
	if (S_ISDIR(st.st_mode))
		return failure_set(f, FAIL_IO,
		    "cannot read the message: standard input is a directory");
	if (isatty(fd))
		return read_terminal(s, fd, f);
	return take_file(s, fd, &st, f);
}

bool
message_store_unchanged(const struct message_store *s)
{
	struct stat now;

	if (!s->in_place)
		return true;
	if (fstat(s->fd, &now) != 0)
		return false;
	errno = ESTALE;
	return now.st_size == s->st.st_size &&
	    now.st_mtim.tv_sec == s->st.st_mtim.tv_sec &&
	    now.st_mtim.tv_nsec == s->st.st_mtim.tv_nsec;
}

/* --- canonical form ------------------------------------------------------- */

static const unsigned char *
find(const unsigned char *from, const unsigned char *end, int c)
{
	const unsigned char *at = NULL;

	if (from < end)
		at = memchr(from, c, (size_t)(end - from));
	return at == NULL ? end : at;
}

/* The facts about the body that do not depend on line ends. */
static void
look_at(struct message *m)
{
	const struct message_span *in = &m->reader.span;
	size_t len = (size_t)(in->end - in->at);

	if (!m->facts.body_8bit)
		m->facts.body_8bit = text_has_8bit(in->at, len);
	if (!m->facts.body_nul)
		m->facts.body_nul = text_has_nul(in->at, len);
}

/* The first cut that is not behind the offset, or NULL. */
static const struct message_cut *
next_cut(const struct message *m, uint64_t offset)
{
	size_t i;

	for (i = 0; i < m->cut_count; i++)
		if (m->cuts[i].from >= offset)
			return &m->cuts[i];
	return NULL;
}

/* Goes on behind a cut where one begins; the line before has ended. */
static bool
skip_cut(struct message *m)
{
	struct message_reader *r = &m->reader;
	const struct message_cut *cut = next_cut(m, r->offset);

	if (cut == NULL || cut->from != r->offset)
		return false;
	r->offset = cut->to.offset;
	r->lines.due = r->lines.crs + cut->to.lines.due;
	r->lines.crs = 0;
	return true;
}

bool
message_at_end(const struct message *m)
{
	const struct message_reader *r = &m->reader;
	const struct message_cut *cut = next_cut(m, r->offset);
	uint64_t offset = r->offset;

	if (cut != NULL && cut->from == offset)
		offset = cut->to.offset;
	return offset == m->store.size && r->span.at == r->span.end &&
	    r->lines.due == 0 && r->lines.crs == 0 && r->lines.column == 0;
}

/* The next part of the input; false with errno when it cannot be had. */
static bool
load(struct message *m)
{
	struct message_reader *r = &m->reader;
	const struct message_store *s = &m->store;
	const struct message_cut *cut = next_cut(m, r->offset);
	uint64_t left = (cut != NULL ? cut->from : s->size) - r->offset;
	size_t want = left > MESSAGE_WINDOW ? MESSAGE_WINDOW : (size_t)left;
	ssize_t n = (ssize_t)left;

	if (s->fd < 0) {
		r->span.at = s->memory.data + r->offset;
	} else {
		do
			n = pread(s->fd, s->window, want,
			    (off_t)(s->begin + r->offset));
		while (n < 0 && errno == EINTR);
		if (n == 0)
			errno = ESTALE;
		if (n <= 0)
			return false;
		r->span.at = s->window;
	}
	r->span.end = r->span.at + n;
	r->span.cr = find(r->span.at, r->span.end, '\r');
	r->span.lf = find(r->span.at, r->span.end, '\n');
	r->offset += (uint64_t)n;
	if (r->looking)
		look_at(m);
	return true;
}

void
message_seek(struct message *m, const struct message_place *place)
{
	m->reader = (struct message_reader){ .offset = place->offset,
		.lines = place->lines };
}

void
message_tell(const struct message *m, struct message_place *place)
{
	const struct message_reader *r = &m->reader;

	place->offset = r->offset - (uint64_t)(r->span.end - r->span.at);
	place->lines = r->lines;
}

static bool
sink_full(const struct message_sink *sink)
{
	return sink->max - sink->len < 2;
}

/* One of the line ends that are due. */
static void
end_line(struct message_lines *lines, struct message_sink *sink)
{
	if (sink->bytes != NULL)
		memcpy(sink->bytes + sink->len, "\r\n", 2);
	sink->len += 2;
	lines->due--;
	lines->column = 0;
}

/*
 * CR and CR CR before an LF are part of its line end; alone, each is one.
 */
static void
decide_crs(struct message_lines *lines, struct message_span *in)
{
	while (in->at < in->end && *in->at == '\r') {
		lines->crs++;
		in->at++;
	}
	if (in->at == in->end)
		return;
	lines->due = lines->crs;
	lines->crs = 0;
	if (*in->at == '\n') {
		lines->due = 1;
		in->at++;
	}
}

/* Text up to the next CR or LF, or as much as the sink takes. */
static void
copy_text(struct message_lines *lines, struct message_span *in,
    struct message_sink *sink)
{
	const unsigned char *stop;
	uint64_t len;

	if (in->lf < in->at)
		in->lf = find(in->at, in->end, '\n');
	if (in->cr < in->at)
		in->cr = find(in->at, in->end, '\r');
	stop = in->cr < in->lf ? in->cr : in->lf;
	len = (uint64_t)(stop - in->at);
	if (len > sink->max - sink->len)
		len = sink->max - sink->len;
	if (sink->bytes != NULL)
		memcpy(sink->bytes + sink->len, in->at, (size_t)len);
	sink->len += len;
	lines->column += len;
	lines->over |= lines->column > MESSAGE_LINE_MAX;
	in->at += len;
	if (in->at < stop || stop == in->end)
		return;
	if (*stop == '\n')
		lines->due = 1;
	else
		lines->crs = 1;
	in->at++;
}

/* What is left when there is no more input; false when nothing is. */
static bool
end_input(struct message_lines *lines)
{
	lines->due = lines->crs > 0 ? lines->crs : lines->column > 0;
	lines->crs = 0;
	return lines->due > 0;
}

bool
message_fill(struct message *m, struct message_sink *sink)
{
	struct message_reader *r = &m->reader;

	while (!sink_full(sink)) {
		if (r->lines.due > 0) {
			end_line(&r->lines, sink);
			if (sink->one_line)
				break;
		} else if (r->span.at == r->span.end) {
			if (skip_cut(m))
				continue;
			if (r->offset < m->store.size) {
				if (!load(m))
					return false;
			} else if (!end_input(&r->lines)) {
				break;
			}
		} else if (r->lines.crs > 0) {
			decide_crs(&r->lines, &r->span);
		} else {
			copy_text(&r->lines, &r->span, sink);
		}
	}
	return true;
}

bool
message_scan(struct message *m)
{
	struct message_sink count = { .bytes = NULL, .max = UINT64_MAX };
	struct message_reader *r = &m->reader;

	r->lines.over = false;
	r->looking = true;
	if (!message_fill(m, &count))
		return false;
	r->looking = false;
	m->facts.body_long = r->lines.over;
	m->body_size = count.len;
	return true;
}
