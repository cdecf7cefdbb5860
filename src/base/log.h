/*
 * log: the sinks.  One record per attempt and destination, one write(2) each;
 * everything that comes from outside is escaped here, once.
 */
#ifndef LOG_H
#define LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct failure;

enum log_format { LOG_TEXT, LOG_JSON };

struct log_params {
	const char *file;	 /* path, "-" for standard output, or NULL */
	const char *time_format; /* strftime, "none", or NULL for default */
	int syslog_facility;	 /* LOG_MAIL ..., or 0 for none */
	const char *tag;	 /* syslog ident, or NULL; must stay valid */
	enum log_format format;
	bool careful; /* privileged mode: only a file that root has made */
	bool for_everybody;   /* a new file is one that all users append to */
	bool output_is_taken; /* what is for standard output goes to error */
	bool automatic; /* neither file nor syslog is configured: syslog when
			   /dev/log is there */
};

struct log;

/*
 * Opens the sinks early, before anything is restricted.  Never a failure:
 * records for a file that cannot be opened go to stderr, the first of them
 * with the reason.
 */
struct log *log_open(const struct log_params *params);

/*
 * Before a process forks others that write to one pipe: records that are too
 * long to be whole there by themselves wait for each other.
 */
void log_share(void);

void log_close(struct log *log);

/* One key and its value, in the order in which they are to appear. */
enum log_type { LOG_STRING, LOG_NUMBER, LOG_BOOL, LOG_LIST, LOG_NUMBERS };
struct log_number {
	const char *name; /* NULL behind the last one */
	int64_t value;	  /* negative: left out */
};
struct log_item {
	const char *key;
	enum log_type type;
	const char *string; /* LOG_STRING; NULL leaves the item out */
	int64_t number;	    /* LOG_BOOL, LOG_NUMBER; negative: left out */
	const struct log_number *numbers; /* LOG_NUMBERS: "name:1,name:2" */
	char **list;			  /* LOG_LIST: NULL-terminated */
	bool quoted;			  /* text format: in single quotes */
	bool ours; /* words of our own: with quotes that need no escape */
};

/* Writes one record; failed tells the syslog priority. */
void log_record(struct log *log, const struct log_item *items, size_t count,
    bool failed);

/* From now on at most so many lines on stderr; the last one says that others
   are left out. */
void log_limit(unsigned lines);

/* One escaped line on stderr, "onehop: ..." in front. */
void log_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A failure on stderr, in one line: text, and hint in parentheses; after
   log_details() the lines of its detail follow. */
void log_details(void);
void log_failure(const struct failure *f);

#endif
