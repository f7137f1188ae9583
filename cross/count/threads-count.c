/* Runs the guest's threads in step, as if each had a core of its own and all cores took the same time for an instruction, and counts:
 * a plugin for QEMU's user emulation. However many threads there are, and however busy the machine is, they share work as they would there.
 *
 * Each thread has a clock of executed instructions. None gets further ahead than STEP of the slowest one that is not inside a system call; a
 * thread that comes back from a call has waited for as long as the others have worked, and one that wakes others goes on when they are awake.
 * Few instructions between two that waiting loops are made of (`isb`, Rust's `spin_loop`) are waiting, all others work.
 */
#define _DEFAULT_SOURCE
#include <inttypes.h>
#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "plugin.h"

#define STEP 2000
#define MOST 64
#define PATIENCE 10000
#define ISB 0xd5033fdfu
#define FEW 64
#define FUTEX 98
#define FUTEX_WAKE 1

extern void qemu_plugin_register_vcpu_init_cb(plugin, void (*started)(plugin, unsigned core));
extern void qemu_plugin_register_vcpu_exit_cb(plugin, void (*left)(plugin, unsigned core));
extern void qemu_plugin_register_vcpu_syscall_cb(plugin, void (*called)(plugin, unsigned core, int64_t number, uint64_t,
                                                                        uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                                                                        uint64_t, uint64_t));
extern void qemu_plugin_register_vcpu_syscall_ret_cb(plugin, void (*returned)(plugin, unsigned core, int64_t number,
                                                                              int64_t result));

EXPORT int qemu_plugin_version = VERSION;

static struct {
    _Alignas(128) atomic_uint_fast64_t clock;
    atomic_bool active;
    uint64_t looked;
    uint64_t work;
    uint64_t recent; /* since the last `isb` */
    int others;      /* awake before it woke more; -1: it does not */
} threads[MOST];

/* The clock of the slowest other thread; where there is none, `otherwise`. */
static uint64_t slowest(unsigned core, uint64_t otherwise)
{
    uint64_t least = UINT64_MAX;
    for (unsigned i = 0; i < MOST; i++) {
        if (i != core && atomic_load(&threads[i].active)) {
            uint64_t clock = atomic_load(&threads[i].clock);
            least = clock < least ? clock : least;
        }
    }
    return least == UINT64_MAX ? otherwise : least;
}

static void advance(unsigned core, uint64_t count)
{
    uint64_t clock = atomic_fetch_add(&threads[core].clock, count) + count;
    if (clock - threads[core].looked < STEP / 4)
        return;
    threads[core].looked = clock;
    /* At last it goes on: the slowest may be waiting for QEMU to stop all threads. */
    for (int turns = 0; clock > slowest(core, clock) + STEP && turns < PATIENCE; turns++) {
        if (turns < 100)
            sched_yield();
        else
            usleep(50);
    }
}

static void worked(unsigned core, void *count)
{
    if (core < MOST) {
        threads[core].recent += (uintptr_t)count;
        advance(core, (uintptr_t)count);
    }
}

static void waited(unsigned core, void *count)
{
    if (core < MOST) {
        threads[core].work += threads[core].recent < FEW ? 0 : threads[core].recent;
        threads[core].recent = 0;
        advance(core, (uintptr_t)count);
    }
}

static uint32_t code(const struct qemu_plugin_insn *instruction)
{
    uint32_t bytes = 0;
#ifndef COPIES
    memcpy(&bytes, qemu_plugin_insn_data(instruction), sizeof bytes);
#else
    qemu_plugin_insn_data(instruction, &bytes, sizeof bytes);
#endif
    return bytes;
}

static void translated(plugin id, struct qemu_plugin_tb *block)
{
    (void)id;
    size_t count = qemu_plugin_tb_n_insns(block);
    int waits = 0;
    for (size_t i = 0; i < count; i++)
        waits |= code(qemu_plugin_tb_get_insn(block, i)) == ISB;
    qemu_plugin_register_vcpu_tb_exec_cb(block, waits ? waited : worked, 0, (void *)(uintptr_t)count);
}

static int awake(unsigned except)
{
    int count = 0;
    for (unsigned i = 0; i < MOST; i++)
        count += i != except && atomic_load(&threads[i].active);
    return count;
}

/* A thread begins, or is back from a system call, when the others are where they are. */
static void started(plugin id, unsigned core)
{
    (void)id;
    if (core < MOST) {
        uint64_t own = atomic_load(&threads[core].clock), others = slowest(core, own);
        atomic_store(&threads[core].clock, others > own ? others : own);
        atomic_store(&threads[core].active, 1);
    }
}

static void left(plugin id, unsigned core)
{
    (void)id;
    if (core < MOST)
        atomic_store(&threads[core].active, 0);
}

static void called(plugin id, unsigned core, int64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e,
                   uint64_t f, uint64_t g, uint64_t h)
{
    (void)a, (void)c, (void)d, (void)e, (void)f, (void)g, (void)h;
    left(id, core);
    if (core < MOST)
        threads[core].others = number == FUTEX && (b & 0x7f) == FUTEX_WAKE ? awake(core) : -1;
}

static void returned(plugin id, unsigned core, int64_t number, int64_t result)
{
    (void)number;
    if (core < MOST && threads[core].others >= 0) {
        for (int turns = 0; awake(core) < threads[core].others + result && turns < PATIENCE; turns++)
            usleep(50);
    }
    started(id, core);
}

static void ended(plugin id, void *data)
{
    char line[64];
    (void)id, (void)data;
    snprintf(line, sizeof line, "instructions %" PRIu64 "\n", (uint64_t)atomic_load(&threads[0].clock));
    qemu_plugin_outs(line);
    for (unsigned i = 0; i < MOST && atomic_load(&threads[i].clock); i++) {
        snprintf(line, sizeof line, "work %" PRIu64 "\n", threads[i].work + threads[i].recent);
        qemu_plugin_outs(line);
    }
}

EXPORT int qemu_plugin_install(plugin id, const void *info, int argc, char **argv)
{
    (void)info, (void)argc, (void)argv;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_vcpu_init_cb(id, started);
    qemu_plugin_register_vcpu_exit_cb(id, left);
    qemu_plugin_register_vcpu_syscall_cb(id, called);
    qemu_plugin_register_vcpu_syscall_ret_cb(id, returned);
    qemu_plugin_register_atexit_cb(id, ended, NULL);
    return 0;
}
