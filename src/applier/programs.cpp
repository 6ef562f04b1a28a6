// SPDX-License-Identifier: Apache-2.0
#include "applier/programs.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string_view>

#include "inject.skel.h"
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

void pin(const std::string& directory, const char* name, int fd)
{
    const std::string path = directory + "/" + name;
    if (const int error = bpf_obj_pin(fd, path.c_str())) {
        fail("pin " + path, error);
    }
}

void pinAll(const bpf_object* object, const std::string& directory)
{
    bpf_map* map = nullptr;
    bpf_object__for_each_map(map, object)
    {
        if (!bpf_map__is_internal(map)) {
            pin(directory, bpf_map__name(map), bpf_map__fd(map));
        }
    }
    bpf_program* program = nullptr;
    bpf_object__for_each_program(program, object)
    {
        if (bpf_program__type(program) == BPF_PROG_TYPE_SYSCALL) {
            pin(directory, bpf_program__name(program), bpf_program__fd(program));
        }
    }
}

constexpr std::string_view linkPrefix = "link_";

void attachAll(oll_applier applier, bpf_object* object, const std::string& directory)
{
    for (const std::string& name : requiredLinks(applier)) {
        bpf_program* program = bpf_object__find_program_by_name(object, name.c_str() + linkPrefix.size());
        const std::unique_ptr<bpf_link, decltype(&bpf_link__destroy)> link(program == nullptr
                                                                               ? nullptr
                                                                               : bpf_program__attach(program),
                                                                           bpf_link__destroy);
        if (!link) {
            fail("attach BPF program " + name.substr(linkPrefix.size()), errno);
        }
        pin(directory, name.c_str(), bpf_link__fd(link.get()));
    }
}

template <auto open, auto loadSkeleton, auto destroy>
void loadSkeletonOf(oll_applier applier, const std::string& directory)
{
    const std::unique_ptr<std::remove_pointer_t<decltype(open())>, decltype(destroy)> skeleton(open(), destroy);
    if (!skeleton) {
        fail("open BPF object", errno);
    }
    loadBpf("load BPF programs", [&skeleton] { return loadSkeleton(skeleton.get()); });
    // No map has a name before guard_map says who may open it: a descriptor from before would stay good.
    attachAll(applier, skeleton->obj, directory);
    pinAll(skeleton->obj, directory);
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

// What remembers before what selects: no exec may be selected and then forgotten.
std::vector<std::string> requiredLinks(oll_applier applier)
{
    std::vector<std::string> links;
    if (applier == OLL_APPLIER_INJECT) {
        links = {"link_guard_owed", "link_guard_ruleset"};
    }
    links.insert(links.end(), {"link_guard_map", "link_forget", "link_inherit", "link_commit_exec",
                               "link_restrict_exec", "link_select_file", "link_select_exec"});
    return links;
}

std::vector<Telling> tellingPrograms(oll_applier applier)
{
    std::vector<Telling> programs;
    for (const char* name : {"select_exec", "select_file", "restrict_exec", "commit_exec"}) {
        programs.push_back({.name = name, .pin = std::string(linkPrefix) + name, .attached = true});
    }
    if (applier == OLL_APPLIER_INJECT) {
        for (const char* name : {"debt", "report_failure"}) {
            programs.push_back({.name = name, .pin = name});
        }
    }
    return programs;
}

void loadBpf(const char* what, const std::function<int()>& load)
{
    libbpfLog.clear();
    libbpf_set_print(keepLog);
    if (const int error = load()) {
        fail(what, error);
    }
}

void load(oll_applier applier, const std::string& directory)
{
    if (applier == OLL_APPLIER_INJECT) {
        loadSkeletonOf<inject_bpf__open, inject_bpf__load, inject_bpf__destroy>(applier, directory);
    } else {
        loadSkeletonOf<kfunc_bpf__open, kfunc_bpf__load, kfunc_bpf__destroy>(applier, directory);
    }
}

}  // namespace applier
