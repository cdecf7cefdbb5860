#include "srv.h"

#include <arpa/nameser.h>
#include <netdb.h>
#include <netinet/in.h>
#include <resolv.h>

#include <stdlib.h>
#include <string.h>

#include "outcome.h"
#include "text.h"

/* Longest answer that is looked at. */
#define ANSWER_MAX 16384

/* RFC 1035 section 4.1.1; RFC 2782: priority, weight, port before a name. */
#define HEADER_SIZE 12
#define SRV_FIXED 6

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

/* "." says that there is no such service (RFC 2782). */
static bool
take_srv(struct reader *r, size_t len, struct srv_list *out)
{
	struct reader data = { r->start, r->at, r->at + len };
	struct srv_record record;
	int n;

	memset(&record, 0, sizeof(record));
	if (len < SRV_FIXED || !take16(&data, &record.priority) ||
	    !take16(&data, &record.weight) || !take16(&data, &record.port))
		return false;
	n = dn_expand(r->start, r->end, data.at, record.target,
	    sizeof(record.target));
	if (n < 0 || n > data.end - data.at || !is_plain(record.target))
		return false;
	if (record.target[0] != '\0' && strcmp(record.target, ".") != 0 &&
	    record.port != 0 && out->count < SRV_MAX)
		out->list[out->count++] = record;
	return true;
}

static bool
take_answer(struct reader *r, struct srv_list *out)
{
	unsigned type, class, len;

	if (!skip_name(r) || !take16(r, &type) || !take16(r, &class) ||
	    !skip(r, 4) || !take16(r, &len) || (size_t)(r->end - r->at) < len)
		return false;
	if (type == ns_t_srv && class == ns_c_in && !take_srv(r, len, out))
		return false;
	return skip(r, len);
}

/* Among equals of priority the one that is to get most. */
static int
compare(const void *a, const void *b)
{
	const struct srv_record *x = a, *y = b;

	if (x->priority != y->priority)
		return x->priority < y->priority ? -1 : 1;
	if (x->weight != y->weight)
		return x->weight > y->weight ? -1 : 1;
	return strcmp(x->target, y->target);
}

bool
srv_parse(const void *message, size_t len, struct srv_list *out)
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
		if (!take_answer(&r, out))
			return false;
	qsort(out->list, out->count, sizeof(out->list[0]), compare);
	return true;
}

enum srv_result
srv_lookup(const char *name, struct srv_list *out, struct failure *f)
{
	unsigned char answer[ANSWER_MAX];
	int len = res_query(name, ns_c_in, ns_t_srv, answer, sizeof(answer));

	memset(out, 0, sizeof(*out));
	if (len < 0 && (h_errno == HOST_NOT_FOUND || h_errno == NO_DATA))
		return SRV_NONE;
	if (len < 0) {
		failure_set(f, FAIL_TEMP, "cannot look up '%s': %s", name,
		    hstrerror(h_errno));
		failure_hint(f, "check the resolver (/etc/resolv.conf)");
		return SRV_FAILED;
	}
	if ((size_t)len > sizeof(answer))
		len = sizeof(answer);
	if (!srv_parse(answer, (size_t)len, out)) {
		failure_set(f, FAIL_TEMP,
		    "cannot look up '%s': the answer is malformed", name);
		return SRV_FAILED;
	}
	return out->count > 0 ? SRV_FOUND : SRV_NONE;
}
