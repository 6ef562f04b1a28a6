// SPDX-License-Identifier: Apache-2.0
// Plain data to bytes and back. The reader trusts nothing: what does not fit the bytes at hand is an Error.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "sys/error.hpp"

namespace confine {

// The last value of an enumeration that starts at 0 and has no gaps; whoever sends one says it.
template <typename Enum>
inline constexpr Enum lastOf = Enum::lastIsNotSaid;

// A struct takes part by a function fields(archive, value) that names its members in order, for both directions.
class Writer {
public:
    const std::string& bytes() const { return bytes_; }
    std::string take() { return std::move(bytes_); }

    template <typename... Values>
    void operator()(Values&... values)
    {
        (put(values), ...);
    }

private:
    template <typename Number>
    requires std::integral<Number> || std::is_enum_v<Number>
    void put(const Number& number) { bytes_.append(reinterpret_cast<const char*>(&number), sizeof number); }
    void put(const std::string& text)
    {
        put(text.size());
        bytes_ += text;
    }
    template <typename Item>
    void put(std::vector<Item>& items)
    {
        put(items.size());
        for (Item& item : items) {
            put(item);
        }
    }
    template <typename Key, typename Item>
    void put(std::map<Key, Item>& items)
    {
        put(items.size());
        for (auto& [key, item] : items) {
            put(key);
            put(item);
        }
    }
    template <typename Item>
    void put(std::optional<Item>& item)
    {
        put(item.has_value());
        if (item) {
            put(*item);
        }
    }
    template <typename Struct>
    requires std::is_class_v<Struct> &&(!std::same_as<std::remove_const_t<Struct>, std::string>)void put(Struct& value)
    {
        fields(*this, value);
    }

    std::string bytes_;
};

class Reader {
public:
    explicit Reader(std::string_view bytes) : left_(bytes) {}

    template <typename... Values>
    void operator()(Values&... values)
    {
        (get(values), ...);
    }

    // Throws sys::Error when something is left.
    void finish() const { require(left_.empty()); }

private:
    static void require(bool fits)
    {
        if (!fits) {
            throw sys::Error("the parser's answer makes no sense");
        }
    }
    std::string_view take(std::size_t size)
    {
        require(size <= left_.size());
        const std::string_view taken = left_.substr(0, size);
        left_.remove_prefix(size);
        return taken;
    }
    template <typename Number>
    requires std::integral<Number>
    void get(Number& number) { std::memcpy(&number, take(sizeof number).data(), sizeof number); }
    template <typename Enum>
    requires std::is_enum_v<Enum>
    void get(Enum& value)
    {
        std::underlying_type_t<Enum> number{};
        get(number);
        require(number <= static_cast<std::underlying_type_t<Enum>>(lastOf<Enum>));
        value = static_cast<Enum>(number);
    }
    void get(bool& flag)
    {
        const char byte = take(1)[0];
        require(byte == 0 || byte == 1);
        flag = byte == 1;
    }
    std::size_t size()
    {
        std::size_t size = 0;
        get(size);
        require(size <= left_.size());  // everything takes a byte at least
        return size;
    }
    void get(std::string& text) { text = std::string(take(size())); }
    template <typename Item>
    void get(std::vector<Item>& items)
    {
        std::size_t count = size();
        items.clear();
        // A count that is a lie gets no more room than the bytes that came with it.
        items.reserve(std::min(count, left_.size() / sizeof(Item)));
        for (; count > 0; --count) {
            get(items.emplace_back());
        }
    }
    template <typename Key, typename Item>
    void get(std::map<Key, Item>& items)
    {
        items.clear();
        for (std::size_t count = size(); count > 0; --count) {
            Key key;
            get(key);
            get(items[key]);
        }
    }
    template <typename Item>
    void get(std::optional<Item>& item)
    {
        bool present = false;
        get(present);
        item.reset();
        if (present) {
            get(item.emplace());
        }
    }
    template <typename Struct>
    requires std::is_class_v<Struct>
    void get(Struct& value) { fields(*this, value); }

    std::string_view left_;
};

}  // namespace confine
