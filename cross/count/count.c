/* Counts the guest's executed instructions: a plugin for QEMU's user emulation.
 *
 * Distributions ship QEMU without the header for plugins. The few functions needed are declared here; they are the same in
 * version 1 of the interface (QEMU 4.2 to 8.2) and in the later ones. Built with -DVERSION=N, as a version of QEMU loads
 * only plugins that name an interface it knows; -DCOPIES for QEMU 9.1 and later, which copy an instruction's bytes.
 *
 * The counters belong to the thread: what is counted is the thread that ends the program, as a rule the main one. Instructions are of five kinds,
 * by their encoding: vector multiplications, loads and stores, other vector instructions (those on floating-point scalars among them), and all others.
 */
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "plugin.h"

EXPORT int qemu_plugin_version = VERSION;

enum { MULTIPLY, LOAD, STORE, VECTOR, OTHER, KINDS };

static const char *const names[KINDS] = {"multiplications", "loads", "stores", "vector", "other"};

static _Thread_local uint64_t instructions[KINDS];

/* Bits of each kind's number in the value that goes with a block, which has at most 512 instructions. */
#define BITS 12

static void executed(unsigned core, void *counts)
{
    (void)core;
    for (int kind = 0; kind < KINDS; kind++)
        instructions[kind] += (uintptr_t)counts >> kind * BITS & ((1 << BITS) - 1);
}

/* The encodings of Advanced SIMD: three registers of the same kind or of different ones, dot products and matrices of bytes, by an element. */
static int multiplies(uint32_t code)
{
    uint32_t opcode = code >> 11 & 31, wide = code >> 12 & 15;
    if ((code & 0x9f200400) == 0x0e200400) /* mla, mul, sqdmulh; fmla, fmul */
        return opcode == 0x12 || opcode == 0x13 || opcode == 0x16 || opcode == 0x19 || opcode == 0x1b;
    if ((code & 0x9f200c00) == 0x0e200000) /* smlal, smlsl, smull, sqdmlal ... */
        return wide >= 8 && wide != 15 && wide != 14;
    if ((code & 0x9f208400) == 0x0e008400) /* sqrdmlah, sdot, smmla, usdot */
        return 1;
    if ((code & 0x9f000400) == 0x0f000000) /* by an element: all multiply */
        return 1;
    return 0;
}

static int kind(uint32_t code)
{
    uint32_t group = code >> 25 & 15;
    int literal = (code & 0x3b000000) == 0x18000000; /* beside the code */
    if ((group & 5) == 4 && code >> 26 & 1) /* of vector registers */
        return literal || code >> 22 & 1 ? LOAD : STORE;
    if ((group & 7) == 7)
        return multiplies(code) ? MULTIPLY : VECTOR;
    return OTHER;
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
    uintptr_t counts = 0;
    size_t count = qemu_plugin_tb_n_insns(block);
    for (size_t i = 0; i < count; i++)
        counts += (uintptr_t)1 << kind(code(qemu_plugin_tb_get_insn(block, i))) * BITS;
    qemu_plugin_register_vcpu_tb_exec_cb(block, executed, 0, (void *)counts);
}

static void ended(plugin id, void *data)
{
    char line[64];
    uint64_t all = 0;
    (void)id, (void)data;
    for (int kind = 0; kind < KINDS; kind++) {
        all += instructions[kind];
        snprintf(line, sizeof line, "%s %" PRIu64 "\n", names[kind], instructions[kind]);
        qemu_plugin_outs(line);
    }
    snprintf(line, sizeof line, "instructions %" PRIu64 "\n", all);
    qemu_plugin_outs(line);
}

EXPORT int qemu_plugin_install(plugin id, const void *info, int argc, char **argv)
{
    (void)info, (void)argc, (void)argv;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, ended, NULL);
    return 0;
}
