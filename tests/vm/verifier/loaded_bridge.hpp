// SPDX-License-Identifier: Apache-2.0
// behaviour.bpf.o, loaded and attached.
#pragma once

#include <map>
#include <vector>

struct bpf_link;
struct bpf_map;
struct bpf_object;

class LoadedBridge {
public:
    explicit LoadedBridge(const char* path);
    ~LoadedBridge();
    LoadedBridge(const LoadedBridge&) = delete;
    LoadedBridge& operator=(const LoadedBridge&) = delete;

    int store(int fd, unsigned slot = 0, unsigned flags = 0) { return run("store", fd, slot, flags); }
    int revoke(unsigned slot = 0) { return run("revoke", -1, slot, 0); }

    // A variable of behaviour.bpf.c.
    template <typename T>
    T& variable(const char* name)
    {
        return *static_cast<T*>(find(name));
    }

private:
    int run(const char* name, int fd, unsigned slot, unsigned flags);
    void* find(const char* name);
    char* memory(const bpf_map* map);

    bpf_object* object_;
    std::vector<bpf_link*> links_;
    std::map<int, char*> memory_;
};
