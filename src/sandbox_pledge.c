/* pledge(2) and unveil(2), on OpenBSD. */
#include <unistd.h>

#include "sandbox_impl.h"

#if defined(HAVE_PLEDGE) && defined(HAVE_UNVEIL)

bool
sandbox_pledge_there(void)
{
	return true;
}

/* unveil() shows what it names and hides the rest. */
static bool
show(const struct sandbox *s)
{
	size_t i;

	for (i = 0; i < s->directory_count; i++)
		if (unveil(s->directories[i], "rwc") != 0)
			return false;
	return (s->level == SANDBOX_LAST || unveil("/", "r") == 0) &&
	    unveil(NULL, NULL) == 0;
}

bool
sandbox_pledge(const struct sandbox *s)
{
	bool makes = s->directory_count > 0;

	if (s->level == SANDBOX_LAST && !makes)
		return pledge("stdio inet unix flock", NULL) == 0;
	if (!show(s))
		return false;
	if (s->level == SANDBOX_LAST)
		return pledge("stdio rpath wpath cpath flock", NULL) == 0;
	return pledge(makes ? "stdio rpath wpath cpath inet unix dns flock" :
			      "stdio rpath inet unix dns flock",
		   NULL) == 0;
}

#else

bool
sandbox_pledge_there(void)
{
	return false;
}

bool
sandbox_pledge(const struct sandbox *s)
{
	(void)s;
	return false;
}

#endif
