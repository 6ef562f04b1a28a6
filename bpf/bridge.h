/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The kfuncs of the kernel bridge (packaging/kernel). */
#ifndef OCI_LANDLOCK_BRIDGE_H
#define OCI_LANDLOCK_BRIDGE_H

#include "kernel.h"

struct bpf_landlock_ruleset {
	int opaque;
};

extern struct bpf_landlock_ruleset *bpf_landlock_ruleset_from_fd(int fd) __ksym;
extern struct bpf_landlock_ruleset *bpf_landlock_ruleset_acquire(struct bpf_landlock_ruleset *ruleset) __ksym;
extern void bpf_landlock_put_ruleset(struct bpf_landlock_ruleset *ruleset) __ksym;
extern int bpf_landlock_restrict_binprm(struct linux_binprm *bprm, struct bpf_landlock_ruleset *ruleset,
					__u32 flags) __ksym;

#endif
