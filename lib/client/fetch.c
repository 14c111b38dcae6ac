#include <minihttp/base.h>
