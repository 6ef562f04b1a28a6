// SPDX-License-Identifier: Apache-2.0
// Recordings, as others wrote them, and as they come of what the kernel tells: one that was taken is written so that it
// is the same when it is read again; and a profile that is made of it is one, opens no protected directory, and denies
// nothing of the recording but what was withheld.
#include <algorithm>
#include <cstdint>
#include <cstdlib>

#include "learn/against.hpp"
#include "learn/draft.hpp"
#include "learn/learner.hpp"
#include "profile/load.hpp"

namespace {

using learn::Recording;

void expect(bool condition)
{
    if (!condition) {
        std::abort();
    }
}

void expectLine(const std::string& text)
{
    expect(!text.empty() && text.find('\n') == std::string::npos && text.find('\x1b') == std::string::npos);
}

void checkDraft(const Recording& recording, std::uint8_t choice)
{
    learn::Draft draft;
    try {
        draft = learn::draft(recording, {.collapse = choice % 8U, .toml = (choice & 8) != 0});
    } catch (const sys::Error& error) {
        expectLine(error.what());
        return;
    }
    std::ranges::for_each(draft.reasons, expectLine);
    const profile::Profile made = profile::loadFile(draft.profile, (choice & 8) != 0 ? "made.toml" : "made.json",
                                                    profile::Origin::nodeFile, landlock::latestAbi);
    const auto leads = [](const profile::Entry&, const profile::PathRule& rule) { return rule.path; };
    const std::uint64_t reading =
        landlock::maskOf(landlock::Kind::fs, "read_file") | landlock::maskOf(landlock::Kind::fs, "read_dir");
    for (const profile::PathRule& rule : made.entries.at(0).layers.at(0).paths) {
        for (const char* path : {"/", "/etc", "/home", "/root", "/run", "/usr/bin", "/var/lib"}) {
            expect(rule.path != path);
        }
        expect(rule.path != "/proc" || (rule.access & ~reading) == 0);
    }
    for (const learn::Denied& denied : learn::deniedBy(made, recording, leads)) {
        // What opens UDP ports no draft handles, so that none denies it.
        expect(denied.kind == landlock::Kind::fs);
        const auto held =
            std::ranges::find_if(draft.withheld, [&](const learn::Withheld& one) { return one.path == denied.path; });
        expect(held != draft.withheld.end() && (denied.rights & ~held->rights) == 0);
    }
}

void checkTaken(const Recording& recording, std::uint8_t choice)
{
    const std::string text = learn::textOf(recording);
    expect(learn::read(text, "again") == recording);
    std::ranges::for_each(learn::gapsOf(recording), expectLine);
    Recording all;
    expect(learn::merge(all, recording) == learn::factsOf(recording) && all == recording);
    expect(learn::merge(all, {}) == 0);
    checkDraft(recording, choice);
}

// A byte for the kind of event, one for what it is about, two for rights, and a name up to the next NUL.
Recording told(std::string_view data)
{
    learn::Learner learner;
    while (data.size() > 4) {
        oll_seen event{};
        event.kind = data[0] % 16 == 0 ? OLL_SEEN_APPLIED : OLL_SEEN_USED;
        event.about = static_cast<std::uint8_t>(data[1]) % 8;
        event.domain = static_cast<std::uint8_t>(data[0]) & 32;
        event.error = static_cast<std::uint8_t>(data[0]) & 64;
        event.rights =
            (static_cast<std::uint8_t>(data[2]) | static_cast<std::uint8_t>(data[3]) << 8) &
            (event.about == OLL_ABOUT_FS || event.about == OLL_ABOUT_MADE || event.about == OLL_ABOUT_OPENED ? 0xffffU
                                                                                                             : 3U);
        event.port = static_cast<std::uint8_t>(data[2]) << 8 | static_cast<std::uint8_t>(data[3]);
        const std::string_view name = data.substr(4, data.find('\0', 4) - 4);
        name.copy(event.path, std::min(name.size(), sizeof event.path));
        name.copy(event.program, std::min(name.size(), sizeof event.program));
        learner.take(event);
        data.remove_prefix(std::min(data.size(), 4 + name.size() + 1));
    }
    return learner.finish();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    if (size == 0) {
        return 0;
    }
    const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
    if ((data[0] & 128) != 0) {
        checkTaken(told(text), data[0]);
        return 0;
    }
    Recording recording;
    try {
        recording = learn::read(text, "fuzz");
    } catch (const sys::Error& error) {
        expectLine(error.what());
        return 0;
    }
    checkTaken(recording, data[0]);
    return 0;
}
