#include "cli/invocation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/failure.h"
#include "base/text.h"
#include "cli/invocation_impl.h"

/* Column of the explanations in --help. */
#define HELP_COLUMN 32

static const struct {
	const char *name;
	enum invocation_personality personality;
	enum invocation_mode mode;
} personalities[] = {
	{ "sendmail", PERSONA_SENDMAIL, MODE_DELIVER },
	{ "msmtp", PERSONA_MSMTP, MODE_DELIVER },
	{ "mailq", PERSONA_MAILQ, MODE_QUEUE_LIST },
	{ "newaliases", PERSONA_NEWALIASES, MODE_ALIASES },
};

static void
find_personality(struct invocation *out, const char *name)
{
	const char *base;
	size_t i;

	out->personality = PERSONA_ONEHOP;
	out->mode = MODE_DELIVER;
	if (name == NULL)
		return;
	base = strrchr(name, '/');
	base = base != NULL ? base + 1 : name;
	for (i = 0; i < sizeof(personalities) / sizeof(*personalities); i++)
		if (strcmp(base, personalities[i].name) == 0) {
			out->personality = personalities[i].personality;
			out->mode = personalities[i].mode;
		}
}

static bool
is_sendmail(const struct invocation *out)
{
	return out->personality != PERSONA_ONEHOP &&
	    out->personality != PERSONA_MSMTP;
}

static bool
missing_argument(struct parse *p, const char *option)
{
	return failure_set(p->f, FAIL_USAGE, "option %s needs an argument",
	    option);
}

static const struct option_letter *
find_letter(char letter)
{
	const struct option_letter *row;

	for (row = option_letters; row->letter != '\0'; row++)
		if (row->letter == letter)
			return row;
	return NULL;
}

/*
 * Whether BusyBox's -S has its argument in the next word: elsewhere it has
 * none, and what follows is another option or a recipient.
 */
static bool
is_server(const struct parse *p)
{
	const char *word = p->next < p->argc ? p->argv[p->next] : "-";

	return word[0] != '-' && strchr(word, '@') == NULL;
}

static enum option_argument
argument_of(const struct parse *p, const struct option_letter *row,
    enum option_action action, const char *rest)
{
	if (action != ACTION_SERVER)
		return row->argument;
	return *rest != '\0' || is_server(p) ? TAKES_ONE : TAKES_NONE;
}

/*
 * One letter of a cluster; *rest is what follows it in the word, and becomes
 * NULL when that was its argument.
 */
static bool
parse_letter(struct parse *p, const char *letter, const char **rest)
{
	const struct option_letter *row = find_letter(*letter);
	char *name = mem_printf("-%c", *letter);
	struct found found = { option_own(p, name), "", false, ACTION_NONE,
		MODE_DELIVER };
	enum option_argument argument;

	if (row == NULL) {
		/* What follows may be its argument: no more letters. */
		option_warn(p,
		    mem_printf("unknown option %s is ignored", name));
		*rest = NULL;
		return true;
	}
	found.action = row->action;
	if (is_sendmail(p->out) && row->as_sendmail != ACTION_NONE)
		found.action = row->as_sendmail;
	argument = argument_of(p, row, found.action, *rest);
	if (argument != TAKES_NONE && **rest != '\0') {
		found.argument = *rest;
		found.attached = true;
	} else if (argument == TAKES_ONE && p->next < p->argc) {
		found.argument = p->argv[p->next++];
	} else if (argument == TAKES_ONE) {
		if (row->mode == MODE_DELIVER)
			return missing_argument(p, name);
		p->out->mode = row->mode;
	}
	if (argument != TAKES_NONE)
		*rest = NULL;
	found.mode = row->mode;
	/* -qSOMETHING and the like: the mode takes no argument. */
	if (found.action == ACTION_MODE)
		found.argument = "";
	return option_apply(p, &found);
}

static bool
parse_letters(struct parse *p, const char *word)
{
	const char *letter = word, *rest;

	while (letter != NULL && *letter != '\0') {
		rest = letter + 1;
		if (!parse_letter(p, letter, &rest))
			return false;
		letter = rest;
	}
	return true;
}

/* A long option of one of the two tables. */
struct candidate {
	const struct option_word *word;		  /* or */
	const struct config_long_option *keyword; /* or neither */
	bool ambiguous;
};

enum match { MATCH_NONE, MATCH_PREFIX, MATCH_EXACT };

/* '_' is as good as '-': the keyword has it; and case as in files. */
static enum match
match_name(const char *name, const char *given, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (name[i] == '\0' ||
		    (name[i] != text_lower(given[i]) &&
			!(name[i] == '-' && given[i] == '_')))
			return MATCH_NONE;
	return name[len] == '\0' ? MATCH_EXACT : MATCH_PREFIX;
}

/* GNU's rule: an exact name, else the only one that begins so. */
static struct candidate
find_long(const struct parse *p, const char *given, size_t len)
{
	struct candidate best = { NULL, NULL, false };
	const struct option_word *word;
	size_t i, matches = 0;
	enum match m;

	for (word = option_words; word->name != NULL; word++) {
		m = match_name(word->name, given, len);
		if (m == MATCH_EXACT)
			return (struct candidate){ word, NULL, false };
		if (m == MATCH_PREFIX) {
			best.word = word;
			matches++;
		}
	}
	for (i = 0; i < p->count; i++) {
		m = match_name(p->options[i].name, given, len);
		if (m == MATCH_EXACT)
			return (
			    struct candidate){ NULL, &p->options[i], false };
		if (m == MATCH_PREFIX) {
			best.keyword = &p->options[i];
			matches++;
		}
	}
	best.ambiguous = matches > 1;
	return best;
}

static void
list_candidates(const struct parse *p, const char *given, size_t len)
{
	struct buf names = BUF_INIT(4096);
	const struct option_word *word;
	size_t i;

	for (word = option_words; word->name != NULL; word++)
		if (match_name(word->name, given, len) != MATCH_NONE)
			buf_addf(&names, " --%s", word->name);
	for (i = 0; i < p->count; i++)
		if (match_name(p->options[i].name, given, len) != MATCH_NONE)
			buf_addf(&names, " --%s", p->options[i].name);
	failure_hint(p->f, "one of%s", buf_str(&names));
	buf_free(&names);
}

/* A keyword that is no option, and must not be taken for the beginning of
   another. */
static bool
is_password(const char *given, size_t len)
{
	return len >= 4 && len <= 8 &&
	    match_name("password", given, len) != MATCH_NONE;
}

/* Never the value: it may be the password that somebody tried to give. */
static bool
unknown_long(struct parse *p, const char *option, const char *given, size_t len,
    const struct candidate *c)
{
	if (c->ambiguous) {
		failure_set(p->f, FAIL_USAGE, "option %s is ambiguous", option);
		list_candidates(p, given, len);
		return false;
	}
	failure_set(p->f, FAIL_USAGE, "unknown option %s", option);
	if (is_password(given, len))
		failure_hint(p->f,
		    "arguments can be read by everybody: use the secrets file, "
		    "passwordeval or ONEHOP_PASSWORD_FILE");
	else
		failure_hint(p->f, "--help lists the options");
	return false;
}

/* word is what follows the two dashes. */
static bool
parse_long(struct parse *p, const char *word)
{
	size_t len = strcspn(word, "=");
	struct candidate c = find_long(p, word, len);
	struct found found = { NULL, "", word[len] == '=', ACTION_NONE,
		MODE_DELIVER };
	enum option_argument kind;

	found.option = option_own(p, mem_printf("--%.*s", (int)len, word));
	if (c.ambiguous || (c.word == NULL && c.keyword == NULL) ||
	    is_password(word, len))
		return unknown_long(p, found.option, word, len, &c);
	if (c.word != NULL)
		kind = c.word->argument;
	else
		kind = c.keyword->argument == ARGUMENT_OPTIONAL ?
		    TAKES_ATTACHED :
		    TAKES_ONE;
	if (found.attached && kind == TAKES_NONE)
		return failure_set(p->f, FAIL_USAGE,
		    "option %s takes no argument", found.option);
	if (found.attached)
		found.argument = word + len + 1;
	else if (kind == TAKES_ONE) {
		if (p->next == p->argc)
			return missing_argument(p, found.option);
		found.argument = p->argv[p->next++];
	}
	if (c.word != NULL) {
		found.action = c.word->action;
		found.mode = c.word->mode;
		/* As of a variable that is not set. */
		if (kind == TAKES_ONE && found.action == ACTION_MODE &&
		    *found.argument == '\0')
			return missing_argument(p, found.option);
		return option_apply(p, &found);
	}
	if (!option_clean(p, &found, false))
		return false;
	option_setting(p, c.keyword->keyword, found.option, found.argument);
	return true;
}

static bool
add_recipient(struct parse *p, const char *word)
{
	if (text_has_control(word, strlen(word)))
		return failure_set(p->f, FAIL_DATA,
		    "recipient '%s': control byte", word);
	p->out->submission.recipients[p->out->submission.recipient_count++] =
	    word;
	return true;
}

/* People try what other programs take.  A sendmail may have an alias of that
   name. */
static bool
asks_for_help(const struct parse *p, const char *word)
{
	return p->argc == 2 &&
	    (strcmp(word, "-help") == 0 || strcmp(word, "-?") == 0 ||
		(strcmp(word, "help") == 0 &&
		    p->out->personality == PERSONA_ONEHOP));
}

bool
invocation_parse(struct invocation *out, int argc, char **argv,
    const struct config_long_option *options, size_t count, struct failure *f)
{
	struct parse p = { out, argc, 1, argv, options, count, f };
	bool only_recipients = false;
	const char *word;

	memset(out, 0, sizeof(*out));
	find_personality(out, argc > 0 ? argv[0] : NULL);
	if (argc > 1)
		out->submission.recipients = mem_alloc(
		    (size_t)argc * sizeof(*out->submission.recipients));
	while (p.next < argc) {
		bool ok;

		word = argv[p.next++];
		if (asks_for_help(&p, word)) {
			out->mode = MODE_HELP;
			break;
		}
		if (only_recipients || word[0] != '-' || word[1] == '\0')
			ok = add_recipient(&p, word);
		else if (strcmp(word, "--") == 0)
			ok = only_recipients = true;
		else if (word[1] == '-')
			ok = parse_long(&p, word + 2);
		else
			ok = parse_letters(&p, word + 1);
		if (!ok)
			return false;
	}
	if (out->submission.sender_given && out->submission.read_envelope_from)
		return failure_set(f, FAIL_USAGE,
		    "-f and --read-envelope-from exclude each other");
	if (out->mode == MODE_SERVE)
		out->submission.by = SUBMISSION_SESSION;
	else if (out->mode == MODE_LISTEN)
		out->submission.by = SUBMISSION_LISTENER;
	return true;
}

void
invocation_free(struct invocation *inv)
{
	size_t i;

	for (i = 0; i < inv->warning_count; i++)
		free(inv->warnings[i]);
	for (i = 0; i < inv->owned_count; i++)
		free(inv->owned[i]);
	free(inv->warnings);
	free(inv->owned);
	free(inv->settings);
	free(inv->submission.recipients);
	memset(inv, 0, sizeof(*inv));
}

/* "  --host=HOST        the relay": names in one column, words in another. */
static void
help_line(struct buf *out, const char *name, const char *value, bool optional,
    const char *doc)
{
	size_t start = out->len, used;

	buf_addf(out, "  %s", name);
	if (value != NULL) {
		const char *between = name[1] == '-' ? "=" : " ";

		buf_addf(out, optional ? "[%s%s]" : "%s%s", between, value);
	}
	used = out->len - start;
	if (used >= HELP_COLUMN) {
		buf_addc(out, '\n');
		used = 0;
	}
	buf_addf(out, "%*s%s\n", (int)(HELP_COLUMN - used), "", doc);
}

void
invocation_help(struct buf *out, const struct config_long_option *options,
    size_t count)
{
	const struct option_letter *letter;
	const struct option_word *word;
	char name[64];
	size_t i;

	buf_adds(out,
	    "usage: sendmail [option ...] recipient ...\n"
	    "       sendmail -t [option ...] [recipient ...]\n"
	    "Sends the message on standard input to the configured relay.\n"
	    "\nOptions of sendmail:\n");
	for (letter = option_letters; letter->letter != '\0'; letter++)
		if (letter->doc != NULL) {
			char flag[] = { '-', letter->letter, '\0' };

			help_line(out, flag, letter->value, false, letter->doc);
		}
	buf_adds(out, "\nWhat to do:\n");
	for (word = option_words; word->name != NULL; word++) {
		snprintf(name, sizeof(name), "--%s", word->name);
		help_line(out, name, word->value,
		    word->argument == TAKES_ATTACHED, word->doc);
	}
	buf_adds(out, "\nSettings, as in onehop.conf(5):\n");
	for (i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "--%s", options[i].name);
		help_line(out, name, options[i].value,
		    options[i].argument == ARGUMENT_OPTIONAL, options[i].doc);
	}
}
