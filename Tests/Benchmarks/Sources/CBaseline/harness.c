#include "CBaseline.h"

#include <stdio.h>
#include <time.h>

uint64_t bench_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

__attribute__((noinline)) void bench_mark(void) { __asm__ volatile(""); }

void bench_print_lines(void) { setvbuf(stdout, NULL, _IOLBF, 0); }
