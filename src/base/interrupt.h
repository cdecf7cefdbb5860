/*
 * interrupt: requests to end, held while only the relay knows whether it has
 * the message.  They come as signals or, in a session of the listener, over a
 * pipe.
 */
#ifndef INTERRUPT_H
#define INTERRUPT_H

#include <stdbool.h>

/* A session of the listener: signals are ignored from now on, and fd becomes
   readable, or comes to its end, when the session is to end. */
void interrupt_by(int fd);

/*
 * From now on no signal whose default is to end us does so; the caller looks
 * for them.  A signal that is ignored stays so.
 */
void interrupt_hold(void);

/* They do so again, also those that have come meanwhile. */
void interrupt_release(void);

/* While they are held: readable once there was a request; -1 otherwise. */
int interrupt_fd(void);

/* Whether there was a request while they were held. */
bool interrupt_came(void);

#endif
