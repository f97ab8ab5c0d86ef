// A red-black tree of ranges that knows the widest gap of each subtree, and an allocator on it: lowest address first, as the
// library's.

#include "CBaseline.h"

#include <stdlib.h>

struct node {
    struct node *left, *right, *parent;
    uint64_t first, last;
    // Of the subtree: its first and last address, and the widest gap between two of its ranges.
    uint64_t lowest, highest, gap;
    int red;
};

struct baseline_allocator {
    struct node *root, *spare;
    uint64_t lowest, highest;
    uint64_t random;
    uint64_t *live;
    size_t liveCount;
};

// ---- What a subtree knows ----

static inline uint64_t larger(uint64_t a, uint64_t b) { return a > b ? a : b; }

static inline void update(struct node *node) {
    uint64_t gap = 0;
    node->lowest = node->first;
    node->highest = node->last;
    if (node->left) {
        gap = larger(node->left->gap, node->first - node->left->highest - 1);
        node->lowest = node->left->lowest;
    }
    if (node->right) {
        gap = larger(gap, larger(node->right->gap, node->right->lowest - node->last - 1));
        node->highest = node->right->highest;
    }
    node->gap = gap;
}

static void update_upwards(struct node *node) {
    for (; node; node = node->parent) update(node);
}

// ---- The tree ----

static void replace(struct baseline_allocator *tree, struct node *old, struct node *new) {
    if (!old->parent) tree->root = new;
    else if (old->parent->left == old) old->parent->left = new;
    else old->parent->right = new;
    if (new) new->parent = old->parent;
}

static void rotate_left(struct baseline_allocator *tree, struct node *node) {
    struct node *up = node->right;
    node->right = up->left;
    if (up->left) up->left->parent = node;
    replace(tree, node, up);
    up->left = node;
    node->parent = up;
    update(node);
    update(up);
}

static void rotate_right(struct baseline_allocator *tree, struct node *node) {
    struct node *up = node->left;
    node->left = up->right;
    if (up->right) up->right->parent = node;
    replace(tree, node, up);
    up->right = node;
    node->parent = up;
    update(node);
    update(up);
}

static void insert(struct baseline_allocator *tree, struct node *node) {
    struct node **place = &tree->root, *parent = NULL;
    while (*place) {
        parent = *place;
        place = node->first < parent->first ? &parent->left : &parent->right;
    }
    *place = node;
    node->parent = parent;
    node->left = node->right = NULL;
    node->red = 1;
    update_upwards(node);
    while ((parent = node->parent) && parent->red) {
        struct node *above = parent->parent;
        int isLeft = above->left == parent;
        struct node *uncle = isLeft ? above->right : above->left;
        if (uncle && uncle->red) {
            parent->red = uncle->red = 0;
            above->red = 1;
            node = above;
            continue;
        }
        if (node == (isLeft ? parent->right : parent->left)) {
            if (isLeft) rotate_left(tree, parent);
            else rotate_right(tree, parent);
            parent = node;
        }
        parent->red = 0;
        above->red = 1;
        if (isLeft) rotate_right(tree, above);
        else rotate_left(tree, above);
        break;
    }
    tree->root->red = 0;
}

// Where a black node is missing below `parent`, on the side of `node`, which may be none.
static void rebalance(struct baseline_allocator *tree, struct node *node, struct node *parent) {
    while (parent && !(node && node->red)) {
        int isLeft = parent->left == node;
        struct node *sibling = isLeft ? parent->right : parent->left;
        if (sibling->red) {
            sibling->red = 0;
            parent->red = 1;
            if (isLeft) rotate_left(tree, parent);
            else rotate_right(tree, parent);
            sibling = isLeft ? parent->right : parent->left;
        }
        struct node *inner = isLeft ? sibling->left : sibling->right;
        struct node *outer = isLeft ? sibling->right : sibling->left;
        if (!(inner && inner->red) && !(outer && outer->red)) {
            sibling->red = 1;
            node = parent;
            parent = node->parent;
            continue;
        }
        if (!(outer && outer->red)) {
            inner->red = 0;
            sibling->red = 1;
            if (isLeft) rotate_right(tree, sibling);
            else rotate_left(tree, sibling);
            sibling = isLeft ? parent->right : parent->left;
            outer = isLeft ? sibling->right : sibling->left;
        }
        sibling->red = parent->red;
        parent->red = 0;
        outer->red = 0;
        if (isLeft) rotate_left(tree, parent);
        else rotate_right(tree, parent);
        return;
    }
    if (node) node->red = 0;
}

static void erase(struct baseline_allocator *tree, struct node *node) {
    struct node *child, *parent;
    int red = node->red;
    if (node->left && node->right) {
        struct node *next = node->right;
        while (next->left) next = next->left;
        red = next->red;
        child = next->right;
        parent = next->parent;
        if (parent == node) {
            parent = next;
        } else {
            replace(tree, next, child);
            next->right = node->right;
            next->right->parent = next;
        }
        replace(tree, node, next);
        next->left = node->left;
        next->left->parent = next;
        next->red = node->red;
    } else {
        child = node->left ? node->left : node->right;
        parent = node->parent;
        replace(tree, node, child);
    }
    update_upwards(parent);
    if (!red) rebalance(tree, child, parent);
}

// ---- The allocator ----

// The lowest gap of a subtree in which the bytes fit at the alignment; 0 without one. `after` is the first address behind what
// lies to the left of the subtree.
static uint64_t find(struct node *node, uint64_t byteCount, uint64_t alignment, uint64_t after) {
    while (node) {
        uint64_t first = (after + alignment - 1) & ~(alignment - 1);
        if (node->lowest > first && node->lowest - first >= byteCount) return first;
        if (node->gap < byteCount) return 0;
        if (node->left) {
            uint64_t found = find(node->left, byteCount, alignment, after);
            if (found) return found;
            first = (node->left->highest + alignment) & ~(alignment - 1);
            if (node->first > first && node->first - first >= byteCount) return first;
        }
        after = node->last + 1;
        node = node->right;
    }
    return 0;
}

static uint64_t take(struct baseline_allocator *allocator, uint64_t byteCount, uint64_t alignment) {
    uint64_t first = find(allocator->root, byteCount, alignment, allocator->lowest);
    if (!first) {
        first = allocator->root ? allocator->root->highest + 1 : allocator->lowest;
        first = (first + alignment - 1) & ~(alignment - 1);
        if (allocator->highest - first < byteCount - 1) abort();
    }
    struct node *node = allocator->spare;
    if (node) allocator->spare = node->right;
    else if (!(node = malloc(sizeof *node))) abort();
    node->first = first;
    node->last = first + byteCount - 1;
    insert(allocator, node);
    return first;
}

static void give_back(struct baseline_allocator *allocator, uint64_t first) {
    struct node *node = allocator->root;
    while (node && node->first != first) node = first < node->first ? node->left : node->right;
    if (!node) abort();
    erase(allocator, node);
    node->right = allocator->spare;
    allocator->spare = node;
}

// ---- The load ----

static inline uint64_t next_random(struct baseline_allocator *allocator) {
    uint64_t random = allocator->random;
    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    return allocator->random = random;
}

static inline uint64_t take_some(struct baseline_allocator *allocator) {
    return take(allocator, ((next_random(allocator) >> 33 & 15) + 1) << 12, 4096);
}

__attribute__((noinline)) uint64_t baseline_exchange(struct baseline_allocator *allocator, int64_t count) {
    uint64_t sum = 0;
    for (int64_t step = 0; step < count; step++) {
        size_t index = (size_t)(next_random(allocator) % allocator->liveCount);
        give_back(allocator, allocator->live[index]);
        sum += allocator->live[index] = take_some(allocator);
    }
    return sum;
}

struct baseline_allocator *baseline_make_allocator(int64_t count) {
    struct baseline_allocator *allocator = calloc(1, sizeof *allocator);
    if (!allocator) abort();
    allocator->lowest = 4096;
    allocator->highest = (1ull << 48) - 1;
    allocator->random = 0x9e3779b97f4a7c15;
    allocator->liveCount = (size_t)count;
    allocator->live = malloc((size_t)count * sizeof *allocator->live);
    if (!allocator->live) abort();
    for (int64_t index = 0; index < count; index++) allocator->live[index] = take_some(allocator);
    baseline_exchange(allocator, 2 * count);
    return allocator;
}
