// The system calls. Placeholder: written elsewhere.
#ifndef CVFIO_SYSCALLS_H
#define CVFIO_SYSCALLS_H

#endif
