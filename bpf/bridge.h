/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The kfuncs of the kernel bridge (packaging/kernel): they hold what a security module calls a policy, a ruleset. */
#ifndef OCI_LANDLOCK_BRIDGE_H
#define OCI_LANDLOCK_BRIDGE_H

#include "kernel.h"

struct lsm_policy_object {
	__u64 lsmid;
	__u32 type;
};

/* clang 14 loses the kptr tag of `struct X __kptr *` in a map value; through a typedef it stays. */
typedef struct lsm_policy_object oll_ruleset;

extern struct lsm_policy_object *bpf_lsm_policy_from_fd(int fd, __u32 flags) __ksym;
extern struct lsm_policy_object *bpf_lsm_policy_acquire(struct lsm_policy_object *obj) __ksym;
extern void bpf_lsm_policy_release(struct lsm_policy_object *obj) __ksym;
extern int bpf_lsm_policy_apply_bprm(struct lsm_policy_object *obj, struct linux_binprm *bprm, __u32 flags) __ksym;

#endif
