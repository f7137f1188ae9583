/* What both plugins take of QEMU's interface, whose own header is not installed with it. */
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef uint64_t plugin;
struct qemu_plugin_tb;
struct qemu_plugin_insn;

extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
extern struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *block, size_t index);
#ifndef COPIES
extern const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *instruction);
#else
extern size_t qemu_plugin_insn_data(const struct qemu_plugin_insn *instruction, void *bytes, size_t len);
#endif
extern void qemu_plugin_register_vcpu_tb_trans_cb(plugin, void (*translated)(plugin, struct qemu_plugin_tb *));
extern void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, void (*executed)(unsigned core, void *data),
                                                 int registers, void *data);
extern void qemu_plugin_register_atexit_cb(plugin, void (*ended)(plugin, void *data), void *data);
extern void qemu_plugin_outs(const char *line);

#define EXPORT __attribute__((visibility("default")))
