// SPDX-License-Identifier: Apache-2.0
// Tests of the kernel side alone, on a kernel with the BPF bridge to Landlock:
// what the verifier accepts and refuses (rules.bpf.c), and what the kfuncs do
// (behaviour.bpf.c). Runs as root in the virtual machine.
//
// clang -O2 -g -target bpf -D__TARGET_ARCH_x86 -I/usr/include/x86_64-linux-gnu
//     -c rules.bpf.c -o rules.bpf.o        (behaviour.bpf.c alike)
// g++ -std=c++20 -O2 -Wall -Wextra -static main.cpp -lbpf -lelf -lz -pthread
//     -o bridge-tests
//
// bridge-tests rules rules.bpf.o
// bridge-tests behaviour behaviour.bpf.o
// bridge-tests storm behaviour.bpf.o SECONDS
#include <fcntl.h>
#include <linux/landlock.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace {

int failures = 0;
int checks = 0;

void check(bool good, const std::string& what)
{
    checks++;
    if (!good) {
        failures++;
    }
    std::printf("%s %d - %s\n", good ? "ok" : "not ok", checks, what.c_str());
    std::fflush(stdout);
}

[[noreturn]] void die(const char* what)
{
    std::printf("Bail out! %s: %s\n", what, std::strerror(errno));
    std::exit(2);
}

int finish()
{
    std::printf("1..%d\n# %d failed\n", checks, failures);
    return failures == 0 ? 0 : 1;
}

// ---- rules ----

struct Rule {
    const char* program;
    const char* refusal;  // part of the verifier's message, nullptr: accepted
};

constexpr const char* not_allowed = "is not allowed";

constexpr Rule rules[] = {
    {"ok_store", nullptr},
    {"ok_revoke_syscall", nullptr},
    {"ok_restrict_for_exec", nullptr},
    {"ok_restrict_from_file", nullptr},
    {"ok_acquire_nonsleepable", nullptr},
    {"ok_revoke_tp_btf", nullptr},
    {"ok_revoke_fentry", nullptr},
    {"ok_other_kfunc", nullptr},
    {"bad_restrict_check_security", not_allowed},
    {"bad_restrict_committed_creds", not_allowed},
    {"bad_restrict_nonsleepable", "program must be sleepable to call sleepable kfunc"},
    {"bad_restrict_lsm_cgroup", "program must be sleepable to call sleepable kfunc"},
    {"bad_restrict_fentry", not_allowed},
    {"bad_from_fd_lsm", not_allowed},
    {"bad_from_fd_fentry", not_allowed},
    {"bad_acquire_tp_btf", not_allowed},
    {"bad_acquire_syscall", not_allowed},
    {"bad_put_xdp", not_allowed},
    {"bad_call_dtor", not_allowed},
    {"bad_restrict_wrong_type", "but R2 has a pointer to STRUCT task_struct"},
    {"bad_restrict_wrong_binprm", "but R1 has a pointer to STRUCT task_struct"},
    {"bad_restrict_not_acquired", "R2 must be referenced or trusted"},
    {"bad_restrict_in_rcu", "kernel func bpf_landlock_restrict_binprm is sleepable within"},
    {"bad_restrict_null", "Possibly NULL pointer passed to trusted arg1"},
    {"bad_restrict_unchecked", "Possibly NULL pointer passed to trusted arg1"},
    {"bad_acquire_outside_rcu", "R1 must be a rcu pointer"},
    {"bad_put_not_owned", "R1 must be referenced or trusted"},
    {"bad_leak_acquired", "Unreleased reference"},
    {"bad_leak_from_fd", "Unreleased reference"},
    {"bad_leak_exchanged", "Unreleased reference"},
    {"bad_put_twice", "arg#0 pointer type STRUCT bpf_landlock_ruleset must point to scalar"},
    {"bad_restrict_after_put", "arg#1 pointer type STRUCT bpf_landlock_ruleset must point to scalar"},
    {"bad_store_directly", "store to referenced kptr disallowed"},
};

int quiet(enum libbpf_print_level, const char*, va_list)
{
    return 0;
}

int test_rules(const char* path)
{
    libbpf_set_print(quiet);
    std::vector<char> log(1 << 20);
    for (const Rule& rule : rules) {
        bpf_object* object = bpf_object__open_file(path, nullptr);
        if (object == nullptr) {
            die("open");
        }
        bpf_program* program;
        bpf_object__for_each_program(program, object)
        {
            const bool chosen = std::strcmp(bpf_program__name(program), rule.program) == 0;
            bpf_program__set_autoload(program, chosen);
            if (chosen) {
                log[0] = '\0';
                bpf_program__set_log_buf(program, log.data(), log.size());
                bpf_program__set_log_level(program, 1);
            }
        }
        program = bpf_object__find_program_by_name(object, rule.program);
        const bool loaded = bpf_object__load(object) == 0;
        bool good = loaded && program != nullptr;
        std::string what = std::string(rule.program) + ": accepted";
        if (rule.refusal != nullptr) {
            good = !loaded && std::strstr(log.data(), rule.refusal) != nullptr;
            what = std::string(rule.program) + ": refused, \"" + rule.refusal + "\"";
        }
        check(good, what);
        if (!good) {
            // The reason is at the end.
            const std::string text = log.data();
            std::printf("# loaded %d\n%s\n", loaded, text.substr(text.size() > 1500 ? text.size() - 1500 : 0).c_str());
        }
        bpf_object__close(object);
    }
    return finish();
}

// ---- behaviour ----

// What a program reports about itself in its exit status.
enum : int { restricted = 1, no_new_privs = 2, is_root = 4, exec_failed = 64 };

constexpr const char* secret = "/tmp/bridge/secret";
constexpr const char* allowed = "/tmp/bridge/allowed";
constexpr const char* probe = "/tmp/bridge/bin/probe";
constexpr const char* setuid_probe = "/tmp/bridge/bin/setuid-probe";
constexpr const char* bad_script = "/tmp/bridge/bin/bad-script";
constexpr const char* script = "/tmp/bridge/bin/script";

int state()
{
    int result = 0;
    if (open(secret, O_RDONLY) < 0 && errno == EACCES) {
        result |= restricted;
    }
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1) {
        result |= no_new_privs;
    }
    if (geteuid() == 0) {
        result |= is_root;
    }
    return result;
}

void copy_self(const char* to, mode_t mode)
{
    const int in = open("/proc/self/exe", O_RDONLY);
    const int out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0700);
    if (in < 0 || out < 0) {
        die(to);
    }
    std::array<char, 65536> buffer;
    for (ssize_t n; (n = read(in, buffer.data(), buffer.size())) > 0;) {
        if (write(out, buffer.data(), n) != n) {
            die("write");
        }
    }
    close(in);
    close(out);
    chmod(to, mode);
}

void write_file(const char* path, const std::string& text, mode_t mode)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || write(fd, text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
        die(path);
    }
    close(fd);
    chmod(path, mode);
}

void make_files()
{
    mkdir("/tmp", 0777);
    mkdir("/tmp/bridge", 0755);
    mkdir("/tmp/bridge/bin", 0755);
    write_file(secret, "x", 0644);
    write_file(allowed, "x", 0644);
    copy_self(probe, 0755);
    copy_self(setuid_probe, 04755);
    write_file(bad_script, "#!/nonexistent\n", 0755);
    write_file(script, std::string("#!") + probe + " state\n", 0755);
}

int create_ruleset()
{
    landlock_ruleset_attr attributes = {};
    attributes.handled_access_fs = LANDLOCK_ACCESS_FS_READ_FILE;
    return static_cast<int>(syscall(SYS_landlock_create_ruleset, &attributes, sizeof(attributes), 0));
}

void allow(int ruleset, const char* path)
{
    landlock_path_beneath_attr rule = {};
    rule.allowed_access = LANDLOCK_ACCESS_FS_READ_FILE;
    rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
    if (rule.parent_fd < 0 || syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0) {
        die("landlock_add_rule");
    }
    close(rule.parent_fd);
}

// Lets programs run, and denies to read the secret.
int usual_ruleset()
{
    const int ruleset = create_ruleset();
    if (ruleset < 0) {
        die("landlock_create_ruleset");
    }
    allow(ruleset, "/tmp/bridge/bin");
    // This program is linked with libraries where the archives of all of them are not whole.
    for (const char* library : {"/lib", "/lib64", "/etc/ld.so.cache"}) {
        allow(ruleset, library);
    }
    return ruleset;
}

class Bridge {
public:
    explicit Bridge(const char* path)
    {
        object_ = bpf_object__open_file(path, nullptr);
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
    ~Bridge()
    {
        for (bpf_link* link : links_) {
            bpf_link__destroy(link);
        }
        bpf_object__close(object_);
    }
    Bridge(const Bridge&) = delete;
    Bridge& operator=(const Bridge&) = delete;

    int run(const char* name, int fd, unsigned slot)
    {
        struct {
            int fd;
            unsigned slot;
        } arguments = {fd, slot};
        LIBBPF_OPTS(bpf_test_run_opts, options);
        options.ctx_in = &arguments;
        options.ctx_size_in = sizeof(arguments);
        if (bpf_prog_test_run_opts(bpf_program__fd(bpf_object__find_program_by_name(object_, name)), &options) != 0) {
            die("run");
        }
        return static_cast<int>(options.retval);
    }
    int store(int fd, unsigned slot = 0) { return run("store", fd, slot); }
    int revoke(unsigned slot = 0) { return run("revoke", -1, slot); }

    // A variable of behaviour.bpf.c.
    template <typename T>
    T& variable(const char* name);

private:
    // The shared memory of a section, mapped once.
    char* memory(const bpf_map* map)
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

    bpf_object* object_;
    std::vector<bpf_link*> links_;
    std::map<int, char*> memory_;
};

template <typename T>
T& Bridge::variable(const char* name)
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
                const std::string map_name = bpf_map__name(map);
                if (map_name.ends_with(section)) {
                    return *reinterpret_cast<T*>(memory(map) + entry->offset);
                }
            }
        }
    }
    errno = ENOENT;
    die(name);
}

struct Options {
    unsigned flags = 0;
    unsigned layers = 1;
    bool from_file = false;
    bool then_fail = false;
    bool match = true;
    const char* program = probe;
    std::vector<const char*> arguments = {"state"};
    const char* fallback = nullptr;        // executed if "program" fails
    std::function<void()> before = [] {};  // in the child, before its exec
};

struct Outcome {
    int status;  // exit status of the program, or of the child whose exec failed
    int error;   // of the kfunc, 1: not called
    int applied;
};

Outcome exec(Bridge& bridge, const Options& options)
{
    bridge.variable<int>("error") = 1;
    bridge.variable<int>("applied") = 0;
    bridge.variable<unsigned>("flags") = options.flags;
    bridge.variable<unsigned>("layers") = options.layers;
    bridge.variable<int>("from_file") = options.from_file;
    bridge.variable<int>("then_fail") = options.then_fail;
    int gate[2];
    if (pipe2(gate, O_CLOEXEC) != 0) {
        die("pipe");
    }
    const pid_t child = fork();
    if (child == 0) {
        options.before();
        char byte;
        if (read(gate[0], &byte, 1) != 1) {
            _exit(127);
        }
        std::vector<char*> arguments = {const_cast<char*>(options.program)};
        for (const char* argument : options.arguments) {
            arguments.push_back(const_cast<char*>(argument));
        }
        arguments.push_back(nullptr);
        execv(options.program, arguments.data());
        if (options.fallback != nullptr) {
            execv(options.fallback, arguments.data());
        }
        _exit(exec_failed | state());
    }
    bridge.variable<int>("target") = options.match ? child : 0;
    if (write(gate[1], "x", 1) != 1) {
        die("write");
    }
    close(gate[0]);
    close(gate[1]);
    int status = 0;
    waitpid(child, &status, 0);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status), bridge.variable<int>("error"),
            bridge.variable<int>("applied")};
}

void expect(const Outcome& outcome, int status, int error, const std::string& what)
{
    const bool good = outcome.status == status && outcome.error == error;
    check(good, what);
    if (!good) {
        std::printf("# status %d, wanted %d; error %d, wanted %d; layers %d\n", outcome.status, status, outcome.error,
                    error, outcome.applied);
    }
}

void drop_privileges()
{
    if (setresgid(1000, 1000, 1000) != 0 || setresuid(1000, 1000, 1000) != 0) {
        _exit(126);
    }
}

int test_behaviour(const char* path)
{
    make_files();
    Bridge bridge(path);

    check(bridge.store(999) == 2, "a closed descriptor is no ruleset");
    check(bridge.store(-1) == 2, "a negative descriptor is no ruleset");
    {
        const int fd = open("/dev/null", O_RDWR);
        check(bridge.store(fd) == 2, "another file is no ruleset");
        close(fd);
    }

    Options with_nnp;
    with_nnp.flags = 1U << 4;
    expect(exec(bridge, with_nnp), is_root, 1, "an empty slot restricts nothing");

    const int ruleset = usual_ruleset();
    check(bridge.store(ruleset) == 0, "a ruleset is stored");
    check(bridge.store(ruleset) == 1, "a ruleset is replaced");

    expect(exec(bridge, with_nnp), is_root | restricted | no_new_privs, 0, "the target is restricted");
    {
        Options options = with_nnp;
        options.match = false;
        expect(exec(bridge, options), is_root, 1, "another exec is not restricted");
    }
    {
        Options options = with_nnp;
        options.from_file = true;
        expect(exec(bridge, options), is_root | restricted | no_new_privs, 0, "the target is restricted from_file");
    }
    {
        Options options = with_nnp;
        options.program = script;
        expect(exec(bridge, options), is_root | restricted | no_new_privs, 0, "a script is restricted");
    }
    {
        Options options = with_nnp;
        options.arguments = {"exec", probe};
        expect(exec(bridge, options), is_root | restricted | no_new_privs, 0, "what the target executes is restricted");
    }

    // Failed execs.
    {
        Options options = with_nnp;
        options.program = bad_script;
        expect(exec(bridge, options), exec_failed | is_root, 0, "an exec without interpreter leaves nothing");
    }
    {
        Options options = with_nnp;
        options.then_fail = true;
        expect(exec(bridge, options), exec_failed | is_root, 0, "an exec denied in creds_for_exec leaves nothing");
        options.from_file = true;
        expect(exec(bridge, options), exec_failed | is_root, 0, "an exec denied in creds_from_file leaves nothing");
    }
    {
        Options options = with_nnp;
        options.program = bad_script;
        options.fallback = probe;
        expect(exec(bridge, options), is_root, 0, "nor anything for the exec after it");
    }

    // Flags.
    for (const unsigned flags : {1U << 3, 1U << 0, 1U << 5, 1U << 31, (1U << 4) | (1U << 3)}) {
        Options options;
        options.flags = flags;
        expect(exec(bridge, options), is_root, -EINVAL, "flags " + std::to_string(flags) + " are refused");
    }

    // Privileges.
    {
        Options options;
        expect(exec(bridge, options), is_root | restricted, 0, "CAP_SYS_ADMIN needs no flag, and gets no no_new_privs");
        options.before = drop_privileges;
        expect(exec(bridge, options), 0, -EPERM, "without privileges and flag: EPERM");
        options.before = [] {
            drop_privileges();
            prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        };
        expect(exec(bridge, options), restricted | no_new_privs, 0, "with no_new_privs no flag is needed");
        options.before = drop_privileges;
        options.flags = 1U << 4;
        expect(exec(bridge, options), restricted | no_new_privs, 0, "without privileges, with flag");
        options.program = setuid_probe;
        expect(exec(bridge, options), is_root | restricted | no_new_privs, 0, "the exec itself may gain privileges");
        options.program = probe;
        options.arguments = {"exec", setuid_probe};
        expect(exec(bridge, options), restricted | no_new_privs, 0, "later ones may not");
        options.match = false;
        expect(exec(bridge, options), is_root, 1, "unless there was no target");
    }
    {
        Options options;
        options.before = [] {
            drop_privileges();
            if (unshare(CLONE_NEWUSER) != 0) {
                _exit(125);
            }
        };
        expect(exec(bridge, options), restricted, 0, "CAP_SYS_ADMIN in the user namespace of the task is enough");
    }

    // Layers.
    {
        Options options = with_nnp;
        options.layers = 16;
        Outcome outcome = exec(bridge, options);
        expect(outcome, is_root | restricted | no_new_privs, 0, "16 layers in one exec");
        check(outcome.applied == 16, "all are applied");
        options.layers = 17;
        outcome = exec(bridge, options);
        expect(outcome, is_root | restricted | no_new_privs, -E2BIG, "the 17th layer is refused");
        check(outcome.applied == 16, "and the others stay");
    }
    {
        Options options = with_nnp;
        options.layers = 15;
        options.arguments = {"self-restrict"};
        expect(exec(bridge, options), is_root | restricted | no_new_privs, 0, "a program adds its own layer on top");
        options.layers = 16;
        expect(exec(bridge, options), 32, 0, "unless there are 16 already");
    }

    // Lifetime.
    {
        Options options = with_nnp;
        options.arguments = {"read", allowed};
        expect(exec(bridge, options), EACCES, 0, "what has no rule is denied");
        allow(ruleset, allowed);
        expect(exec(bridge, options), 0, 0, "a rule that is added later counts from the next exec on");
        close(ruleset);
        expect(exec(bridge, options), 0, 0, "the ruleset outlives its descriptor");
        check(bridge.revoke() == 1, "the slot is emptied");
        check(bridge.revoke() == 0, "once");
        expect(exec(bridge, with_nnp), is_root, 1, "after that, nothing is restricted");
    }
    {
        mkdir("/tmp/cgroup", 0755);
        mount("none", "/tmp/cgroup", "cgroup2", 0, nullptr);
        const int fd = usual_ruleset();
        bridge.store(fd, 1);
        close(fd);
        const int before = bridge.variable<int>("revoked");
        mkdir("/tmp/cgroup/bridge", 0755);
        rmdir("/tmp/cgroup/bridge");
        check(bridge.variable<int>("revoked") == before + 1, "the death of a cgroup empties a slot");
        umount("/tmp/cgroup");
    }
    // Left to the destructor.
    const int last = usual_ruleset();
    bridge.store(last, 2);
    close(last);
    return finish();
}

// ---- storm ----

// Execs on all processors, while slots are filled, swapped and emptied.
int test_storm(const char* path, int seconds)
{
    make_files();
    Bridge bridge(path);
    bridge.variable<int>("targets_storm") = 1;
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
    constexpr int workers = 4;
    std::array<pid_t, workers + 1> children{};
    int results[2];
    if (pipe(results) != 0) {
        die("pipe");
    }
    struct Count {
        long execs, restricted, free, bad;
    };
    for (int i = 0; i <= workers; i++) {
        children[i] = fork();
        if (children[i] != 0) {
            continue;
        }
        prctl(PR_SET_NAME, "storm", 0, 0, 0);
        Count count{};
        while (std::chrono::steady_clock::now() < end) {
            if (i == workers) {
                // Slots also change from a second process, without any order.
                for (unsigned slot = 0; slot < 8; slot++) {
                    const int fd = usual_ruleset();
                    bridge.store(fd, slot);
                    close(fd);
                    bridge.revoke((slot * 5 + 3) % 8);
                }
                usleep(500);
                continue;
            }
            const pid_t child = fork();
            if (child == 0) {
                execl(probe, probe, "state", nullptr);
                _exit(exec_failed);
            }
            int status = 0;
            waitpid(child, &status, 0);
            count.execs++;
            switch (WIFEXITED(status) ? WEXITSTATUS(status) : -1) {
                case is_root | restricted | no_new_privs:
                    count.restricted++;
                    break;
                case is_root:
                    count.free++;
                    break;
                default:
                    count.bad++;
            }
        }
        if (write(results[1], &count, sizeof(count)) != sizeof(count)) {
            _exit(1);
        }
        _exit(0);
    }
    long swaps = 0;
    int fds[8];
    for (int& fd : fds) {
        fd = usual_ruleset();
    }
    while (std::chrono::steady_clock::now() < end) {
        for (unsigned slot = 0; slot < 8; slot++, swaps++) {
            bridge.store(fds[(slot + swaps) % 8], slot);
            if (swaps % 3 == 0) {
                bridge.revoke(slot);
            }
        }
        usleep(200);
    }
    Count total{};
    for (const pid_t child : children) {
        Count count{};
        if (read(results[0], &count, sizeof(count)) != sizeof(count)) {
            die("read");
        }
        total.execs += count.execs;
        total.restricted += count.restricted;
        total.free += count.free;
        total.bad += count.bad;
        waitpid(child, nullptr, 0);
    }
    const long borrowed = bridge.variable<long>("borrowed");
    const long empty = bridge.variable<long>("empty");
    std::printf("# %ld execs: %ld restricted, %ld free, %ld neither; %ld borrowed, %ld empty; %ld swaps\n", total.execs,
                total.restricted, total.free, total.bad, borrowed, empty, swaps);
    check(total.bad == 0, "each program is restricted with no_new_privs, or not at all");
    check(total.restricted == borrowed && total.free == empty, "exactly those whose slot was full");
    check(total.restricted > 0 && total.free > 0, "both happened");
    return finish();
}

// ---- what the tests execute ----

int self_restrict()
{
    const int ruleset = usual_ruleset();
    if (syscall(SYS_landlock_restrict_self, ruleset, 0) != 0) {
        return errno == E2BIG ? 32 : 33;
    }
    return state();
}

}  // namespace

int main(int argc, char** argv)
{
    const std::string command = argc > 1 ? argv[1] : "";
    if (command == "state") {
        return state();
    }
    if (command == "self-restrict") {
        return self_restrict();
    }
    if (command == "read" && argc > 2) {
        return open(argv[2], O_RDONLY) < 0 ? errno : 0;
    }
    if (command == "exec" && argc > 2) {
        execl(argv[2], argv[2], "state", nullptr);
        return 127;
    }
    if (command == "rules" && argc > 2) {
        return test_rules(argv[2]);
    }
    if (command == "behaviour" && argc > 2) {
        return test_behaviour(argv[2]);
    }
    if (command == "storm" && argc > 3) {
        return test_storm(argv[2], std::atoi(argv[3]));
    }
    std::fprintf(stderr, "usage: %s rules|behaviour OBJECT, or storm OBJECT SECONDS\n", argv[0]);
    return 2;
}
