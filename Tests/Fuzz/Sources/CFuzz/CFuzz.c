// A target needs a source file.
#include "CFuzz.h"
