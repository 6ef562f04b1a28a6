// SPDX-License-Identifier: Apache-2.0
#include "sys/digest.hpp"

#include <algorithm>
#include <bit>

namespace sys {

namespace {

// The first 32 bits of the fractional part of the square or cube root of the first primes, found in integers.
constexpr std::uint32_t fractionOfRoot(unsigned prime, unsigned degree)
{
    __extension__ typedef unsigned __int128 Wide;
    // The largest r with r^degree <= prime * 2^(32 * degree).
    Wide root = 0;
    for (int bit = 36; bit >= 0; --bit) {
        const Wide candidate = root | (Wide(1) << bit);
        const Wide power = degree == 2 ? candidate * candidate : candidate * candidate * candidate;
        if (power <= Wide(prime) << (32 * degree)) {
            root = candidate;
        }
    }
    return static_cast<std::uint32_t>(root);
}

template <std::size_t Count>
constexpr std::array<std::uint32_t, Count> fractions(unsigned degree)
{
    std::array<std::uint32_t, Count> found{};
    std::size_t count = 0;
    for (unsigned number = 2; count < Count; ++number) {
        bool prime = true;
        for (unsigned divisor = 2; divisor * divisor <= number; ++divisor) {
            prime = prime && number % divisor != 0;
        }
        if (prime) {
            found[count++] = fractionOfRoot(number, degree);
        }
    }
    return found;
}

constexpr auto initial = fractions<8>(2);
constexpr auto constants = fractions<64>(3);
static_assert(initial[0] == 0x6a09e667 && constants[0] == 0x428a2f98 && constants[63] == 0xc67178f2);

void addBlock(std::array<std::uint32_t, 8>& state, std::string_view block)
{
    std::array<std::uint32_t, 64> words{};
    for (std::size_t i = 0; i < 64; ++i) {
        words[i / 4] = words[i / 4] << 8 | static_cast<std::uint8_t>(block[i]);
    }
    for (std::size_t i = 16; i < 64; ++i) {
        const std::uint32_t low = words[i - 15];
        const std::uint32_t high = words[i - 2];
        words[i] = words[i - 16] + (std::rotr(low, 7) ^ std::rotr(low, 18) ^ low >> 3) + words[i - 7] +
                   (std::rotr(high, 17) ^ std::rotr(high, 19) ^ high >> 10);
    }
    auto [a, b, c, d, e, f, g, h] = state;
    for (std::size_t i = 0; i < 64; ++i) {
        const std::uint32_t one = h + (std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25)) + ((e & f) ^ (~e & g)) +
                                  constants[i] + words[i];
        const std::uint32_t two =
            (std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
        h = g;
        g = f;
        f = e;
        e = d + one;
        d = c;
        c = b;
        b = a;
        a = one + two;
    }
    const std::array<std::uint32_t, 8> added{a, b, c, d, e, f, g, h};
    for (std::size_t i = 0; i < 8; ++i) {
        state[i] += added[i];
    }
}

}  // namespace

Digest digest(std::string_view text)
{
    std::string padded(text);
    padded += '\x80';
    padded.append((120 - padded.size() % 64) % 64, '\0');
    for (int shift = 56; shift >= 0; shift -= 8) {
        padded += static_cast<char>(static_cast<std::uint64_t>(text.size()) * 8 >> shift);
    }
    auto state = initial;
    for (std::size_t at = 0; at < padded.size(); at += 64) {
        addBlock(state, std::string_view(padded).substr(at, 64));
    }
    Digest result{};
    for (std::size_t i = 0; i < result.size(); ++i) {
        result[i] = static_cast<std::uint8_t>(state[i / 4] >> (24 - 8 * (i % 4)));
    }
    return result;
}

namespace {

constexpr std::string_view algorithm = "sha256:";
constexpr std::string_view digits = "0123456789abcdef";

}  // namespace

std::string toText(const Digest& digest)
{
    std::string text(algorithm);
    for (const std::uint8_t byte : digest) {
        text += digits[byte >> 4];
        text += digits[byte & 15];
    }
    return text;
}

std::optional<Digest> digestFrom(std::string_view text)
{
    if (!text.starts_with(algorithm)) {
        return std::nullopt;
    }
    text.remove_prefix(algorithm.size());
    Digest digest{};
    if (text.size() != 2 * digest.size() ||
        !std::ranges::all_of(text, [](char c) { return digits.find(c) != std::string_view::npos; })) {
        return std::nullopt;
    }
    for (std::size_t i = 0; i < digest.size(); ++i) {
        digest[i] = static_cast<std::uint8_t>(digits.find(text[2 * i]) << 4 | digits.find(text[2 * i + 1]));
    }
    return digest;
}

}  // namespace sys
