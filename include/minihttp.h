/* minihttp.h: all of it. The order is the architecture, bottom first. */
#ifndef MINIHTTP_H
#define MINIHTTP_H

/* IWYU pragma: begin_exports */
#include <minihttp/base.h>
#include <minihttp/buffer.h>
#include <minihttp/url.h>
#include <minihttp/message.h>
#include <minihttp/h1.h>
#include <minihttp/loop.h>
#include <minihttp/client.h>
#include <minihttp/server.h>
/* IWYU pragma: end_exports */

#endif
