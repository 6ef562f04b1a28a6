// SPDX-License-Identifier: Apache-2.0
#include "profile/json.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "profile/problems.hpp"

namespace profile {

namespace {

using nlohmann::json;

// Builds the document as the parser reads it, so that duplicate keys and the bounds are seen before memory is spent.
class Builder : public nlohmann::json_sax<json> {
public:
    Builder(std::string_view text, Problems& problems) : text_(text), problems_(problems) {}

    json take() { return std::move(root_); }

    bool null() override { return value(nullptr); }
    bool boolean(bool v) override { return value(v); }
    bool number_unsigned(number_unsigned_t v) override { return value(v); }
    bool number_float(number_float_t v, const string_t&) override { return value(v); }
    bool binary(binary_t&) override { return false; }
    bool start_object(std::size_t) override { return open(json::object()); }
    bool start_array(std::size_t) override { return open(json::array()); }
    bool end_object() override { return close(); }
    bool end_array() override { return close(); }

    bool number_integer(number_integer_t v) override
    {
        // "-0" is no integer in the specification's reference parser either.
        return v == 0 ? value(-0.0) : value(v);
    }

    bool string(string_t& v) override
    {
        if (v.find('\0') != std::string::npos) {
            problems_.add(here(), "the string " + inQuotes(v) + " contains a NUL character");
        }
        return value(std::move(v));
    }

    bool key(string_t& name) override
    {
        json& object = *stack_.back().node;
        stack_.back().key = std::move(name);
        const std::string& key = stack_.back().key;
        if (key.find('\0') != std::string::npos) {
            problems_.add(here(), "the field name " + inQuotes(key) + " contains a NUL character");
        }
        if (object.contains(key)) {
            problems_.add(here(), "the field " + inQuotes(key) + " is given twice");
        }
        return true;
    }

    bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& error) override
    {
        std::string_view what = error.what();
        if (const std::size_t end = what.find("] "); end != std::string_view::npos) {
            what.remove_prefix(end + 2);
        }
        // "parse error at line 1, column 2: syntax error while ...": the line is reported apart from the message.
        if (what.starts_with("parse error")) {
            if (const std::size_t end = what.find(": "); end != std::string_view::npos) {
                what.remove_prefix(end + 2);
            }
        }
        const std::size_t until = std::min(position, text_.size());
        const auto newlines = std::count(text_.begin(), text_.begin() + static_cast<std::ptrdiff_t>(until), '\n');
        problems_.add("", "no valid JSON: " + sys::printable(what), static_cast<unsigned>(newlines) + 1);
        return false;
    }

private:
    struct Frame {
        json* node;
        std::string key;  // of the object member that is being read
    };

    std::string here() const
    {
        std::string pointer;
        for (const Frame& frame : stack_) {
            const bool innermost = &frame == &stack_.back();
            pointer = frame.node->is_object() ? join(pointer, frame.key)
                                              : join(pointer, frame.node->size() - (innermost ? 0 : 1));
        }
        return pointer;
    }

    json* place(json&& v)
    {
        if (stack_.empty()) {
            root_ = std::move(v);
            return &root_;
        }
        json& parent = *stack_.back().node;
        if (parent.is_array()) {
            parent.push_back(std::move(v));
            return &parent.back();
        }
        return &(parent[stack_.back().key] = std::move(v));
    }

    bool within()
    {
        if (++values_ > maxValues) {
            problems_.add("", "more than " + std::to_string(maxValues) + " values");
            return false;
        }
        return true;
    }

    bool value(json&& v)
    {
        if (!within()) {
            return false;
        }
        place(std::move(v));
        return true;
    }

    bool open(json&& v)
    {
        if (stack_.size() >= maxDepth) {
            problems_.add(here(), "nested deeper than " + std::to_string(maxDepth) + " levels");
            return false;
        }
        if (!within()) {
            return false;
        }
        stack_.push_back({place(std::move(v)), {}});
        return true;
    }

    bool close()
    {
        stack_.pop_back();
        return true;
    }

    std::string_view text_;
    Problems& problems_;
    json root_;
    std::vector<Frame> stack_;
    std::size_t values_ = 0;
};

}  // namespace

json parseJson(std::string_view text, std::string_view source)
{
    Problems problems;
    if (text.size() > maxDocumentBytes) {
        problems.add("", "larger than " + std::to_string(maxDocumentBytes) + " bytes");
    } else if (text.starts_with("\xef\xbb\xbf")) {
        problems.add("", "starts with a byte order mark; save the file without one", 1);
    }
    problems.check(source);
    Builder builder(text, problems);
    const bool complete = json::sax_parse(text, &builder);
    problems.check(source);
    if (!complete) {
        problems.add("", "no valid JSON");
        problems.check(source);
    }
    return builder.take();
}

}  // namespace profile
