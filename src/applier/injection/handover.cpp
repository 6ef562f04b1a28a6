// SPDX-License-Identifier: Apache-2.0
#include "applier/injection/handover.hpp"

#include <fcntl.h>
#include <linux/kcmp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <utility>

namespace applier::injection {

namespace {

std::size_t controlLength(std::size_t descriptors)
{
    return CMSG_LEN(descriptors * sizeof(int));
}

}  // namespace

void Handover::start(Address stackPointer, std::vector<int> rulesets, bool enoughFiles,
                     std::function<void(const std::vector<int>&)> received)
{
    rulesets_ = std::move(rulesets);
    enoughFiles_ = enoughFiles;
    then_ = std::move(received);
    address_ = (stackPointer + sizeof(Word) - 1) & ~(sizeof(Word) - 1);
    saved_ = task_.read(address_, sizeof(Scratch));
    calls_.add("socketpair", SYS_socketpair, {AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, at(&Scratch::pair)}, 0,
               [this] { send(); });
}

void Handover::restore() const
{
    task_.write(address_, saved_);
}

Handover::Scratch Handover::readScratch() const
{
    const std::vector<Word> words = task_.read(address_, sizeof(Scratch));
    Scratch scratch;
    std::memcpy(&scratch, words.data(), sizeof scratch);
    return scratch;
}

// Another process may have changed the numbers in the task's memory, so that the rulesets would go to a socket of its
// own. What is close-on-exec now was opened after the exec, that is, by our call.
void Handover::requireNewDescriptor(int fd) const
{
    if ((task_.descriptor(fd).number("flags", 0, 8) & O_CLOEXEC) == 0) {
        fail("the sockets are not those that the program has made", EPROTO);
    }
}

void Handover::send()
{
    const Scratch made = readScratch();
    std::memcpy(pair_, made.pair, sizeof pair_);
    requireNewDescriptor(pair_[0]);
    requireNewDescriptor(pair_[1]);
    const sys::Fd ours(static_cast<int>(syscall(SYS_pidfd_getfd, task_.pidfd(), pair_[1], 0)));
    if (!ours) {
        fail("taking a socket from the program");
    }

    Scratch message{};
    message.data = {&message.byte, 1};
    message.message.msg_iov = &message.data;
    message.message.msg_iovlen = 1;
    message.message.msg_control = &message.control;
    message.message.msg_controllen = controlLength(rulesets_.size());
    message.control.length = controlLength(rulesets_.size());
    message.control.level = SOL_SOCKET;
    message.control.type = SCM_RIGHTS;
    std::memcpy(message.control.rulesets, rulesets_.data(), rulesets_.size() * sizeof(int));
    if (sendmsg(ours.get(), &message.message, MSG_DONTWAIT | MSG_NOSIGNAL) != 1) {
        fail("sending the rulesets to the program");
    }

    const auto pointer = [](Address address) { return reinterpret_cast<void*>(address); };
    Scratch receive{};
    receive.data = {pointer(at(&Scratch::byte)), 1};
    receive.message.msg_iov = static_cast<iovec*>(pointer(at(&Scratch::data)));
    receive.message.msg_iovlen = 1;
    receive.message.msg_control = pointer(at(&Scratch::control));
    receive.message.msg_controllen = controlLength(rulesets_.size());
    std::array<Word, sizeof(Scratch) / sizeof(Word)> words;
    std::memcpy(words.data(), &receive, sizeof receive);
    task_.write(address_, words);
    calls_.add("recvmsg", SYS_recvmsg,
               {static_cast<std::uint64_t>(pair_[0]), at(&Scratch::message), MSG_CMSG_CLOEXEC | MSG_DONTWAIT}, 1,
               [this] { received(); });
}

void Handover::received()
{
    const Scratch scratch = readScratch();
    const auto& control = scratch.control;
    if ((scratch.message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 || control.level != SOL_SOCKET ||
        control.type != SCM_RIGHTS || control.length != controlLength(rulesets_.size())) {
        // The kernel does not say why it leaves descriptors out: too many open files, or a security module.
        fail("passing the rulesets to the program", enoughFiles_ ? EACCES : EMFILE);
    }
    for (std::size_t i = 0; i < rulesets_.size(); ++i) {
        const int fd = control.rulesets[i];
        const long order = syscall(SYS_kcmp, getpid(), task_.pid(), KCMP_FILE, rulesets_[i], fd);
        if (order != 0) {
            fail("comparing the rulesets that the program received", order < 0 ? errno : EPROTO);
        }
        opened_.push_back(fd);
    }
    then_(opened_);
}

void Handover::addCloses(bool doubt)
{
    for (const int fd : opened_) {
        calls_.addClose(fd);
    }
    calls_.addClose(pair_[0]);
    calls_.add("close", SYS_close, {static_cast<std::uint64_t>(pair_[1])}, 0, [this, doubt] {
        if (doubt) {
            requireClosed();
        }
    });
}

void Handover::requireClosed() const
{
    std::vector<int> all(opened_);
    all.insert(all.end(), std::begin(pair_), std::end(pair_));
    for (const int fd : all) {
        if (task_.descriptor(fd).number("flags", 0, 8) != 0) {
            Calls::failDenied("close");
        }
    }
}

}  // namespace applier::injection
