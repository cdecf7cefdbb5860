#include "net/dns.h"

#include <arpa/nameser.h>
#include <netdb.h>
#include <netinet/in.h>
#include <resolv.h>

#include <stdlib.h>
#include <string.h>

#include "base/await.h"
#include "base/buf.h"
#include "base/failure.h"
#include "base/text.h"

/* Longest answer that there is (RFC 1035 section 4.2.2). */
#define ANSWER_MAX 65535

/* RFC 1035 section 4.1.1. */
#define HEADER_SIZE 12

static const unsigned type_numbers[] = {
	[DNS_MX] = ns_t_mx, [DNS_SRV] = ns_t_srv
};

struct reader {
	const unsigned char *start, *at, *end;
};

static bool
take16(struct reader *r, unsigned *value)
{
	if (r->end - r->at < 2)
		return false;
	*value = (unsigned)r->at[0] << 8 | r->at[1];
	r->at += 2;
	return true;
}

static bool
skip(struct reader *r, size_t len)
{
	if ((size_t)(r->end - r->at) < len)
		return false;
	r->at += len;
	return true;
}

static bool
skip_name(struct reader *r)
{
	int n = dn_skipname(r->at, r->end);

	return n > 0 && skip(r, (size_t)n);
}

/* A name for a host: what goes into a configuration must be no more. */
static bool
is_plain(const char *name)
{
	for (; *name != '\0'; name++)
		if (!text_is_alnum((unsigned char)*name) &&
		    strchr("-._", *name) == NULL)
			return false;
	return true;
}

/* Among equals of priority the one that is to get most. */
static int
compare(const void *a, const void *b)
{
	const struct dns_record *x = a, *y = b;

	if (x->priority != y->priority)
		return x->priority < y->priority ? -1 : 1;
	if (x->weight != y->weight)
		return x->weight > y->weight ? -1 : 1;
	return strcmp(x->target, y->target);
}

/* Instead of the worst one where there is no room for all. */
static void
keep_record(struct dns_list *out, const struct dns_record *record)
{
	size_t worst = 0, i;

	if (out->count < DNS_RECORDS_MAX) {
		out->list[out->count++] = *record;
		return;
	}
	for (i = 1; i < out->count; i++)
		if (compare(&out->list[i], &out->list[worst]) > 0)
			worst = i;
	if (compare(record, &out->list[worst]) < 0)
		out->list[worst] = *record;
}

/* Before the name RFC 1035 has a preference, RFC 2782 priority, weight and
   port; "." says that there is no such service. */
static bool
parse_record(const struct reader *r, size_t len, enum dns_type type,
    struct dns_record *out)
{
	struct reader data = { r->start, r->at, r->at + len };
	int n;

	memset(out, 0, sizeof(*out));
	if (!take16(&data, &out->priority) ||
	    (type == DNS_SRV &&
		(!take16(&data, &out->weight) || !take16(&data, &out->port))))
		return false;
	n = dn_expand(r->start, r->end, data.at, out->target,
	    sizeof(out->target));
	return n >= 0 && n <= data.end - data.at && is_plain(out->target);
}

/* A record that cannot be used takes no other with it. */
static void
take_record(const struct reader *r, size_t len, enum dns_type type,
    struct dns_list *out)
{
	struct dns_record record;

	if (!parse_record(r, len, type, &record))
		out->unusable = true;
	else if (record.target[0] == '\0' || strcmp(record.target, ".") == 0)
		out->denied = true;
	else if (type == DNS_SRV && record.port == 0)
		out->unusable = true;
	else
		keep_record(out, &record);
}

static bool
take_answer(struct reader *r, enum dns_type wanted, struct dns_list *out)
{
	unsigned type, class, len;

	if (!skip_name(r) || !take16(r, &type) || !take16(r, &class) ||
	    !skip(r, 4) || !take16(r, &len) || (size_t)(r->end - r->at) < len)
		return false;
	if (type == type_numbers[wanted] && class == ns_c_in)
		take_record(r, len, wanted, out);
	return skip(r, len);
}

bool
dns_parse(const void *message, size_t len, enum dns_type type,
    struct dns_list *out)
{
	const unsigned char *bytes = message;
	struct reader r = { bytes, bytes, bytes + len };
	unsigned questions, answers;

	memset(out, 0, sizeof(*out));
	if (!skip(&r, 4) || !take16(&r, &questions) || !take16(&r, &answers) ||
	    !skip(&r, HEADER_SIZE - 8))
		return false;
	for (; questions > 0; questions--)
		if (!skip_name(&r) || !skip(&r, 4))
			return false;
	for (; answers > 0; answers--)
		if (!take_answer(&r, type, out))
			return false;
	qsort(out->list, out->count, sizeof(out->list[0]), compare);
	return true;
}

/* ---- the question ---- */

struct question {
	char *name;
	int type;
	unsigned char answer[ANSWER_MAX];
	int len, error; /* what the resolver gave */
};

static void
ask(void *ctx)
{
	struct question *q = ctx;

	q->len = res_query(q->name, ns_c_in, q->type, q->answer,
	    sizeof(q->answer));
	q->error = h_errno;
}

static void
discard(void *ctx)
{
	struct question *q = ctx;

	free(q->name);
	free(q);
}

static enum dns_result
failed(const char *name, const char *why, struct failure *f)
{
	failure_set(f, FAIL_TEMP, "cannot look up '%s': %s", name, why);
	return DNS_FAILED;
}

static enum dns_result
understand(const struct question *q, enum dns_type type, struct dns_list *out,
    struct failure *f)
{
	size_t len = (size_t)q->len;

	if (q->len < 0 && q->error == HOST_NOT_FOUND)
		return DNS_NO_NAME;
	if (q->len < 0 && q->error == NO_DATA)
		return DNS_NONE;
	if (q->len < 0) {
		failed(q->name, hstrerror(q->error), f);
		failure_hint(f, "check the resolver (/etc/resolv.conf)");
		return DNS_FAILED;
	}
	if (len > sizeof(q->answer))
		len = sizeof(q->answer);
	if (!dns_parse(q->answer, len, type, out))
		return failed(q->name, "the answer is malformed", f);
	if (out->count > 0)
		return DNS_FOUND;
	if (out->unusable)
		return DNS_UNUSABLE;
	return out->denied ? DNS_DENIED : DNS_NONE;
}

enum dns_result
dns_lookup(const char *name, enum dns_type type, int64_t end,
    struct dns_list *out, struct failure *f)
{
	struct question *q = mem_alloc(sizeof(*q));
	struct await_call call = { ask, discard, q };
	enum dns_result result;

	memset(out, 0, sizeof(*out));
	q->name = mem_strdup(name);
	q->type = (int)type_numbers[type];
	if (!await_run(&call, end > 0 ? end : INT64_MAX))
		return failed(name, "the resolver does not answer", f);
	result = understand(q, type, out, f);
	discard(q);
	return result;
}
