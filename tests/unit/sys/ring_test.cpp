// SPDX-License-Identifier: Apache-2.0
// The ring is a file that is laid out like the kernel's.
#include "sys/ring.hpp"

#include <gtest/gtest.h>
#include <linux/bpf.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "sys/error.hpp"
#include "sys/fd.hpp"

namespace {

constexpr std::size_t ringSize = 4096;
constexpr std::size_t perRecord = 24;  // header and 13 bytes, rounded up

class RingTest : public testing::Test {
protected:
    RingTest() { EXPECT_EQ(ftruncate(map_.get(), static_cast<off_t>(2 * page_ + 2 * ringSize)), 0); }

    // As the kernel does it, at the data's second place as well.
    void write(const std::string& text, std::uint32_t flags = 0)
    {
        std::string record(BPF_RINGBUF_HDR_SZ, '\0');
        const std::uint32_t header = static_cast<std::uint32_t>(text.size()) | flags;
        std::memcpy(record.data(), &header, sizeof header);
        record += text;
        const std::size_t at = produced_ % ringSize;
        put(2 * page_ + at, record);
        put(2 * page_ + ringSize + at, record);
        if (at + record.size() > ringSize) {
            put(2 * page_, record.substr(ringSize - at));
        }
        last_ = at;
        produced_ += (record.size() + 7) / 8 * 8;
        put(page_, bytesOf(produced_));
    }

    void finishLast(const std::string& text)
    {
        put(2 * page_ + last_, bytesOf(static_cast<std::uint32_t>(text.size())));
    }

    std::vector<std::string> read(sys::Ring& ring)
    {
        std::vector<std::string> found;
        EXPECT_TRUE(ring.read([&found](const void* data, std::size_t size) {
            found.emplace_back(static_cast<const char*>(data), size);
            return true;
        }));
        return found;
    }

    std::size_t consumed() const
    {
        unsigned long position = 0;
        EXPECT_EQ(pread(map_.get(), &position, sizeof position, 0), static_cast<ssize_t>(sizeof position));
        return position;
    }

    sys::Ring open() { return {map_.get(), ringSize, "the ring"}; }

private:
    template <typename Number>
    static std::string bytesOf(Number number)
    {
        return {reinterpret_cast<const char*>(&number), sizeof number};
    }

    void put(std::size_t offset, const std::string& bytes)
    {
        EXPECT_EQ(pwrite(map_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset)),
                  static_cast<ssize_t>(bytes.size()));
    }

    const std::size_t page_ = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    sys::Fd map_{memfd_create("ring", MFD_CLOEXEC)};
    unsigned long produced_ = 0;
    std::size_t last_ = 0;
};

using Texts = std::vector<std::string>;

TEST_F(RingTest, HandsOverWhatIsWrittenOnce)
{
    sys::Ring ring = open();
    EXPECT_EQ(read(ring), Texts());
    write("one");
    write("discarded", BPF_RINGBUF_DISCARD_BIT);
    write("three");
    EXPECT_EQ(read(ring), (Texts{"one", "three"}));
    EXPECT_EQ(read(ring), Texts());
}

TEST_F(RingTest, StopsBeforeWhatIsBeingWritten)
{
    sys::Ring ring = open();
    write("one");
    write("two", BPF_RINGBUF_BUSY_BIT);
    EXPECT_EQ(read(ring), Texts{"one"});
    EXPECT_EQ(read(ring), Texts());
    finishLast("two");
    write("three");
    EXPECT_EQ(read(ring), (Texts{"two", "three"}));
}

TEST_F(RingTest, GoesOnBehindTheOneThatEndedIt)
{
    sys::Ring ring = open();
    write("one");
    write("two");
    write("three");
    EXPECT_FALSE(ring.read([](const void*, std::size_t) { return false; }));
    EXPECT_THROW(ring.read([](const void*, std::size_t) -> bool { throw std::runtime_error("no"); }),
                 std::runtime_error);
    EXPECT_EQ(read(ring), Texts{"three"});
}

TEST_F(RingTest, GoesRoundAndRound)
{
    sys::Ring ring = open();
    for (std::size_t i = 0; i < 5 * ringSize / perRecord; ++i) {
        const std::string text = "record " + std::to_string(100000 + i);  // 13 bytes
        write(text);
        ASSERT_EQ(read(ring), Texts{text});
        ASSERT_EQ(consumed(), (i + 1) * perRecord);
    }
}

TEST_F(RingTest, SaysWhatCannotBeMapped)
{
    EXPECT_THROW(sys::Ring(-1, ringSize, "the ring"), sys::Error);
}

}  // namespace
