// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Applies rulesets to the execs of one process, as main.cpp says. */
#include "bridge.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

enum { FOR_EXEC = 1, FROM_FILE = 2 };

/* In the order of what main.cpp writes before an exec. */
int target = 0;        /* process whose next exec is a target, 0: none */
int targets_storm = 0; /* each exec of a process called "storm" */
__u32 hooks = FOR_EXEC;
__u32 layers = 1; /* that the first of these hooks applies: the ruleset of slot 0 with `flags`, … */
__u32 flags = 0;
__u32 slot_then = 0; /* … and this one, with these, from the second layer on. The second hook applies only this */
__u32 flags_then = 0;
int then_fail = 0; /* deny the exec after it was restricted */

/* And what it reads afterwards. */
int calls = 0;   /* targets seen */
int error = 1;   /* last result of the kfunc, 1: not called */
int applied = 0; /* layers that were applied */
__u64 lsmid = 0; /* of the ruleset that was stored last */
__u32 type = 0;
long borrowed = 0; /* in the storm: slot was full, or empty */
long empty = 0;

struct store_args {
    int fd;
    __u32 slot;
    __u32 flags;
};

/* 2: not a ruleset, 1: replaced another, 0: stored; -1: not possible. */
SEC("syscall")
int store(struct store_args* args)
{
    struct lsm_policy_object* ruleset = bpf_lsm_policy_from_fd(args->fd, args->flags);
    if (!ruleset) {
        return 2;
    }
    lsmid = ruleset->lsmid;
    type = ruleset->type;
    if (prepare_timer(args->slot)) {
        bpf_lsm_policy_release(ruleset);
        return -1;
    }
    return exchange(args->slot, ruleset);
}

SEC("syscall")
int revoke(struct store_args* args)
{
    return exchange(args->slot, NULL);
}

static int in_storm(void)
{
    char name[16] = {};
    bpf_get_current_comm(name, sizeof(name));
    return name[0] == 's' && name[1] == 't' && name[2] == 'o' && name[3] == 'r' && name[4] == 'm' && name[5] == 0;
}

static int storm(struct linux_binprm* bprm)
{
    struct lsm_policy_object* ruleset = borrow(bpf_get_prandom_u32() % SLOTS);
    if (!ruleset) {
        __sync_fetch_and_add(&empty, 1);
        return 0;
    }
    int result = bpf_lsm_policy_apply_bprm(ruleset, bprm, NO_NEW_PRIVS);
    bpf_lsm_policy_release(ruleset);
    __sync_fetch_and_add(&borrowed, 1);
    return clamp_errno(result);
}

/* False: there is none in the slot, or it could not be applied. */
static __always_inline int apply(struct linux_binprm* bprm, __u32 slot, __u32 with)
{
    struct lsm_policy_object* ruleset = borrow(slot);
    if (!ruleset) {
        return 0;
    }
    error = bpf_lsm_policy_apply_bprm(ruleset, bprm, with);
    bpf_lsm_policy_release(ruleset);
    if (error) {
        return 0;
    }
    applied++;
    return 1;
}

static int restrict_target(struct linux_binprm* bprm, __u32 hook)
{
    if (!(hooks & hook) || (int)(bpf_get_current_pid_tgid() >> 32) != target) {
        return 0;
    }
    if (hook == FROM_FILE || !(hooks & FROM_FILE)) {
        target = 0;
    }
    calls++;
    if (hook == FROM_FILE && hooks & FOR_EXEC) {
        apply(bprm, slot_then, flags_then);
    } else if (apply(bprm, 0, flags)) {
        for (__u32 i = 1; i < 32 && i < layers; i++) {
            if (!apply(bprm, slot_then, flags_then)) {
                break;
            }
        }
    }
    /* The test looks at "error"; the exec goes on to show what it had for effect. */
    return then_fail ? -13 : 0;
}

SEC("lsm.s/bprm_creds_for_exec")
int BPF_PROG(for_exec, struct linux_binprm* bprm)
{
    if (targets_storm && in_storm()) {
        return storm(bprm);
    }
    return restrict_target(bprm, FOR_EXEC);
}

SEC("lsm.s/bprm_creds_from_file")
int BPF_PROG(on_file, struct linux_binprm* bprm, struct file* file)
{
    return restrict_target(bprm, FROM_FILE);
}

SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(on_rmdir, struct cgroup* cgroup, const char* path)
{
    empty_later(1);
    return 0;
}
