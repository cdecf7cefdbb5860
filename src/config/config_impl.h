/*
 * config, private: layers of values, accounts, and the parts that fill them.
 */
#ifndef CONFIG_IMPL_H
#define CONFIG_IMPL_H

#include <sys/stat.h>

#include "config/config.h"

/* Where a value comes from; a higher rank lies over a lower one. */
enum config_rank {
	RANK_DEFAULT,
	RANK_DJANGO, /* EMAIL_*, SMTPSERVER, and those of containers */
	RANK_SYSTEM,
	RANK_USER,
	RANK_ENVIRONMENT,
	RANK_OPTION
};

struct value {
	bool set;
	bool preset;	/* by `provider`, below everything else */
	bool inherited; /* from `defaults`: not passed on to other accounts */
	char *text;	/* canonical; NULL: unset by an empty value */
	char *origin;
	enum config_rank rank;
};

struct layer {
	struct value values[KEYWORD_COUNT];
};

void layer_clear(struct layer *l);

/* Lays the values of from over to; only those not inherited if own is set. */
void layer_lay(struct layer *to, const struct layer *from, bool own);

/*
 * Checks a value and sets it, msmtp's older words as the ones that replace
 * them.  The failure names the keyword but not the origin.
 */
bool layer_set(struct layer *l, enum keyword_id id, const char *value,
    const char *origin, enum config_rank rank, struct failure *f);

/* Sets a value that is canonical already. */
void value_assign(struct value *v, const char *text, const char *origin,
    enum config_rank rank);

struct account {
	char *name;
	enum config_rank rank;
	bool restricted; /* of a file that a stranger may have chosen */
	struct layer layer;
};

/* A place that was looked at, for messages. */
struct place {
	char *path;
	char *trouble; /* "exists but cannot be read (...)", or NULL */
	bool found;
	bool denied; /* it is there, but not for us */
};

/* Where the user's files are; asked for only when one is wanted, as what
   answers may be a directory server. */
struct directories {
	bool known;
	char *home; /* or NULL */
	char *user; /* $XDG_CONFIG_HOME or ~/.config, or NULL */
	/* What the environment of root named, but belongs to others. */
	char *strange_home, *strange_user;
	char **refused; /* files that were said not to be read */
	size_t refused_count;
};

struct config {
	struct config_request request;
	const char *directory; /* SYSCONFDIR */
	struct directories *directories;
	struct account *accounts;
	size_t account_count;
	struct place *places;
	size_t place_count;
	struct layer environment, options;
	struct layer container; /* variables of relay containers */
	struct account rescue;	/* of EMAIL_*_RESCUE; no name: none */

	struct effective **made;
	size_t made_count;
	bool warned; /* of a password that others may read */
};

/* Settings, and what they were made from. */
struct effective {
	struct settings settings;
	struct config *config;
	const struct account *account; /* NULL: environment and options alone */
	bool is_fallback;
	struct layer layer;
	bool restricted; /* no secret but what its own file holds */
	bool stranger;	 /* the arguments have named the relay */
	bool withheld;	 /* a password that is not for this host */
	char **paths;	 /* of keys, with the home directory */
	size_t path_count;
};

/* settings.c */

void effective_free(struct effective *e);

/* Every member that a row of keywords[] has, from canonical values. */
void settings_fill(struct settings *s, const struct layer *l);

bool layer_flag(const struct layer *l, enum keyword_id id);
int layer_choice(const struct layer *l, enum keyword_id id);

/* config_home.c */

/* NULL when there is none, and always in privileged mode. */
const char *config_home(const struct config *c);
const char *config_user_directory(const struct config *c);
void config_free_directories(struct directories *d);

/* Warns of a file in the home or user directory that is not root's, if it is
   there. */
void config_look_at_strangers(const struct config *c, bool user,
    const char *name);

/* config_from.c */

/* Divides a value of `from` into the addresses, as a list of words, and the
   display name of the first of them, or NULL; free() both. */
bool config_split_from(const char *value, char **addresses, char **name,
    struct failure *f);

/* config_file.c */

/* Reads the files that the request allows. */
bool config_read_files(struct config *c, struct failure *f);

struct config_file {
	const char *path;
	enum config_rank rank;
	struct stat st;
	bool chosen;	 /* -C */
	bool restricted; /* guarded keywords are left out */
};

/* The parser: bytes of a file that was checked.  Only `eval` does any I/O. */
bool config_parse(struct config *c, const struct config_file *file,
    const char *text, size_t len, struct failure *f);

/* config_place.c */

/* Opens, checks and reads a file whole: found is false when it is missing. */
bool config_read_file(struct config *c, struct config_file *file,
    struct buf *out, bool *found, struct failure *f);

/* Whether the file may hold a password, or a command that gives one. */
bool config_may_hold(const struct config *c, const struct config_file *file,
    bool password, struct failure *f);

/* Adds lines "PATH: not there" to the failure's detail. */
void config_list_places(const struct config *c, struct failure *f);

/* config_env.c */

bool config_read_environment(struct config *c, struct failure *f);

/* Whether a variable is set to more than nothing, '' or "". */
const char *config_env(const struct config *c, const char *name);

/*
 * What a variable says or, where it is not set, the file that one with _FILE
 * behind its name names: NULL when neither is.  *origin is the name of the one
 * that counts.  free() both.
 */
bool config_variable(const struct config *c, const char *name, bool secret,
    char **value, char **origin, struct failure *f);

/* config_application.c */

/* An account from the variables of an application, if any are set; what is a
   fallback for it becomes c->rescue. */
bool config_application(struct config *c, struct layer *out, bool *found,
    struct failure *f);

/* config_container.c */

/* Reads the variables of relay containers. */
bool config_read_container(struct config *c, struct failure *f);

/* Lays them, if they were read, below a layer that is to come: without the
   relay that they name where that or the environment or an option names
   another one. */
void config_lay_container(const struct config *c, struct layer *to,
    const struct layer *above);

/* config_finish.c */

/* Sets what the provider of the layer stands for, where nothing else says. */
void config_preset(struct layer *l);

/* Host or socket of a layer, or NULL. */
const char *config_endpoint(const struct layer *l);

/* Whether TLS begins with the first byte there; port may be NULL. */
bool config_is_implicit_port(const char *port);

/* Fills in defaults and what follows from other values, and checks: the
   settings are complete then. */
bool config_finish(struct effective *e, struct failure *f);

/* One item of a value that is a list with blanks or commas between, moving
   *list on; NULL at the end, else free() it. */
char *config_next_item(const char **list);

/* What settings_path() and settings_is_own() say. */
char *config_path(const struct config *c, const char *path);
bool config_is_own(const struct config *c, const char *path);

/* config_expand.c */

/* text with %U, %H, %C, %M and, given from_header, %F replaced; NULL with
   FAIL_CONFIG when one is not known; free() it. */
char *config_expand_text(const struct config *c, const char *text,
    const char *from_header, struct failure *f);

#endif
