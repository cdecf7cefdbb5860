/*
 * log, private: the file that records are appended to.
 */
#ifndef LOG_IMPL_H
#define LOG_IMPL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"

struct buf;

struct log_file {
	bool wanted;
	char *path;
	char *target;  /* where a symbolic link leads, or the path */
	int fd;	       /* -1: it could not be opened */
	bool borrowed; /* standard output or error: not ours to close */
	bool regular;
	int reader;	  /* the same file for reading, or -1 */
	bool unfinished;  /* our last record is there in part only */
	bool unknown_end; /* others write it, and we cannot read its end */
	uint64_t limit;	  /* RLIMIT_FSIZE */
	char *trouble;	  /* why it was not opened, until that was said */
};

/* Opens what the parameters name.  Never a failure: the records that cannot
   be written go to standard error. */
void log_file_open(struct log_file *file, const struct log_params *params);
void log_file_close(struct log_file *file);

/* Appends a record, which ends in a line end, or writes it to standard
   error together with the reason. */
void log_file_write(struct log_file *file, const struct buf *record);

#endif
