/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The one place where whoever watches (watch.bpf.c) can look on. */
#ifndef OCI_LANDLOCK_TELL_H
#define OCI_LANDLOCK_TELL_H

#include "kernel.h"

/*
 * `thread`: in the initial pid namespace. `reason` 0: these entries were applied to it, but for audited ones, which
 * select it; else an exec of its failed closed for one of them. Does nothing: programs that are attached to it do,
 * while there are any, and nothing that they do comes back. Not static, so that it stays a function of its own, and
 * one that has a name.
 */
__noinline int tell(__u64 cgroup_id, __u32 thread, __u32 entries, __u32 reason, int error)
{
	asm volatile("" : : "r"(cgroup_id), "r"(thread), "r"(entries), "r"(reason), "r"(error) : "memory");
	return 0;
}

#endif
