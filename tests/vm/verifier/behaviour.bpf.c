// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Applies rulesets to the execs of one process, as main.cpp says. */
#include "bridge.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* In the order of what main.cpp writes before an exec. */
int target = 0;        /* process whose next exec is a target, 0: none */
int targets_storm = 0; /* each exec of a process called "storm" */
__u32 flags = 0;
__u32 layers = 1;
int from_file = 0; /* restrict in bprm_creds_from_file, not in bprm_creds_for_exec */
int then_fail = 0; /* deny the exec after it was restricted */

/* And what it reads afterwards. */
int calls = 0;     /* targets seen */
int error = 1;     /* last result of the kfunc, 1: not called */
int applied = 0;   /* layers that were applied */
int revoked = 0;   /* slots emptied by the death of a cgroup */
long borrowed = 0; /* in the storm: slot was full, or empty */
long empty = 0;

struct store_args {
    int fd;
    __u32 slot;
};

/* 2: not a ruleset, 1: replaced another, 0: stored. */
SEC("syscall")
int store(struct store_args* args)
{
    struct bpf_landlock_ruleset* ruleset = bpf_landlock_ruleset_from_fd(args->fd);
    if (!ruleset) {
        return 2;
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
    struct bpf_landlock_ruleset* ruleset = borrow(bpf_get_prandom_u32() % SLOTS);
    if (!ruleset) {
        __sync_fetch_and_add(&empty, 1);
        return 0;
    }
    int result = bpf_landlock_restrict_binprm(bprm, ruleset, NO_NEW_PRIVS);
    bpf_landlock_put_ruleset(ruleset);
    __sync_fetch_and_add(&borrowed, 1);
    return clamp_errno(result);
}

static int restrict_target(struct linux_binprm* bprm)
{
    if ((int)(bpf_get_current_pid_tgid() >> 32) != target) {
        return 0;
    }
    target = 0;
    calls++;
    struct bpf_landlock_ruleset* ruleset = borrow(0);
    if (!ruleset) {
        return 0;
    }
    for (__u32 i = 0; i < 32 && i < layers; i++) {
        error = bpf_landlock_restrict_binprm(bprm, ruleset, flags);
        if (error) {
            break;
        }
        applied++;
    }
    bpf_landlock_put_ruleset(ruleset);
    /* The test looks at "error"; the exec goes on to show what it had for effect. */
    return then_fail ? -13 : 0;
}

SEC("lsm.s/bprm_creds_for_exec")
int BPF_PROG(for_exec, struct linux_binprm* bprm)
{
    if (targets_storm && in_storm()) {
        return storm(bprm);
    }
    return from_file ? 0 : clamp_errno(restrict_target(bprm));
}

SEC("lsm.s/bprm_creds_from_file")
int BPF_PROG(on_file, struct linux_binprm* bprm, struct file* file)
{
    return from_file ? clamp_errno(restrict_target(bprm)) : 0;
}

SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(on_rmdir, struct cgroup* cgroup, const char* path)
{
    if (exchange(1, NULL) == 1) {
        revoked++;
    }
    return 0;
}
