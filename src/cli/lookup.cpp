// SPDX-License-Identifier: Apache-2.0
#include "cli/lookup.hpp"

#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "landlock/access.hpp"
#include "profile/except.hpp"
#include "profile/path.hpp"
#include "sys/error.hpp"

namespace cli {

namespace {

std::string absolute(const std::string& path, const std::string& cwd)
{
    return path.starts_with('/') ? path : cwd + "/" + path;
}

// What the kernel starts in a file's place or beside it. Its content is the image's and may be anything.
struct Loader {
    std::string script;       // after "#!"; "" for none
    std::string interpreter;  // of a dynamic executable
};

// `at`: read as far as it goes.
std::string readAt(int file, std::size_t size, std::uint64_t at)
{
    std::string text(size, '\0');
    const ssize_t n = pread(file, text.data(), text.size(), static_cast<off_t>(at));
    text.resize(static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
    return text;
}

template <typename Header, typename Segment>
std::string elfInterpreter(int file, const std::string& begin)
{
    Header header{};
    if (begin.size() < sizeof header) {
        return "";
    }
    std::memcpy(&header, begin.data(), sizeof header);
    if (header.e_phentsize != sizeof(Segment)) {
        return "";
    }
    const std::string table = readAt(file, std::size_t{header.e_phnum} * sizeof(Segment), header.e_phoff);
    for (std::size_t at = 0; at + sizeof(Segment) <= table.size(); at += sizeof(Segment)) {
        Segment segment{};
        std::memcpy(&segment, table.data() + at, sizeof segment);
        if (segment.p_type == PT_INTERP) {
            const std::string name = readAt(file, std::min<std::size_t>(segment.p_filesz, 4096), segment.p_offset);
            return name.substr(0, name.find('\0'));
        }
    }
    return "";
}

Loader loaderOf(int path)
{
    struct stat st {};
    if (fstat(path, &st) != 0 || !S_ISREG(st.st_mode)) {
        return {};
    }
    const std::string link = "/proc/self/fd/" + std::to_string(path);
    const sys::Fd file(open(link.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (!file) {
        throw sys::errnoError("read a program");
    }
    const std::string begin = readAt(file.get(), 256, 0);
    if (begin.starts_with("#!")) {
        const std::size_t start = begin.find_first_not_of(" \t", 2);
        const std::size_t end = begin.find_first_of(std::string_view(" \t\n\0", 4), start);
        return {start == std::string::npos ? "" : begin.substr(start, end - start), ""};
    }
    if (!begin.starts_with(ELFMAG) || begin.size() <= EI_CLASS) {
        return {};
    }
    return {"", begin[EI_CLASS] == ELFCLASS64 ? elfInterpreter<Elf64_Ehdr, Elf64_Phdr>(file.get(), begin)
                                              : elfInterpreter<Elf32_Ehdr, Elf32_Phdr>(file.get(), begin)};
}

// Where dynamic loaders look for what they are told to load.
constexpr const char* loaderFiles[] = {"/etc/ld.so.cache"};
constexpr const char* loaderTrees[] = {"/lib",       "/lib32",     "/lib64",        "/usr/lib",
                                       "/usr/lib32", "/usr/lib64", "/usr/local/lib"};
constexpr unsigned maxLinks = 40;  // the kernel's bound

// musl's loader takes the directories of libraries from a file with its own name, in the /etc beside the directory that
// it lies in: /lib/ld-musl-x86_64.so.1 from /etc/ld-musl-x86_64.path. "": it is another one.
std::string searchPathOfMusl(const std::string& interpreter)
{
    constexpr std::string_view start = "ld-musl-";
    constexpr std::string_view end = ".so.1";
    const std::size_t slash = interpreter.rfind('/');
    const std::string name = interpreter.substr(slash + 1);
    if (slash == std::string::npos || !name.starts_with(start) || !name.ends_with(end)) {
        return "";
    }
    const std::size_t above = slash == 0 ? std::string::npos : interpreter.rfind('/', slash - 1);
    return (above == std::string::npos ? "" : interpreter.substr(0, above)) + "/etc/" +
           name.substr(0, name.size() - end.size()) + ".path";
}

class Guards {
public:
    explicit Guards(const container::Rootfs& rootfs) : rootfs_(rootfs) {}

    void file(const std::string& path) { add(path, false); }

    void program(std::string path)
    {
        for (unsigned depth = 0; depth <= maxScripts && !path.empty(); ++depth) {
            if (!path.starts_with('/')) {
                throw sys::Error("excepts a script with the relative interpreter " + sys::printable(path) +
                                 "; write its absolute path into the script");
            }
            const std::optional<sys::Fd> file = add(path, false);
            if (!file) {
                return;
            }
            const Loader loader = loaderOf(file->get());
            if (!loader.interpreter.empty()) {
                dynamic(loader.interpreter);
            }
            path = loader.script;
        }
    }

    const std::vector<profile::Guarded>& all() const { return all_; }

private:
    void dynamic(const std::string& interpreter)
    {
        add(interpreter, false);
        if (const std::string file = searchPathOfMusl(interpreter); !file.empty()) {
            add(file, false);
        }
        for (const char* file : loaderFiles) {
            add(file, false);
        }
        for (const char* tree : loaderTrees) {
            add(tree, true);
        }
    }

    // The links on the way, and what they lead to.
    std::optional<sys::Fd> add(const std::string& path, bool tree)
    {
        std::string left = path;
        std::string name;
        for (unsigned links = 0; !left.empty() && links <= maxLinks;) {
            const std::size_t start = std::min(left.find_first_not_of('/'), left.size());
            const std::size_t end = std::min(left.find('/', start), left.size());
            const std::string next = profile::lexicalPath(name + "/" + left.substr(start, end - start));
            left.erase(0, end);
            if (const auto target = rootfs_.linkAt(next)) {
                put(next, false);
                ++links;
                left = *target + left;
                name = target->starts_with('/') ? "" : name;
            } else {
                name = next;
            }
        }
        put(name, tree);
        std::optional<sys::Fd> file = rootfs_.find(path, "/");
        if (file) {
            put(rootfs_.nameOf(file->get()), tree);
        }
        return file;
    }

    void put(std::string path, bool tree)
    {
        if (std::ranges::none_of(all_, [&](const auto& known) { return known.path == path && known.tree == tree; })) {
            all_.push_back({std::move(path), tree});
        }
    }

    const container::Rootfs& rootfs_;
    std::vector<profile::Guarded> all_;
};

}  // namespace

std::string interpreterOf(int path)
{
    return loaderOf(path).script;
}

std::optional<Found> lookUpIfThere(const container::Rootfs& rootfs, const profile::PathRule& rule,
                                   const std::string& cwd, sys::Fd& file)
{
    const std::string full = absolute(rule.path, cwd);
    // Most paths have no link on the way, and asking the kernel for the name of a file costs more than opening it.
    file = rootfs.resolveStraight(full);
    std::string name = profile::lexicalPath(full);
    bool led = false;
    if (!file) {
        std::optional<sys::Fd> found = rootfs.find(full, "/");
        if (!found) {
            return std::nullopt;
        }
        file = std::move(*found);
        std::string real = rootfs.nameOf(file.get());
        led = real != name;
        name = std::move(real);
    }
    struct stat st {};
    if (fstat(file.get(), &st) != 0) {
        throw sys::errnoError("stat");
    }
    return Found{&rule, std::move(name), S_ISDIR(st.st_mode) ? rule.access : rule.access & landlock::fileRights(), led};
}

Found lookUp(const container::Rootfs& rootfs, const profile::PathRule& rule, const std::string& cwd, sys::Fd& file)
{
    std::optional<Found> found = lookUpIfThere(rootfs, rule, cwd, file);
    if (!found) {
        throw rootfs.notFound(rule.path, cwd);
    }
    return std::move(*found);
}

std::vector<const Found*> ledAstray(const std::vector<Found>& all)
{
    std::vector<const Found*> own;
    std::vector<const Found*> led;
    for (const Found& found : all) {
        (found.led ? led : own).push_back(&found);
    }
    std::erase_if(led, [&](const Found* found) {
        std::uint64_t missing = found->granted;
        bool loud = found->rule->quiet;
        for (const Found* other : own) {
            if (profile::isBeneath(found->name, other->name)) {
                missing &= ~other->granted;
                loud = loud && !other->rule->quiet;
            }
        }
        return missing == 0 && !loud;
    });
    return led;
}

std::string describe(const Found& found)
{
    return sys::printable(found.rule->path) + " leads to " + sys::printable(found.name);
}

void requireListed(const std::vector<Found>& all)
{
    const auto led = ledAstray(all);
    if (!led.empty()) {
        throw sys::Error(led.front()->rule->pointer + ": " + describe(*led.front()) +
                         " by a symbolic link, and the policy does not list that with the same rights; "
                         "list it there, if the link is as it should be");
    }
}

void requireListed(const profile::Selection& select, const std::string& program, const std::string& name)
{
    if (std::ranges::find(select.programs, name) == select.programs.end()) {
        throw sys::Error("the excepted program " + sys::printable(program) + " leads to " + sys::printable(name) +
                         " by a symbolic link, and the profile does not except that; list it as well, if "
                         "the link is as it should be");
    }
}

void requireStrict(const container::Rootfs& rootfs, const profile::Entry& entry,
                   const std::vector<std::vector<Found>>& layers, unsigned abi)
{
    std::vector<profile::FileLayer> files;
    for (std::size_t i = 0; i < entry.layers.size(); ++i) {
        profile::FileLayer& layer = files.emplace_back();
        layer.handled = entry.layers[i].handledFs;
        for (const Found& found : layers[i]) {
            layer.rules.push_back({found.name, found.granted, found.rule->pointer});
        }
    }
    std::string error;
    try {
        Guards guards(rootfs);
        for (const std::string& program : entry.select.programs) {
            guards.program(program);
        }
        guards.file(profile::preloadFile);
        error = profile::exceptError(files, guards.all(), abi);
    } catch (const sys::Error& failed) {
        error = failed.what();
    }
    if (!error.empty()) {
        throw sys::Error("entry " + sys::printable(entry.name) + ": " + error);
    }
}

}  // namespace cli
