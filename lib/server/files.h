/* files.h: where the files of mh_serve_files() are. Knows no reply. */
#ifndef MH_SERVER_FILES_H
#define MH_SERVER_FILES_H

#include <minihttp/server.h>

#include "server/file_cache.h"

/* Put together where a path leads: root, name, and the index where it ends in '/'. Returns 0; or
 * the status to answer with: 301 where only a '/' is missing behind the prefix, 404 for what is not
 * served: hidden names, and an encoded '/', which no name can have in it. */
int mh__files_locate(struct mh__file_place *place, const mh_files *files, mh_str path,
                     mh_str target);

#endif
