/*
 * tls_explain: why a chain is not trusted, in words.  Private to tls.
 */
#ifndef TLS_EXPLAIN_H
#define TLS_EXPLAIN_H

struct failure;
struct tls_check;

/*
 * FAIL_TEMP for a check that failed: one line of text, the chain with its
 * problems as detail, and the one safe setting as hint.  Looks for what is
 * wrong unless the check has a problem already.
 */
void tls_explain(struct tls_check *c, struct failure *f);

#endif
