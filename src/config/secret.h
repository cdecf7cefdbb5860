/*
 * secret: a password from a file, a command or the keyring helper, in a
 * buffer that is wiped.
 */
#ifndef SECRET_H
#define SECRET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct failure;

/* Longest password or token, and longest secrets file, in bytes. */
#define SECRET_MAX 16384
#define SECRET_FILE_MAX (1 << 20)

/* How a look-up ended: not found is not a failure. */
enum secret_result { SECRET_FOUND, SECRET_ABSENT, SECRET_FAILED };

/*
 * The whole file less one trailing newline (LF or CRLF).  safe demands
 * file_may_hold_secret(), as all other files do.  Empty, over SECRET_MAX, NUL
 * or a line end inside: failure.
 */
enum secret_result secret_from_file(const char *path, bool safe,
    struct buf *out, struct failure *f);

/*
 * Looks up "HOST USER = VALUE" (host without regard to case, user exactly;
 * VALUE is the rest of the line after one optional blank, byte for byte) or,
 * with host NULL, the line "email_password = VALUE".  Lines "KEY = VALUE" of
 * other keys, sections and comments are skipped.  path is opened once and
 * checked.
 */
enum secret_result secret_from_secrets_file(const char *path, const char *host,
    const char *user, struct buf *out, struct failure *f);

/* netrc: exact machine and login only (no default, no macros). */
enum secret_result secret_from_netrc(const char *path, const char *host,
    const char *user, struct buf *out, struct failure *f);

/*
 * First line of what `/bin/sh -c command` prints: standard input from
 * /dev/null, environment reduced to an allow-list (no ONEHOP_*, EMAIL_*,
 * CREDENTIALS_DIRECTORY), other descriptors closed, at most timeout_ms and
 * SECRET_MAX bytes, its exit status must be 0; its standard error passes.
 * The whole process group is killed at the deadline, and a child that keeps
 * the pipe open after the command has ended is not waited for.
 */
enum secret_result secret_from_command(const char *command, int64_t timeout_ms,
    struct buf *out, struct failure *f);

/*
 * A secret put away where no reading of our memory finds it: in a pipe of our
 * own.  All zeroes is an empty one.
 */
struct secret_vault {
	bool used;
	int fd[2];
	size_t len;
};

/* Takes the bytes, which are wiped in every case.  FAIL_TEMP. */
bool secret_put_away(struct secret_vault *v, struct buf *secret,
    struct failure *f);

/* Appends a copy to out, which must have room for it. */
bool secret_fetch(struct secret_vault *v, struct buf *out, struct failure *f);
void secret_vault_free(struct secret_vault *v);

/* As secret_from_command(), by exec of helper with the arguments HOST USER, no
   shell; exit status 1 with no output means absent. */
enum secret_result secret_from_helper(const char *helper, const char *host,
    const char *user, int64_t timeout_ms, struct buf *out, struct failure *f);

#endif
