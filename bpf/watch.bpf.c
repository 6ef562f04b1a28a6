// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What `oci-landlock events` and `oci-landlock learn` look on with. They bring these programs and take them away
 * with themselves; they decide nothing, and the selector does not know of them. They read its maps; what happens is
 * told by tell(), by Landlock (denials.h), and by what is asked of any security module (uses.h).
 */
#include "denials.h"
#include "events.h"
#include "uses.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

static __always_inline void begin_domain(__u32 thread)
{
	struct task_struct *task = bpf_task_from_pid(thread);
	__u64 *domain;

	if (!task)
		return;
	domain = bpf_task_storage_get(&domains, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (domain)
		*domain = bpf_ktime_get_boot_ns();
	bpf_task_release(task);
}

static __always_inline void take_told(__u64 cgroup_id, __u32 thread, __u32 entries, __u32 reason, int error)
{
	struct oll_seen *event = begin(cgroup_id, reason ? OLL_SEEN_FAILED_CLOSED : OLL_SEEN_APPLIED);
	struct oll_container *container = bpf_map_lookup_elem(&containers, &cgroup_id);
	__u32 audited = container ? container->audited : 0;
	struct task_struct *task;

	if (!reason && (learning || (entries & audited)))
		begin_domain(thread);
	if (!event)
		return;
	event->entries = entries;
	event->audited = audited;
	event->reason = reason;
	event->error = error;
	event->tgid = thread;
	event->start_time = 0;
	event->comm[0] = 0;
	task = bpf_task_from_pid(thread);
	if (task) {
		about_task(event, task);
		bpf_task_release(task);
	}
	end(event);
}

/* A program of its own for each program of the selector that calls tell(). */
#define AT_TELL(name)                                                                                                  \
	SEC("?fentry/tell")                                                                                            \
	int BPF_PROG(name, __u64 cgroup_id, __u32 thread, __u32 entries, __u32 reason, int error)                      \
	{                                                                                                              \
		take_told(cgroup_id, thread, entries, reason, error);                                                  \
		return 0;                                                                                              \
	}

AT_TELL(at_select_exec)
AT_TELL(at_select_file)
AT_TELL(at_restrict_exec)
AT_TELL(at_commit_exec)
AT_TELL(at_debt)
AT_TELL(at_report_failure)
