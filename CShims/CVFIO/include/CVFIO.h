#include "cvfio_syscalls.h"
