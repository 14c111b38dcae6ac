/* names.h: the names that there are, and what a peer wants to know about a program that it meets.
 *
 *   localhost     127.0.0.1
 *   two.test      127.0.0.2, where nobody listens, and 127.0.0.1
 *   six.test      ::1 and 127.0.0.1
 *   slow.test     127.0.0.1, but not before names_release() */
#ifndef TESTS_FAULTS_NAMES_H
#define TESTS_FAULTS_NAMES_H

#include <netdb.h>
#include <stdbool.h>

int names_look_up(const char *host, struct addrinfo **out); /* as getaddrinfo() */
void names_free(struct addrinfo *list);
void names_hold(void); /* slow.test is slow from now on */
void names_release(void);

void names_note_listener(int fd);
void names_note_poll(void);
void names_forget(void);
int names_listener(void); /* the one that was made last, or -1 */
bool names_polled(void);  /* somebody has begun to wait since then */

#endif
