#include "sys/sandbox.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "sys/sandbox_impl.h"

void
sandbox_allow_port(struct sandbox *s, unsigned port)
{
	s->ports = mem_resize(s->ports, s->port_count + 1, sizeof(*s->ports));
	s->ports[s->port_count++] = port;
}

void
sandbox_allow_directory(struct sandbox *s, const char *path)
{
	size_t n = s->directory_count++;

	s->directories = mem_resize(s->directories, n + 1, sizeof(char *));
	s->directories[n] = mem_strdup(path);
}

void
sandbox_free(struct sandbox *s)
{
	size_t i;

	for (i = 0; i < s->directory_count; i++)
		free(s->directories[i]);
	free(s->directories);
	free(s->ports);
	memset(s, 0, sizeof(*s));
}

bool
sandbox_enter(struct sandbox *s)
{
	bool files, calls;

	if (s->level == SANDBOX_NONE || s->entered)
		return s->entered;
	/* The log still wants to know what time it is. */
	tzset();
	files = sandbox_landlock(s);
	calls = sandbox_seccomp(s);
	s->entered = files || calls;
	return s->entered;
}

void
sandbox_describe(struct buf *out)
{
	int version = sandbox_landlock_version();
	size_t start = out->len;

	if (version > 0)
		buf_addf(out, "Landlock (files%s%s)",
		    version < 4 ? "" : ", TCP connections",
		    version < 6 ? "" : ", signals");
	if (sandbox_seccomp_there())
		buf_addf(out, "%sseccomp (system calls)",
		    out->len > start ? ", " : "");
	if (out->len == start)
		buf_adds(out, "none (this system has nothing for it)");
}
