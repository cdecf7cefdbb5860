#include "deliver/aliases.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/failure.h"
#include "base/file.h"
#include "base/text.h"
#include "message/address.h"

/* As msmtp has it: deeper is a mistake. */
#define LEVELS_MAX 16
#define FILE_MAX (16 << 20)
#define BLANKS " \t\r\n"
/* The alias of every other name; and as dma has it. */
#define DEFAULT "default"
#define ANY "*"

struct target {
	char *spec;
	bool final; /* "\name": the name itself, not what it maps to */
};

struct alias {
	char *name;
	unsigned line;
	struct target *targets;
	size_t count;
	bool local_only; /* a program, a file or a list: only sendmail can */
	bool open;	 /* the list goes on in the next line */
};

struct aliases {
	char *path;
	struct alias *v; /* sorted by name */
	size_t n, room;
};

static bool
bad_line(const struct aliases *a, unsigned line, struct failure *f,
    const char *why)
{
	return failure_set(f, FAIL_CONFIG, "%s:%u: %s", a->path, line, why);
}

/* --- reading -------------------------------------------------------------- */

/*
 * Length of the text up to a stop character outside quotes and comments; a
 * '#' stops after white space only, such as a byte order mark.
 */
static size_t
length_until(const char *text, int stop)
{
	bool quoted = false;
	size_t depth = 0, i;

	for (i = 0; text[i] != '\0'; i++) {
		if (text[i] == '\\' && text[i + 1] != '\0') {
			i++;
			continue;
		}
		if (text[i] == '"' && depth == 0)
			quoted = !quoted;
		else if (text[i] == '(' && !quoted)
			depth++;
		else if (text[i] == ')' && !quoted && depth > 0)
			depth--;
		else if (text[i] == stop && !quoted && depth == 0 &&
		    (stop != '#' || i == 0 || text_blank_at_end(text, i) > 0))
			break;
	}
	return i;
}

/* What sendmail takes and a relay cannot do. */
static bool
is_local_only(const char *target)
{
	if (*target == '"')
		target++;
	return *target == '|' || *target == '/' ||
	    text_case_prefix(target, ":include:");
}

static void
add_target(struct alias *alias, const char *spec, bool final)
{
	struct target *t;

	alias->targets = mem_resize(alias->targets, alias->count + 1,
	    sizeof(*alias->targets));
	t = &alias->targets[alias->count++];
	t->spec = mem_strdup(spec);
	t->final = final;
}

static bool
add_element(const struct aliases *a, struct alias *alias, const char *text,
    unsigned line, struct failure *f)
{
	bool final = *text == '\\';
	struct address_list l;
	size_t i;

	if (is_local_only(text)) {
		alias->local_only = true;
		return true;
	}
	if (!address_parse_list(text + final, strlen(text + final), &l, f)) {
		failure_prefix(f, "%s:%u: ", a->path, line);
		f->class = FAIL_CONFIG;
		return false;
	}
	for (i = 0; i < l.n; i++)
		add_target(alias, l.v[i].spec, final);
	address_list_free(&l);
	return true;
}

static bool
add_list(const struct aliases *a, struct alias *alias, const char *text,
    unsigned line, struct failure *f)
{
	char *piece, *element;
	size_t len;
	bool ok = true;

	alias->open = true;
	while (ok && *text != '\0') {
		len = length_until(text, ',');
		piece = mem_strndup(text, len);
		element = text_trim(piece);
		alias->open = text[len] == ',' || *element == '\0';
		if (*element != '\0')
			ok = add_element(a, alias, element, line, f);
		free(element);
		free(piece);
		text += len + (text[len] == ',');
	}
	return ok;
}

/* "name: list". */
static bool
add_alias(struct aliases *a, const char *text, unsigned line, struct failure *f)
{
	size_t len = length_until(text, ':');
	char *raw = mem_strndup(text, len), *name = text_trim(raw);
	struct alias *alias;

	free(raw);
	if (text[len] != ':' || *name == '\0' ||
	    strpbrk(name, BLANKS "\"\\") != NULL) {
		free(name);
		return bad_line(a, line, f, "no line 'name: address'");
	}
	if (a->n == a->room) {
		a->room = a->room == 0 ? 16 : a->room * 2;
		a->v = mem_resize(a->v, a->room, sizeof(*a->v));
	}
	if (strcmp(name, ANY) == 0) {
		free(name);
		name = mem_strdup(DEFAULT);
	}
	alias = &a->v[a->n++];
	*alias = (struct alias){ .name = name, .line = line };
	return add_list(a, alias, text + len + 1, line, f);
}

/* One line, ended by NUL; goes on with the alias before it if that is open. */
static bool
read_line(struct aliases *a, char *text, unsigned line, struct failure *f)
{
	struct alias *last = a->n > 0 ? &a->v[a->n - 1] : NULL;
	char *trimmed;
	bool indented = text_blank(text, strlen(text)) > 0, ok = true;

	text[length_until(text, '#')] = '\0';
	trimmed = text_trim(text);
	if (*trimmed != '\0' && indented && last != NULL && last->open)
		ok = add_list(a, last, trimmed, line, f);
	else if (*trimmed != '\0')
		ok = add_alias(a, trimmed, line, f);
	free(trimmed);
	return ok;
}

static bool
read_lines(struct aliases *a, const struct buf *contents, struct failure *f)
{
	const char *text = buf_str(contents), *line;
	size_t len = contents->len, line_len;
	unsigned number = 0;
	bool ok = true;
	char *copy;

	while (ok && text_next_line(&text, &len, &line, &line_len)) {
		number++;
		copy = mem_strndup(line, line_len);
		ok = text_has_nul(line, line_len) ?
		    bad_line(a, number, f, "a NUL byte") :
		    read_line(a, copy, number, f);
		free(copy);
	}
	return ok;
}

static int
compare_names(const void *a, const void *b)
{
	return text_casecmp(((const struct alias *)a)->name,
	    ((const struct alias *)b)->name);
}

static bool
bad_pair(const struct aliases *a, const struct alias *one,
    const struct alias *two, struct failure *f)
{
	bool swapped = one->line > two->line;

	return failure_set(f, FAIL_CONFIG, "%s:%u: '%s' is in line %u already",
	    a->path, swapped ? one->line : two->line, two->name,
	    swapped ? two->line : one->line);
}

/* Sorts, and looks for what can only be seen when all is read. */
static bool
finish(struct aliases *a, struct failure *f)
{
	size_t i;

	if (a->n == 0)
		return true;
	qsort(a->v, a->n, sizeof(*a->v), compare_names);
	for (i = 0; i < a->n; i++) {
		if (a->v[i].count == 0 && !a->v[i].local_only)
			return bad_line(a, a->v[i].line, f,
			    "an alias without an address");
		if (i > 0 && compare_names(&a->v[i - 1], &a->v[i]) == 0)
			return bad_pair(a, &a->v[i - 1], &a->v[i], f);
	}
	return true;
}

struct aliases *
aliases_load(const char *path, struct failure *f)
{
	struct aliases *a = mem_alloc(sizeof(*a));
	struct buf contents = BUF_INIT(FILE_MAX);
	bool ok = file_load(path, false, &contents, f);

	a->path = mem_strdup(path);
	if (!ok)
		failure_prefix(f, "aliases: ");
	ok = ok && read_lines(a, &contents, f) && finish(a, f);
	buf_free(&contents);
	if (ok)
		return a;
	aliases_free(a);
	return NULL;
}

void
aliases_free(struct aliases *a)
{
	size_t i, k;

	if (a == NULL)
		return;
	for (i = 0; i < a->n; i++) {
		for (k = 0; k < a->v[i].count; k++)
			free(a->v[i].targets[k].spec);
		free(a->v[i].targets);
		free(a->v[i].name);
	}
	free(a->v);
	free(a->path);
	free(a);
}

/* --- expanding ------------------------------------------------------------ */

enum mark { MARK_NEW, MARK_ON_PATH, MARK_DONE };

struct expansion {
	const struct aliases *a;
	unsigned char *marks; /* enum mark of each alias */
	char **list;
	size_t n, room;
	struct failure *f;
};

static const struct alias *
find(const struct aliases *a, const char *name)
{
	struct alias key = { .name = (char *)name };

	if (a->n == 0)
		return NULL;
	return bsearch(&key, a->v, a->n, sizeof(*a->v), compare_names);
}

static void
add_result(struct expansion *x, const char *spec)
{
	if (x->n + 1 >= x->room) {
		x->room = x->room == 0 ? 4 : x->room * 2;
		x->list = mem_resize(x->list, x->room, sizeof(*x->list));
	}
	x->list[x->n++] = mem_strdup(spec);
	x->list[x->n] = NULL;
}

/* The alias that a name stands for; the default one once, so that it may map
   to a name that is nowhere else. */
static const struct alias *
look_up(const struct expansion *x, const char *name)
{
	const struct alias *found = find(x->a, name);

	if (found != NULL)
		return found;
	found = find(x->a, DEFAULT);
	if (found != NULL && x->marks[found - x->a->v] == MARK_ON_PATH)
		return NULL;
	return found;
}

/* Recurses, but no deeper than LEVELS_MAX; each alias is expanded once. */
static bool
expand(struct expansion *x, const struct alias *alias, unsigned level)
{
	unsigned char *mark = &x->marks[alias - x->a->v];
	const struct target *t;
	const struct alias *next;

	if (*mark == MARK_DONE)
		return true;
	if (*mark == MARK_ON_PATH || level > LEVELS_MAX)
		return failure_set(x->f, FAIL_CONFIG, "%s:%u: alias '%s' %s",
		    x->a->path, alias->line, alias->name,
		    level > LEVELS_MAX ? "is more than 16 levels deep" :
					 "leads back to itself");
	if (alias->local_only)
		return failure_set(x->f, FAIL_CONFIG,
		    "%s:%u: alias '%s' names a program, a file or a list; "
		    "there is only the relay",
		    x->a->path, alias->line, alias->name);
	*mark = MARK_ON_PATH;
	for (t = alias->targets; t < alias->targets + alias->count; t++) {
		next = t->final || address_domain(t->spec) != NULL ?
		    NULL :
		    look_up(x, t->spec);
		if (next == NULL)
			add_result(x, t->spec);
		else if (!expand(x, next, level + 1))
			return false;
	}
	*mark = MARK_DONE;
	return true;
}

char **
aliases_expand(const struct aliases *a, const char *name, struct failure *f)
{
	struct expansion x = { .a = a, .f = f, .marks = mem_alloc(a->n) };
	const struct alias *alias = look_up(&x, name);

	if (alias != NULL && !expand(&x, alias, 1)) {
		aliases_free_list(x.list);
		x.list = NULL;
	}
	free(x.marks);
	return x.list;
}

void
aliases_free_list(char **list)
{
	size_t i;

	for (i = 0; list != NULL && list[i] != NULL; i++)
		free(list[i]);
	free(list);
}
