/* Counts the cache lines that a core's data caches take from one another and from memory: a plugin for QEMU's user emulation.
 *
 * Its arguments are the caches, from the nearest on: `1=BYTES:WAYS 2=BYTES:WAYS`, up to three. Lines have 64 bytes; the least recently used one of
 * a set makes room, writes allocate, and a line that was written goes back to the next cache when it leaves. There are no other cores, no
 * prefetches and no code: all lines are fetched when they are needed. The main thread is counted, and has the caches to itself.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin.h"

typedef uint32_t access_info;
extern void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *, void (*accessed)(unsigned core, access_info, uint64_t address, void *data),
                                             int registers, int kinds, void *data);
extern unsigned qemu_plugin_mem_size_shift(access_info);
extern bool qemu_plugin_mem_is_store(access_info);

EXPORT int qemu_plugin_version = VERSION;

#define LINE 6
#define MOST 3
#define BOTH 3
#define DIRTY ((uint64_t)1 << 63)

struct cache {
    uint64_t sets, ways;
    uint64_t *lines;  /* of each set, the last used one first; 0: none */
    uint64_t fetched; /* from the next cache or memory */
};

static struct cache caches[MOST];
static int count;
static uint64_t written; /* lines, to memory */

static void use(int level, uint64_t line, bool writes)
{
    if (level == count) {
        written += writes;
        return;
    }
    struct cache *cache = &caches[level];
    uint64_t *set = cache->lines + line % cache->sets * cache->ways;
    uint64_t found = 0, way = 0;
    for (; way < cache->ways; way++) {
        if ((set[way] & ~DIRTY) == line) {
            found = set[way];
            break;
        }
    }
    if (!found) {
        way = cache->ways - 1;
        if (set[way] & DIRTY)
            use(level + 1, set[way] & ~DIRTY, true);
        cache->fetched++;
        use(level + 1, line, false);
    }
    memmove(set + 1, set, way * sizeof *set);
    set[0] = line | (found & DIRTY) | (writes ? DIRTY : 0);
}

static void accessed(unsigned core, access_info info, uint64_t address, void *data)
{
    (void)data;
    if (core != 0)
        return;
    bool writes = qemu_plugin_mem_is_store(info);
    uint64_t first = address >> LINE, last = (address + ((uint64_t)1 << qemu_plugin_mem_size_shift(info)) - 1) >> LINE;
    for (uint64_t line = first; line <= last; line++)
        use(0, line, writes);
}

static void translated(plugin id, struct qemu_plugin_tb *block)
{
    (void)id;
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(block); i++)
        qemu_plugin_register_vcpu_mem_cb(qemu_plugin_tb_get_insn(block, i), accessed, 0, BOTH, NULL);
}

static void ended(plugin id, void *data)
{
    char line[64];
    (void)id, (void)data;
    for (int level = 0; level < count; level++) {
        snprintf(line, sizeof line, "L%d %" PRIu64 "\n", level + 1, caches[level].fetched);
        qemu_plugin_outs(line);
    }
    snprintf(line, sizeof line, "written %" PRIu64 "\n", written);
    qemu_plugin_outs(line);
}

EXPORT int qemu_plugin_install(plugin id, const void *info, int argc, char **argv)
{
    (void)info;
    for (int i = 0; i < argc; i++) {
        uint64_t bytes, ways;
        int level;
        if (sscanf(argv[i], "%d=%" SCNu64 ":%" SCNu64, &level, &bytes, &ways) != 3 || level != count + 1 || level > MOST || !ways ||
            bytes >> LINE < ways) {
            fprintf(stderr, "caches are given as 1=BYTES:WAYS 2=BYTES:WAYS, not as %s\n", argv[i]);
            return 1;
        }
        caches[count] = (struct cache){.sets = (bytes >> LINE) / ways, .ways = ways};
        caches[count].lines = calloc(caches[count].sets * ways, sizeof *caches[count].lines);
        if (!caches[count++].lines)
            return 1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, ended, NULL);
    return 0;
}
