/* How many sessions a client may have, and how long it may keep one. */
#include "base/stream.h"
#include "config/settings.h"
#include "serve/serve.h"
#include "serve/serve_impl.h"

/* What a stranger has when others want its place: so much of listen_timeout,
   within these milliseconds, and of that so many times for all commands of a
   message. */
#define CROWD_PART 6
#define CROWD_MIN 1000
#define CROWD_MAX 10000
#define CROWD_COMMANDS 6
/* How often a client that waits finds that out. */
#define CROWD_LOOK 1000

void
serve_limit(struct server *s, struct serve_client *client)
{
	const struct settings *settings = s->settings;
	int64_t patience = settings->listen_timeout_ms;
	int64_t data = settings->data_timeout_ms;

	if (patience == 0 || (data > 0 && data < patience))
		patience = data;
	*client = (struct serve_client){ .fd = -1,
		.stop = -1,
		.messages = settings->listen_messages,
		.patience = patience };
	s->client = client;
}

uint64_t
serve_max_size(const struct server *s)
{
	if (s->client != NULL && s->client->load != NULL &&
	    !settings_is_set(s->settings, KW_MAX_SIZE))
		return SERVE_SIZE_MAX;
	return s->settings->max_size;
}

int64_t
serve_deadline(const struct server *s)
{
	return stream_deadline(s->settings->deadline_ms);
}

/* Whether places are kept for others than this client. */
static bool
is_stranger(const struct server *s)
{
	return s->client != NULL && s->client->load != NULL && !s->may_relay;
}

static bool
is_crowded(const struct server *s)
{
	return is_stranger(s) &&
	    s->client->load->sessions > s->client->load->max / 2;
}

static int64_t
crowd_patience(int64_t ms)
{
	int64_t part = ms == 0 ? CROWD_MAX : ms / CROWD_PART;

	if (part > CROWD_MAX)
		return CROWD_MAX;
	return part < CROWD_MIN ? CROWD_MIN : part;
}

int64_t
serve_patience(const struct server *s)
{
	int64_t ms = s->settings->data_timeout_ms;

	if (s->client != NULL)
		ms = s->client->patience;
	return is_crowded(s) ? crowd_patience(ms) : ms;
}

/* Milliseconds from now on, 0 when unlimited, negative when it is over. */
static int64_t
time_left(const struct server *s, enum serve_wait what, int64_t since)
{
	int64_t ms = serve_patience(s), left, all;

	if (what == SERVE_COMMAND && s->client == NULL)
		ms *= SERVE_PIPE_PATIENCE;
	left = since + ms - stream_now();
	if (ms == 0)
		return 0;
	if (what == SERVE_COMMAND && is_crowded(s)) {
		all = ms * CROWD_COMMANDS - s->waited;
		left = all < left ? all : left;
	}
	return left > 0 ? left : -1;
}

static bool
is_deadline_over(struct server *s)
{
	stream_begin(s->in, 0);
	return stream_left(s->in) == 0;
}

enum stream_result
serve_peek(struct server *s, enum serve_wait what, int64_t since,
    const unsigned char **bytes, size_t *len)
{
	int64_t start = stream_now(), left;
	enum stream_result r;

	do {
		left = time_left(s, what, since);
		if (left < 0)
			return STREAM_TIMEOUT;
		if (is_stranger(s) && (left == 0 || left > CROWD_LOOK))
			left = CROWD_LOOK;
		stream_begin(s->in, left);
		r = stream_peek(s->in, bytes, len);
	} while (r == STREAM_TIMEOUT && !is_deadline_over(s));
	if (what == SERVE_COMMAND)
		s->waited += stream_now() - start;
	return r;
}
