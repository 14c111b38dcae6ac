/* unsecured.c: in place of secure.c where there is no TLS. */
#include "scenario.h"

const struct scenario secure_scenarios[] = {{0}};
