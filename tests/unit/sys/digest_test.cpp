// SPDX-License-Identifier: Apache-2.0
#include "sys/digest.hpp"

#include <gtest/gtest.h>

#include <string>

namespace {

std::string hex(const sys::Digest& digest)
{
    return sys::toText(digest).substr(std::string("sha256:").size());
}

// The examples of FIPS 180-4, and the lengths at which the padding changes.
TEST(Digest, IsSha256)
{
    EXPECT_EQ(hex(sys::digest("")), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    EXPECT_EQ(hex(sys::digest("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    EXPECT_EQ(hex(sys::digest("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")),
              "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    EXPECT_EQ(hex(sys::digest(std::string(55, 'a'))),
              "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318");
    EXPECT_EQ(hex(sys::digest(std::string(64, 'a'))),
              "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb");
    EXPECT_EQ(hex(sys::digest(std::string(1000000, 'a'))),
              "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Digest, IsReadInOneSpelling)
{
    const std::string text = sys::toText(sys::digest("abc"));
    EXPECT_EQ(text, "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    EXPECT_EQ(sys::digestFrom(text), sys::digest("abc"));
    const std::string digits = text.substr(7);
    std::string upper = text;
    upper[7] = 'B';
    for (const std::string& wrong :
         {std::string(), digits, std::string("sha256:"), "sha512:" + digits, "SHA256:" + digits,
          "sha256:" + digits + "0", text.substr(0, text.size() - 1), text + "\n", " " + text, upper,
          "sha256: " + digits.substr(1), text.substr(0, 70) + "g", text.substr(0, 70) + std::string(1, '\0'),
          "sha256:0x" + digits.substr(2)}) {
        EXPECT_FALSE(sys::digestFrom(wrong)) << wrong;
    }
}

}  // namespace
