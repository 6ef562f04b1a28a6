// SPDX-License-Identifier: Apache-2.0
#include "loaded_bridge.hpp"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "harness.hpp"

LoadedBridge::LoadedBridge(const char* path) : object_(bpf_object__open_file(path, nullptr))
{
    if (object_ == nullptr || bpf_object__load(object_) != 0) {
        die("load behaviour.bpf.o");
    }
    bpf_program* program;
    bpf_object__for_each_program(program, object_)
    {
        if (bpf_program__type(program) == BPF_PROG_TYPE_SYSCALL) {
            continue;
        }
        bpf_link* link = bpf_program__attach(program);
        if (link == nullptr) {
            die("attach");
        }
        links_.push_back(link);
    }
}

LoadedBridge::~LoadedBridge()
{
    for (bpf_link* link : links_) {
        bpf_link__destroy(link);
    }
    bpf_object__close(object_);
}

int LoadedBridge::run(const char* name, int fd, unsigned slot, unsigned flags)
{
    struct {
        int fd;
        unsigned slot;
        unsigned flags;
    } arguments = {fd, slot, flags};
    LIBBPF_OPTS(bpf_test_run_opts, options);
    options.ctx_in = &arguments;
    options.ctx_size_in = sizeof(arguments);
    if (bpf_prog_test_run_opts(bpf_program__fd(bpf_object__find_program_by_name(object_, name)), &options) != 0) {
        die("run");
    }
    return static_cast<int>(options.retval);
}

void* LoadedBridge::find(const char* name)
{
    const btf* types = bpf_object__btf(object_);
    for (const char* section : {".bss", ".data"}) {
        const int id = btf__find_by_name_kind(types, section, BTF_KIND_DATASEC);
        if (id < 0) {
            continue;
        }
        const btf_type* type = btf__type_by_id(types, id);
        const btf_var_secinfo* entry = btf_var_secinfos(type);
        for (int i = 0; i < btf_vlen(type); i++, entry++) {
            const btf_type* var = btf__type_by_id(types, entry->type);
            if (std::strcmp(btf__name_by_offset(types, var->name_off), name) != 0) {
                continue;
            }
            bpf_map* map;
            bpf_object__for_each_map(map, object_)
            {
                if (std::string(bpf_map__name(map)).ends_with(section)) {
                    return memory(map) + entry->offset;
                }
            }
        }
    }
    errno = ENOENT;
    die(name);
}

// The shared memory of a section, mapped once.
char* LoadedBridge::memory(const bpf_map* map)
{
    char*& where = memory_[bpf_map__fd(map)];
    if (where == nullptr) {
        const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
        const size_t size = (bpf_map__value_size(map) + page - 1) / page * page;
        void* mapped = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);
        if (mapped == MAP_FAILED) {
            die("mmap");
        }
        where = static_cast<char*>(mapped);
    }
    return where;
}
