// SPDX-License-Identifier: Apache-2.0
// Hooks that offer containers, and what is held for them.
#include <sys/resource.h>

#include "applier/supervisor_support.hpp"

namespace {

using namespace support;
using inject::SupervisedContainer;

TEST_F(Supervisor, HoldsWhatIsKeptUntilItsCgroupIsEmpty)
{
    const Daemon daemon(options_);
    ASSERT_TRUE(daemon.answers());
    const std::size_t before = daemon.descriptors();
    Box box("good:" + pids(), 3);
    daemon.keep(box);
    EXPECT_EQ(started(), 1U);
    EXPECT_FALSE(isGone(lastTracer()));
    box.forgetDescriptors();
    // cgroup, three rulesets, the description, the control socket
    EXPECT_TRUE(daemon.comesBackTo(before + 6));
    EXPECT_TRUE(daemon.holds(1));
    box.empty();
    EXPECT_TRUE(daemon.holds(0));
    EXPECT_TRUE(daemon.comesBackTo(before));
    EXPECT_TRUE(isGone(lastTracer()));
}

TEST_F(Supervisor, DropsWhatItsHookDidNotKeep)
{
    const Daemon daemon(options_);
    ASSERT_TRUE(daemon.answers());
    const std::size_t before = daemon.descriptors();
    const Box box("good:" + pids());
    {
        const SupervisedContainer supervised = daemon.offer(box);
        EXPECT_TRUE(daemon.holds(1));
    }
    EXPECT_TRUE(daemon.holds(0));
    EXPECT_TRUE(daemon.comesBackTo(before));
    EXPECT_TRUE(within([&] { return isGone(lastTracer()); }));
    // The hook is killed.
    const pid_t hook = fork();
    if (hook == 0) {
        const SupervisedContainer supervised = daemon.offer(box);
        raise(SIGKILL);
    }
    waitpid(hook, nullptr, 0);
    EXPECT_TRUE(daemon.holds(0));
    EXPECT_EQ(started(), 2U);
    // It takes too long.
    SupervisedContainer late = daemon.offer(box);
    EXPECT_TRUE(daemon.holds(0));
    expectError([&] { late.confirm(); }, "took too long");
    EXPECT_TRUE(daemon.comesBackTo(before));
}

TEST_F(Supervisor, TakesSixteenLayersAndTheLongestId)
{
    const Daemon daemon(options_);
    ASSERT_TRUE(daemon.answers());
    const Box plain(std::string(OLL_ID_SIZE - 1, 'x'), OLL_MAX_LAYERS);
    daemon.keep(plain);
    EXPECT_TRUE(daemon.holds(1));
    const Box none("good", 0);
    daemon.keep(none);
    EXPECT_TRUE(daemon.holds(2));
    const Box more("good", OLL_MAX_LAYERS + 1);
    EXPECT_THROW(daemon.offer(more), sys::Error);
    const Box longer(std::string(OLL_ID_SIZE, 'x'));
    EXPECT_THROW(daemon.offer(longer), sys::Error);
}

TEST_F(Supervisor, RefusesWhatIsNotAContainer)
{
    const Daemon daemon(options_);
    ASSERT_TRUE(daemon.answers());
    const std::size_t before = daemon.descriptors();
    const Box box("good", 2);
    const auto refused = [&](const char* part, const std::function<void(applier::Offer&)>& change) {
        applier::Offer offer = box.offer();
        change(offer);
        expectError([&] { const SupervisedContainer supervised(offer, daemon.socket()); }, part);
    };
    refused("not the directory", [](applier::Offer& offer) { offer.cgroup = STDERR_FILENO; });
    refused("not the directory", [](applier::Offer& offer) { ++offer.cgroupId; });
    refused("not a landlock-ruleset", [](applier::Offer& offer) { offer.layers[1].ruleset = offer.cgroup; });
    refused("twice", [](applier::Offer& offer) { offer.layers[1].ruleset = offer.layers[0].ruleset; });
    refused("entry", [](applier::Offer& offer) { offer.layers[1].entry = OLL_MAX_ENTRIES; });
    refused("generation", [](applier::Offer& offer) { offer.generation = 0; });
    refused("Bad file", [](applier::Offer& offer) { offer.layers[1].ruleset = -1; });
    EXPECT_TRUE(daemon.holds(0));
    EXPECT_TRUE(daemon.comesBackTo(before));
}

TEST_F(Supervisor, TellsTheHookWhyThereIsNoTracer)
{
    const Daemon daemon(options_);
    ASSERT_TRUE(daemon.answers());
    const std::size_t before = daemon.descriptors();
    const Box early("early");
    expectError([&] { daemon.offer(early); }, "exit status 3 before it was ready");
    const Box slow("slow");
    expectError([&] { daemon.offer(slow); }, "not ready in time");
    EXPECT_TRUE(daemon.holds(0));
    EXPECT_TRUE(daemon.comesBackTo(before));
}

TEST_F(Supervisor, LeavesNothingWhenDescriptorsRunOut)
{
    const Daemon daemon(options_, [] {
        const rlimit files{64, 64};
        setrlimit(RLIMIT_NOFILE, &files);
    });
    ASSERT_TRUE(daemon.answers());
    const std::size_t before = daemon.descriptors();
    std::vector<std::unique_ptr<Box>> boxes;
    std::string why;
    while (why.empty() && boxes.size() < 64) {
        boxes.push_back(std::make_unique<Box>("good", 2));
        try {
            daemon.keep(*boxes.back());
        } catch (const sys::Error& error) {
            why = error.what();
        }
    }
    EXPECT_NE(why.find("oo many open files"), why.npos) << why;
    EXPECT_GT(boxes.size(), 4U);
    EXPECT_TRUE(daemon.holds(static_cast<unsigned>(boxes.size()) - 1));
    boxes.clear();
    EXPECT_TRUE(daemon.holds(0));
    EXPECT_TRUE(daemon.comesBackTo(before));
    const Box box("good", 2);
    daemon.keep(box);
}

TEST_F(Supervisor, TwoHundredHooksAtOnce)
{
    constexpr unsigned count = 200;
    const Daemon daemon(options_);
    ASSERT_TRUE(daemon.answers());
    const std::size_t before = daemon.descriptors();
    std::vector<std::unique_ptr<Box>> boxes;
    for (unsigned i = 0; i < count; ++i) {
        boxes.push_back(std::make_unique<Box>("good", 1));
    }
    std::vector<pid_t> hooks;
    for (const auto& box : boxes) {
        hooks.push_back(fork());
        if (hooks.back() == 0) {
            try {
                daemon.keep(*box);
                _exit(0);
            } catch (const std::exception& error) {
                append(pids(), std::string(error.what()) + "\n");
            }
            _exit(1);
        }
    }
    for (const pid_t hook : hooks) {
        int status = -1;
        waitpid(hook, &status, 0);
        EXPECT_EQ(status, 0);
    }
    EXPECT_EQ(contentOf(pids()), "");
    EXPECT_TRUE(daemon.holds(count));
    EXPECT_FALSE(inject::release(boxes[0]->generation(), daemon.socket())) << "it runs";
    for (unsigned i = 0; i < count / 2; ++i) {
        boxes[i]->remove();
        EXPECT_TRUE(inject::release(boxes[i]->generation(), daemon.socket()));
    }
    EXPECT_TRUE(inject::release(boxes[0]->generation(), daemon.socket())) << "it is gone already";
    EXPECT_TRUE(daemon.holds(count / 2));
    boxes.clear();
    EXPECT_TRUE(daemon.holds(0));
    EXPECT_TRUE(daemon.comesBackTo(before));
}

TEST_F(Supervisor, ANewContainerReplacesALeftoverWithItsGeneration)
{
    const Daemon daemon(options_);
    ASSERT_TRUE(daemon.answers());
    const Box old("good:" + pids());
    daemon.keep(old);
    const pid_t tracer = lastTracer();
    const Box box("good:" + pids());
    applier::Offer offer = box.offer();
    offer.generation = old.generation();
    SupervisedContainer supervised(offer, daemon.socket());
    supervised.confirm();
    EXPECT_TRUE(daemon.holds(1));
    EXPECT_TRUE(within([&] { return isGone(tracer); }));
    EXPECT_FALSE(isGone(lastTracer()));
}

}  // namespace
