// SPDX-License-Identifier: Apache-2.0
#include "applier/injection/stopped_task.hpp"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "sys/file.hpp"

namespace applier::injection {

namespace {

// A line of it lists the groups, of which there can be 65,536.
constexpr std::size_t maxStatusFile = 1024UL * 1024;

std::uint64_t numberInFile(const char* path, std::uint64_t absent)
{
    const sys::Fd file(open(path, O_RDONLY | O_CLOEXEC));
    char text[32];
    const ssize_t length = file ? read(file.get(), text, sizeof text) : -1;
    std::uint64_t value = absent;
    if (length > 0) {
        std::from_chars(text, text + length, value);
    }
    return value;
}

}  // namespace

void fail(std::string what, int code)
{
    if (code == ESRCH) {
        throw Gone{};
    }
    throw Failure{std::move(what), code};
}

std::uint64_t StatusFields::number(std::string_view name, std::uint64_t absent, int base) const
{
    std::string start = "\n";
    start.append(name).append(":\t");
    const std::size_t at = text_.find(start);
    if (at == std::string::npos) {
        return absent;
    }
    std::uint64_t value = absent;
    std::from_chars(text_.data() + at + start.size(), text_.data() + text_.size(), value, base);
    return value;
}

// NSpid: one number for each namespace, the innermost last.
bool StatusFields::isNamespaceInit() const
{
    const std::size_t pids = text_.find("\nNSpid:");
    const std::size_t end = pids == std::string::npos ? pids : text_.find('\n', pids + 1);
    return end != std::string::npos && text_.compare(end - 2, 2, "\t1") == 0;
}

void StoppedTask::hold()
{
    pidfd_ = sys::Fd(static_cast<int>(syscall(SYS_pidfd_open, pid_, 0)));
    if (!pidfd_) {
        fail("opening the program's process");
    }
}

// A zombie keeps its pid until the tracer has reaped it, which it cannot have if it has not told us.
void StoppedTask::kill() const
{
    if (pidfd_) {
        syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0);
    } else {
        ::kill(pid_, SIGKILL);
    }
}

// Empty, with errno: it cannot be opened.
std::optional<std::string> StoppedTask::procFile(const std::string& name) const
{
    const std::string path = "/proc/" + std::to_string(pid_) + "/" + name;
    const sys::Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file) {
        return std::nullopt;
    }
    return sys::readAll(file.get(), maxStatusFile, path);
}

StatusFields StoppedTask::status() const
{
    std::optional<std::string> text = procFile("status");
    if (!text) {
        fail("reading the program's status", errno == ENOENT ? ESRCH : errno);
    }
    return StatusFields(std::move(*text));
}

StatusFields StoppedTask::descriptor(int fd) const
{
    std::optional<std::string> text = procFile("fdinfo/" + std::to_string(fd));
    if (!text && errno != ENOENT) {
        fail("looking at a descriptor of the program");
    }
    return StatusFields(std::move(text).value_or(""));
}

bool StoppedTask::setOptions(unsigned long options) const
{
    if (ptrace(PTRACE_SETOPTIONS, pid_, nullptr, options) == 0) {
        return true;
    }
    if (errno == ESRCH) {
        throw Gone{};
    }
    return false;
}

void StoppedTask::resume(int signal) const
{
    if (ptrace(PTRACE_SYSCALL, pid_, nullptr, static_cast<long>(signal)) != 0) {
        fail("resuming the program");
    }
}

void StoppedTask::detach() const
{
    if (ptrace(PTRACE_DETACH, pid_, nullptr, nullptr) != 0) {
        fail("detaching from the program");
    }
}

__ptrace_syscall_info StoppedTask::systemCall() const
{
    __ptrace_syscall_info info{};
    if (ptrace(static_cast<__ptrace_request>(PTRACE_GET_SYSCALL_INFO), pid_, sizeof info, &info) < 0) {
        fail("reading the program's system call");
    }
    return info;
}

int StoppedTask::signalToDeliver(int signal, bool namespaceInit) const
{
    if (signal != SIGSTOP || !namespaceInit) {
        return signal;
    }
    siginfo_t info{};
    if (ptrace(PTRACE_GETSIGINFO, pid_, nullptr, &info) != 0) {
        fail("reading the signal of the program");
    }
    const bool hasSender = info.si_code == SI_USER || info.si_code == SI_QUEUE || info.si_code == SI_TKILL;
    return hasSender && info.si_pid != 0 ? 0 : signal;
}

machine::Registers StoppedTask::registers() const
{
    machine::Registers registers;
    if (!machine::readRegisters(pid_, registers)) {
        fail(errno == ENOTSUP ? "restricting a 32-bit program on this machine" : "reading the program's registers");
    }
    return registers;
}

void StoppedTask::setRegisters(const machine::Registers& registers) const
{
    if (!machine::writeRegisters(pid_, registers)) {
        fail("setting the program's registers");
    }
}

std::uint64_t StoppedTask::signalMask() const
{
    std::uint64_t mask = 0;
    if (ptrace(PTRACE_GETSIGMASK, pid_, sizeof mask, &mask) != 0) {
        fail("reading the program's signal mask");
    }
    return mask;
}

void StoppedTask::setSignalMask(std::uint64_t mask) const
{
    if (ptrace(PTRACE_SETSIGMASK, pid_, sizeof mask, &mask) != 0) {
        fail("setting the program's signal mask");
    }
}

// Word by word: unlike process_vm_writev(2), this writes to instructions.
std::vector<Word> StoppedTask::read(Address address, std::size_t bytes) const
{
    std::vector<Word> words(bytes / sizeof(Word));
    for (Word& word : words) {
        errno = 0;
        word = static_cast<Word>(ptrace(PTRACE_PEEKDATA, pid_, address, nullptr));
        if (errno != 0) {
            fail("reading the program's memory");
        }
        address += sizeof word;
    }
    return words;
}

void StoppedTask::write(Address address, std::span<const Word> words) const
{
    for (const Word word : words) {
        if (ptrace(PTRACE_POKEDATA, pid_, address, word) != 0) {
            fail("writing to the program's memory");
        }
        address += sizeof word;
    }
}

// No descriptor is as high as the table is large, so that this much is enough in any case.
bool StoppedTask::raiseFileLimit(std::uint64_t tableSize, std::uint64_t more)
{
    const std::uint64_t needed =
        std::min<std::uint64_t>(tableSize + more, numberInFile("/proc/sys/fs/nr_open", 1048576));
    bool enough = prlimit(pid_, RLIMIT_NOFILE, nullptr, &fileLimit_) == 0;
    if (enough && fileLimit_.rlim_cur < needed) {
        const rlimit raised{needed, std::max<rlim_t>(needed, fileLimit_.rlim_max)};
        enough = fileLimitRaised_ = prlimit(pid_, RLIMIT_NOFILE, &raised, nullptr) == 0;
    }
    if (!enough && errno == ESRCH) {
        throw Gone{};
    }
    return enough;
}

void StoppedTask::restoreFileLimit() const
{
    if (!fileLimitRaised_) {
        return;
    }
    rlimit now{};
    if (prlimit(pid_, RLIMIT_NOFILE, nullptr, &now) != 0) {
        fail("reading the program's limit of open files");
    }
    const rlimit restored{std::min(now.rlim_cur, fileLimit_.rlim_cur), std::min(now.rlim_max, fileLimit_.rlim_max)};
    if (prlimit(pid_, RLIMIT_NOFILE, &restored, nullptr) != 0) {
        fail("restoring the program's limit of open files");
    }
}

}  // namespace applier::injection
