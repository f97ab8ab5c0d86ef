// The module is header-only. This file exists because a target needs a source file; it also checks that the header is
// self-contained.
#include "CMMIO.h"
