#include "reader.h"

#include "unit.h"

int
reader_set_up(void **state, size_t max)
{
	struct reader *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return -1;
	t->dir = unit_directory();
	*state = t;
	(void)snprintf(t->path, sizeof(t->path), "%s/file", t->dir);
	buf_init(&t->out, max);
	failure_init(&t->f);
	return 0;
}

int
reader_tear_down(void **state)
{
	struct reader *t = *state;

	unit_remove_directory();
	buf_free(&t->out);
	failure_free(&t->f);
	free(t);
	return 0;
}
