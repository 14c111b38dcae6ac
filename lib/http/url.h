/* url.h: what the HTTP engine asks of a URL, or of a part of one. Nothing here allocates. */
#ifndef MH_HTTP_URL_H
#define MH_HTTP_URL_H

#include <stdbool.h>

#include <minihttp/url.h>

/* A Host field's value (RFC 9110 section 7.2): uri-host [":" port]. The host is not empty; the port
 * may be. */
bool mh__host_valid(mh_str host);

/* The target of a CONNECT (RFC 9112 section 3.2.3): uri-host ":" port, a port from 1 to 65535. */
bool mh__authority_valid(mh_str authority);

/* The target of a request to a proxy (RFC 9112 section 3.2.2): a whole http or https URL, without
 * the user's name and password (RFC 9110 section 4.2.4) and without a fragment. */
bool mh__absolute_form_valid(mh_str url);

#endif
