// The module is its header; a target needs one file to compile, and this one shows that the header stands by itself.
#include "CMMIO.h"
