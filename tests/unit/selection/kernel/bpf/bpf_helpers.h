/* SPDX-License-Identifier: Apache-2.0 */
/* Stands where libbpf's header of this name stands for the BPF programs: an ordinary program has these instead. */
#ifndef SELECTION_BPF_HELPERS_H
#define SELECTION_BPF_HELPERS_H

#include <linux/types.h>
#include <stddef.h>

#define SEC(name)
#define __ksym
#define __uint(name, value) int (*name)[value]
#define __type(name, value) __typeof__(value) *name
#undef __always_inline
#define __always_inline inline __attribute__((always_inline, unused))
#define __noinline __attribute__((noinline))

struct path;
struct task_struct;

void *bpf_map_lookup_elem(void *map, const void *key);
long bpf_map_update_elem(void *map, const void *key, const void *value, __u64 flags);
long bpf_map_delete_elem(void *map, const void *key);
void *bpf_task_storage_get(void *map, struct task_struct *task, void *value, __u64 flags);
long bpf_task_storage_delete(void *map, struct task_struct *task);
struct task_struct *bpf_get_current_task_btf(void);
__u64 bpf_get_current_ancestor_cgroup_id(int level);
__u64 bpf_get_current_pid_tgid(void);
long bpf_get_current_comm(void *buffer, __u32 size);
__u64 bpf_ktime_get_boot_ns(void);
long bpf_probe_read_kernel(void *to, __u32 size, const void *from);
long bpf_probe_read_kernel_str(void *to, __u32 size, const void *from);
long bpf_d_path(struct path *path, char *buffer, __u32 size);

#define bpf_loop(count, step, context, flags) \
	do { \
		for (__u64 loop_index = 0; loop_index < (count); loop_index++) { \
			if (step(loop_index, context)) \
				break; \
		} \
	} while (0)

#endif
