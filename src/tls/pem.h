/*
 * pem: texts of PEM blocks (RFC 7468), taken apart in one pass.
 */
#ifndef PEM_H
#define PEM_H

#include <stdbool.h>
#include <stddef.h>

struct buf;

/* No file of a bundle, list or key is longer than this. */
#define PEM_FILE_MAX (16 << 20)

struct pem {
	const char *at, *end;
};

/* Starts at the first block of a text. */
void pem_start(struct pem *pem, const void *text, size_t len);

enum pem_result { PEM_BLOCK, PEM_BROKEN, PEM_END };

/*
 * Decodes the next certificate block and adds it to der; blocks of other
 * kinds are skipped.  BROKEN: one that is not base64, nothing added.
 */
enum pem_result pem_next(struct pem *pem, struct buf *der);

#endif
