#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/failure.h"
#include "base/log.h"
#include "base/text.h"
#include "config/config_impl.h"
#include "config/secret.h"

/* `eval` has the time of a password command. */
#define EVAL_TIMEOUT_MS 60000

#define NO_ACCOUNT SIZE_MAX

struct parser {
	struct config *config;
	const struct config_file *file;
	struct layer defaults;
	size_t first;	/* of this file's accounts */
	size_t current; /* account that lines go to, or NO_ACCOUNT */
	bool in_defaults;
	bool in_eval;
	unsigned line;
};

static size_t
find_here(const struct parser *p, const char *name)
{
	size_t i;

	for (i = p->first; i < p->config->account_count; i++)
		if (strcmp(p->config->accounts[i].name, name) == 0)
			return i;
	return NO_ACCOUNT;
}

/* Takes name over. */
static void
add_account(struct parser *p, char *name)
{
	struct config *c = p->config;
	struct account *a;
	size_t i;

	c->accounts = mem_resize(c->accounts, c->account_count + 1,
	    sizeof(*c->accounts));
	p->current = c->account_count++;
	p->in_defaults = false;
	a = &c->accounts[p->current];
	memset(a, 0, sizeof(*a));
	a->name = name;
	a->rank = p->file->rank;
	a->restricted = p->file->restricted;
	layer_lay(&a->layer, &p->defaults, false);
	for (i = 0; i < KEYWORD_COUNT; i++)
		a->layer.values[i].inherited = a->layer.values[i].set;
}

/* "A, B": what each has set itself, in order. */
static bool
inherit(struct parser *p, const char *bases, struct failure *f)
{
	const char *comma;
	size_t from;

	for (;; bases = comma + 1) {
		char *raw, *name;

		comma = bases + strcspn(bases, ",");
		raw = mem_strndup(bases, (size_t)(comma - bases));
		name = text_trim(raw);
		free(raw);
		from = find_here(p, name);
		if (from == NO_ACCOUNT || from == p->current) {
			failure_set(f, FAIL_CONFIG,
			    "account '%s' is not defined above", name);
			free(name);
			return false;
		}
		free(name);
		layer_lay(&p->config->accounts[p->current].layer,
		    &p->config->accounts[from].layer, true);
		if (*comma == '\0')
			return true;
	}
}

static bool
parse_account(struct parser *p, const char *value, struct failure *f)
{
	const char *colon = strchr(value, ':');
	size_t len = colon != NULL ? (size_t)(colon - value) : strlen(value);
	char *raw = mem_strndup(value, len), *name = text_trim(raw);
	bool ok;

	free(raw);
	if (*name == '\0' || strpbrk(name, ", \t") != NULL)
		ok = failure_set(f, FAIL_CONFIG,
		    "account: needs one name, without blanks and commas");
	else if (find_here(p, name) != NO_ACCOUNT)
		ok = failure_set(f, FAIL_CONFIG,
		    "account '%s' is defined twice", name);
	else {
		add_account(p, name);
		return colon == NULL || inherit(p, colon + 1, f);
	}
	free(name);
	return ok;
}

static bool
parse_defaults(struct parser *p, const char *value, struct failure *f)
{
	if (*value != '\0')
		return failure_set(f, FAIL_CONFIG,
		    "defaults: takes no argument");
	p->in_defaults = true;
	return true;
}

static bool parse_line(struct parser *p, const char *line, size_t len,
    struct failure *f);

/* msmtp's: the first line that a command prints stands in its place. */
static bool
parse_eval(struct parser *p, const char *value, struct failure *f)
{
	struct buf line = BUF_INIT(SECRET_MAX);
	bool ok;

	if (*value == '\0')
		return failure_set(f, FAIL_CONFIG, "eval: needs a command");
	if (p->in_eval)
		return failure_set(f, FAIL_CONFIG, "eval: inside of eval");
	if (p->config->request.privileged || p->file->restricted)
		return failure_set(f, FAIL_NOPERM,
		    "eval: no command of this file is run");
	if (!config_may_hold(p->config, p->file, false, f))
		return false;
	if (secret_from_command(value, EVAL_TIMEOUT_MS, &line, f) !=
	    SECRET_FOUND) {
		failure_prefix(f, "eval: ");
		buf_free(&line);
		return false;
	}
	p->in_eval = true;
	ok = parse_line(p, buf_str(&line), line.len, f);
	p->in_eval = false;
	buf_free(&line);
	return ok;
}

/* How much of an unknown word may be shown: not what another language has
   behind "password=", nor what follows a blank that was forgotten. */
static int
shown_length(const char *word)
{
	size_t len = strcspn(word, "=:"), id, n;

	if (word[len] != '\0')
		len++;
	for (id = 0; id < KEYWORD_COUNT; id++) {
		n = strlen(keywords[id].name);
		if (keywords[id].type == KEYWORD_SECRET && n < len &&
		    text_case_prefix(word, keywords[id].name) &&
		    strchr("_-=:", word[n]) == NULL)
			len = n;
	}
	return (int)len;
}

/* A typing error in what protects must not pass: it could show a secret.
   Nor is what a command has printed shown: it may be the secret. */
static bool
parse_unknown(struct parser *p, const char *name, struct failure *f)
{
	const char *word = p->in_eval ? "of eval" : name;
	int len = p->in_eval ? (int)strlen(word) : shown_length(word);

	if (keyword_is_critical(name, strlen(name))) {
		failure_set(f, FAIL_CONFIG, "unknown keyword '%.*s'", len,
		    word);
		failure_hint(f, "onehop.conf(5) lists the keywords");
		return false;
	}
	log_warn("%s:%u: unknown keyword '%.*s' is ignored", p->file->path,
	    p->line, len, word);
	return true;
}

static bool
parse_keyword(struct parser *p, enum keyword_id id, const char *value,
    struct failure *f)
{
	bool secret = keywords[id].type == KEYWORD_SECRET;
	struct layer *to = &p->defaults;
	char *origin;
	bool ok;

	if (p->file->restricted &&
	    (keywords[id].flags & KEYWORD_GUARDED) != 0) {
		log_warn("%s:%u: '%s' is ignored: root does not own the file "
			 "that the caller of sendmail has chosen",
		    p->file->path, p->line, keywords[id].name);
		return true;
	}
	if (*value != '\0' && (secret || id == KW_PASSWORDEVAL) &&
	    !(p->in_eval && secret) &&
	    !config_may_hold(p->config, p->file, secret, f))
		return false;
	/* Lines before the first account belong to one called default. */
	if (!p->in_defaults && p->current == NO_ACCOUNT)
		add_account(p, mem_strdup("default"));
	if (!p->in_defaults)
		to = &p->config->accounts[p->current].layer;
	origin = mem_printf("%s:%u", p->file->path, p->line);
	ok = layer_set(to, id, value, origin, p->file->rank, f);
	if (ok && !secret && text_has_pin(value) &&
	    (p->file->st.st_mode & S_IROTH) != 0)
		log_warn("%s: everybody can read the PIN in '%s'", origin,
		    keywords[id].name);
	free(origin);
	return ok;
}

typedef bool structure_function(struct parser *p, const char *value,
    struct failure *f);

/* What parses the value of a word that is no setting, or NULL. */
static structure_function *
find_structure(const char *name, size_t len)
{
	static const struct {
		const char *name;
		structure_function *parse;
	} words[] = { { "account", parse_account },
		{ "defaults", parse_defaults }, { "eval", parse_eval } };
	size_t i;

	for (i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (text_case_equal(name, len, words[i].name))
			return words[i].parse;
	return NULL;
}

static bool
parse_command(struct parser *p, const char *name, const char *value,
    struct failure *f)
{
	structure_function *parse = find_structure(name, strlen(name));
	int id = keyword_find(name, strlen(name));

	if (parse != NULL)
		return parse(p, value, f);
	if (id == -1)
		return parse_unknown(p, name, f);
	return parse_keyword(p, (enum keyword_id)id, value, f);
}

/*
 * The word that begins a line, and its length there.  Where an invisible blank
 * ends it and it is not known, it is the word that a reader sees.
 */
static char *
first_word(const char *line, size_t len, size_t *used)
{
	struct buf seen = BUF_INIT(CONFIG_FILE_MAX);
	size_t n = 0, blank;
	char *word;

	while (n < len && text_blank(line + n, len - n) == 0)
		n++;
	*used = n;
	if (find_structure(line, n) != NULL || keyword_find(line, n) != -1)
		return mem_strndup(line, n);
	for (n = 0; n < len && !text_is_space(line[n]); n += blank) {
		blank = text_blank(line + n, len - n);
		if (blank == 0) {
			buf_addc(&seen, line[n]);
			blank = 1;
		}
	}
	*used = n;
	word = mem_strdup(buf_str(&seen));
	buf_free(&seen);
	return word;
}

/* A word, blanks, and the rest of the line, less one pair of quotes. */
static bool
parse_line(struct parser *p, const char *line, size_t len, struct failure *f)
{
	size_t used;
	char *name, *value;
	bool ok;

	text_strip(&line, &len);
	if (len == 0 || *line == '#')
		return true;
	if (text_has_nul(line, len))
		return failure_set(f, FAIL_CONFIG, "NUL byte in the line");
	name = first_word(line, len, &used);
	line += used;
	len -= used;
	text_strip(&line, &len);
	if (len >= 2 && line[0] == '"' && line[len - 1] == '"') {
		line++;
		len -= 2;
	}
	value = mem_strndup(line, len);
	ok = parse_command(p, name, value, f);
	free(name);
	mem_free_secret(value);
	return ok;
}

bool
config_parse(struct config *c, const struct config_file *file, const char *text,
    size_t len, struct failure *f)
{
	struct parser p = { c, file, { { { 0 } } }, c->account_count,
		NO_ACCOUNT, false, false, 0 };
	const char *end;
	bool ok = true;
	size_t n;

	text_skip_bom(&text, &len);
	while (ok && len > 0) {
		p.line++;
		end = memchr(text, '\n', len);
		n = end != NULL ? (size_t)(end - text) : len;
		ok = parse_line(&p, text, n, f);
		if (end != NULL)
			n++;
		text += n;
		len -= n;
	}
	if (!ok)
		failure_prefix(f, "%s:%u: ", file->path, p.line);
	layer_clear(&p.defaults);
	return ok;
}

/* --- which files ---------------------------------------------------------- */

static bool
read_one(struct config *c, const char *path, enum config_rank rank, bool chosen,
    bool *found, struct failure *f)
{
	struct buf text = BUF_INIT(CONFIG_FILE_MAX);
	struct config_file file;
	bool ok;

	memset(&file, 0, sizeof(file));
	file.path = path;
	file.rank = rank;
	file.chosen = chosen;
	ok = config_read_file(c, &file, &text, found, f);
	if (ok && *found)
		ok = config_parse(c, &file, buf_str(&text), text.len, f);
	buf_free(&text);
	return ok;
}

/* The first of several files that is there; NULL directories are left out. */
static bool
read_first(struct config *c, const char *const (*files)[2], size_t count,
    enum config_rank rank, struct failure *f)
{
	bool found = false, ok = true;
	size_t i;

	for (i = 0; ok && !found && i < count; i++) {
		char *path;

		if (files[i][0] == NULL)
			continue;
		path = mem_printf("%s/%s", files[i][0], files[i][1]);
		if (rank != RANK_USER || config_is_own(c, path))
			ok = read_one(c, path, rank, false, &found, f);
		/* One that only others may read is there all the same. */
		if (c->place_count > 0 && c->places[c->place_count - 1].denied)
			found = true;
		free(path);
	}
	return ok;
}

static bool
read_user(struct config *c, struct failure *f)
{
	const char *home = config_home(c), *user = config_user_directory(c);
	const char *const places[][2] = { { user, "onehop/config" },
		{ home, ".onehoprc" }, { home, ".msmtprc" },
		{ user, "msmtp/config" } };
	size_t i;

	for (i = 0; i < 4; i++)
		config_look_at_strangers(c, i % 3 == 0, places[i][1]);
	return read_first(c, places, 4, RANK_USER, f);
}

bool
config_read_files(struct config *c, struct failure *f)
{
	const char *const system[][2] = { { c->directory, "onehop.conf" },
		{ c->directory, "msmtprc" } };
	bool found;

	/* msmtp's rule: --host means that no file says anything. */
	if (c->options.values[KW_HOST].set ||
	    c->options.values[KW_PROVIDER].set)
		return true;
	if (c->request.privileged)
		return read_first(c, system, 1, RANK_SYSTEM, f);
	if (c->request.file != NULL) {
		if (!read_one(c, c->request.file, RANK_USER, true, &found, f))
			return false;
	} else if (!read_user(c, f))
		return false;
	return read_first(c, system, 2, RANK_SYSTEM, f);
}
