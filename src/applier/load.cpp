// SPDX-License-Identifier: Apache-2.0
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "applier/applier.hpp"
#include "kfunc.skel.h"
#include "sys/error.hpp"

namespace applier {

namespace {

// libbpf and the verifier explain themselves here; shown only when loading fails. The verifier says why at the end.
std::string libbpfLog;
constexpr std::size_t maxLog = 4000;

int keepLog(libbpf_print_level level, const char* format, va_list arguments)
{
    if (level == LIBBPF_DEBUG) {
        return 0;
    }
    char* line = nullptr;
    const int length = vasprintf(&line, format, arguments);
    if (length >= 0) {
        libbpfLog += line;
        std::free(line);
        libbpfLog.erase(0, libbpfLog.size() - std::min(libbpfLog.size(), maxLog));
    }
    return length;
}

[[noreturn]] void fail(const std::string& what, int code)
{
    throw sys::Error(sys::errnoError(what, code < 0 ? -code : code).what() +
                     (libbpfLog.empty() ? std::string() : "\n" + libbpfLog));
}

using Skeleton = std::unique_ptr<kfunc_bpf, decltype(&kfunc_bpf__destroy)>;

void pin(const std::string& directory, const char* name, int fd)
{
    const std::string path = directory + "/" + name;
    if (const int error = bpf_obj_pin(fd, path.c_str())) {
        fail("pin " + path, error);
    }
}

}  // namespace

const char* nameOf(oll_applier applier)
{
    switch (applier) {
        case OLL_APPLIER_KFUNC:
            return "kfunc";
        case OLL_APPLIER_INJECT:
            return "inject";
    }
    return "unknown";
}

bool kernelHasBridge()
{
    const std::unique_ptr<btf, decltype(&btf__free)> kernel(btf__load_vmlinux_btf(), btf__free);
    if (!kernel) {
        throw sys::Error("the running kernel has no BTF (/sys/kernel/btf/vmlinux); it needs CONFIG_DEBUG_INFO_BTF=y");
    }
    return btf__find_by_name_kind(kernel.get(), "bpf_landlock_restrict_binprm", BTF_KIND_FUNC) > 0;
}

void loadKfunc(const std::string& directory)
{
    libbpfLog.clear();
    libbpf_set_print(keepLog);
    const Skeleton skeleton(kfunc_bpf__open(), kfunc_bpf__destroy);
    if (!skeleton) {
        fail("open BPF object", errno);
    }
    if (const int error = kfunc_bpf__load(skeleton.get())) {
        fail("load BPF programs", error);
    }
    bpf_map* map = nullptr;
    bpf_object__for_each_map(map, skeleton->obj)
    {
        if (!bpf_map__is_internal(map)) {
            pin(directory, bpf_map__name(map), bpf_map__fd(map));
        }
    }
    for (const bpf_program* program : {skeleton->progs.hand_over, skeleton->progs.revoke, skeleton->progs.identify,
                                       skeleton->progs.mount_namespaces}) {
        pin(directory, bpf_program__name(program), bpf_program__fd(program));
    }
    // What remembers before what selects: no exec may be selected and then forgotten.
    for (bpf_program* program : {skeleton->progs.forget, skeleton->progs.inherit, skeleton->progs.commit_exec,
                                 skeleton->progs.select_interpreter, skeleton->progs.find_interpreter,
                                 skeleton->progs.select_exec}) {
        const std::unique_ptr<bpf_link, decltype(&bpf_link__destroy)> link(bpf_program__attach(program),
                                                                            bpf_link__destroy);
        const std::string name = bpf_program__name(program);
        if (!link) {
            fail("attach BPF program " + name, errno);
        }
        pin(directory, ("link_" + name).c_str(), bpf_link__fd(link.get()));
    }
}

}  // namespace applier
