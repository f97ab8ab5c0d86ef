// The two example drivers' ways of a command and of a packet, in C, and the devices that both sides have: functions that run
// between the driver's steps, on plain memory.

#ifndef CBASELINE_DRIVERS_H
#define CBASELINE_DRIVERS_H

#include <stdint.h>

#if defined(__clang__)
#pragma clang assume_nonnull begin
#endif

// ---- NVMe ----

/// A controller's side of one queue pair.
struct bench_controller {
    const uint8_t *submissions;
    uint8_t *completions;
    const uint8_t *doorbell;
    uint32_t submissionCount, completionCount;
    uint32_t head, tail, phase;
};

/// Completes all commands that the doorbell tells of.
void bench_controller_play(struct bench_controller *controller);

/// A driver's side of one queue pair.
struct baseline_queue;

/// A queue pair of this depth with its controller, all in plain memory.
struct baseline_queue *baseline_make_queue(uint32_t depth);

/// Reads of one block each: as many at a time as the depth, `count` in all. Gives the number of those that succeeded.
int64_t baseline_nvme_loop(struct baseline_queue *queue, int64_t count);

// ---- virtio-net ----

/// A card's side of one queue.
struct bench_card_queue {
    const uint8_t *available;
    uint8_t *used;
    uint16_t next, mask;
};

/// Uses up to `count` buffers that the driver has made available, each for as many bytes. Gives their number.
uint32_t bench_card_use(struct bench_card_queue *queue, uint32_t count, uint32_t length);

/// Two ports with a pool of buffers, and a forwarder between them.
struct baseline_forwarder;

struct baseline_forwarder *baseline_make_forwarder(uint32_t batch);

/// Lets both cards send and receive a batch, and passes it on, until `count` packets were passed on. Gives their number.
int64_t baseline_forward_loop(struct baseline_forwarder *forwarder, int64_t count);

#if defined(__clang__)
#pragma clang assume_nonnull end
#endif

#endif
