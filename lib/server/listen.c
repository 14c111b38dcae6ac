/* listen.c: the server's side of net/: where to listen, whom to accept. */
#include <errno.h>

#include <minihttp/server.h>

#include "net/net.h"

int mh_listen(const char *address)
{
    return address ? mh__listen(address) : -EINVAL;
}

int mh_accept(int listener, struct sockaddr_storage *peer)
{
    return mh__accept(listener, peer);
}
