#include "config/settings.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "config/config_impl.h"

/* "off", and what is unset, is 0. */
static uint64_t
number(const char *text)
{
	uint64_t n = 0;

	if (text != NULL)
		(void)text_number(text, 0, UINT64_MAX, &n);
	return n;
}

/* A number of the width that the member has. */
static void
store_number(void *member, size_t size, uint64_t n)
{
	unsigned narrow = (unsigned)n;

	memcpy(member, size == sizeof(n) ? (void *)&n : (void *)&narrow, size);
}

static void
store(void *member, const struct layer *l, enum keyword_id id)
{
	const struct keyword *k = &keywords[id];
	const char *text = l->values[id].text;
	void *items;
	bool flag;

	switch (k->type) {
	case KEYWORD_BOOL:
		flag = layer_flag(l, id);
		memcpy(member, &flag, sizeof(flag));
		break;
	case KEYWORD_NUMBER:
		store_number(member, k->size, number(text));
		break;
	case KEYWORD_SECONDS:
		store_number(member, k->size, number(text) * 1000);
		break;
	case KEYWORD_CHOICE:
		store_number(member, k->size, (uint64_t)layer_choice(l, id));
		break;
	case KEYWORD_LIST:
		items = text != NULL ? keyword_items(k, text, false) : NULL;
		memcpy(member, &items, sizeof(items));
		break;
	case KEYWORD_STRING:
	case KEYWORD_PATH:
	case KEYWORD_SECRET:
		if (k->parse == NULL)
			memcpy(member, &text, sizeof(text));
		else if (text != NULL)
			k->parse(l->values[id].text, member);
		break;
	}
}

void
settings_fill(struct settings *s, const struct layer *l)
{
	enum keyword_id id;

	for (id = 0; id < KEYWORD_COUNT; id++)
		if (keywords[id].size > 0)
			store((char *)s + keywords[id].member, l, id);
}

static void
free_items(const struct settings *s, const struct keyword *k)
{
	void *items;

	if (k->type != KEYWORD_LIST)
		return;
	memcpy(&items, (const char *)s + k->member, sizeof(items));
	free(items);
}

void
effective_free(struct effective *e)
{
	enum keyword_id id;

	for (id = 0; id < KEYWORD_COUNT; id++)
		free_items(&e->settings, &keywords[id]);
	while (e->path_count > 0)
		free(e->paths[--e->path_count]);
	free(e->paths);
	layer_clear(&e->layer);
	free(e);
}

static const struct value *
value_of(const struct settings *s, enum keyword_id id)
{
	return &s->effective->layer.values[id];
}

const char *
settings_origin(const struct settings *s, enum keyword_id id)
{
	const struct value *v = value_of(s, id);

	return v->origin != NULL ? v->origin : "default";
}

bool
settings_is_set(const struct settings *s, enum keyword_id id)
{
	const struct value *v = value_of(s, id);

	return v->text != NULL && v->rank != RANK_DEFAULT;
}

bool
settings_is_of_system(const struct settings *s, enum keyword_id id)
{
	const struct value *v = value_of(s, id);

	return v->text != NULL && v->rank == RANK_SYSTEM;
}

const char *
settings_token_pin(const struct settings *s)
{
	return value_of(s, KW_PASSWORD)->text;
}
