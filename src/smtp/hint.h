/*
 * hint: what a relay's reply usually means, and the setting that helps.
 * Data: a reply is matched by code, enhanced status code and words.
 */
#ifndef HINT_H
#define HINT_H

/*
 * The hint for a reply, or NULL.  text is the reply's lines joined, with the
 * enhanced status code if there was one.
 */
const char *hint_for_reply(int code, const char *text);

#endif
