/* Counts the guest's executed instructions: a plugin for QEMU's user emulation.
 *
 * Distributions ship QEMU without the header for plugins. The few functions needed are declared here; they are the same in
 * version 1 of the interface (QEMU 4.2 to 8.2) and in the later ones. Built with -DVERSION=N, as a version of QEMU loads
 * only plugins that name an interface it knows.
 *
 * The counter belongs to the thread: what is counted is the thread that ends the program, as a rule the main one.
 */
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef uint64_t plugin;
struct qemu_plugin_tb;

extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
extern void qemu_plugin_register_vcpu_tb_trans_cb(plugin, void (*translated)(plugin, struct qemu_plugin_tb *));
extern void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, void (*executed)(unsigned core, void *data),
                                                 int registers, void *data);
extern void qemu_plugin_register_atexit_cb(plugin, void (*ended)(plugin, void *data), void *data);
extern void qemu_plugin_outs(const char *line);

#define EXPORT __attribute__((visibility("default")))

EXPORT int qemu_plugin_version = VERSION;

static _Thread_local uint64_t instructions;

static void executed(unsigned core, void *count)
{
    (void)core;
    instructions += (uintptr_t)count;
}

static void translated(plugin id, struct qemu_plugin_tb *block)
{
    (void)id;
    qemu_plugin_register_vcpu_tb_exec_cb(block, executed, 0, (void *)(uintptr_t)qemu_plugin_tb_n_insns(block));
}

static void ended(plugin id, void *data)
{
    char line[64];
    (void)id, (void)data;
    snprintf(line, sizeof line, "instructions %" PRIu64 "\n", instructions);
    qemu_plugin_outs(line);
}

EXPORT int qemu_plugin_install(plugin id, const void *info, int argc, char **argv)
{
    (void)info, (void)argc, (void)argv;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, ended, NULL);
    return 0;
}
