// libFuzzer's entry for programs that have a main function of their own.

#ifndef CFUZZ_H
#define CFUZZ_H

#include <stddef.h>
#include <stdint.h>

typedef int (*fuzz_target)(const uint8_t *data, size_t size);

int LLVMFuzzerRunDriver(int *argc, char ***argv, fuzz_target target);

#endif
