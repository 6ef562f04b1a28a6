// SPDX-License-Identifier: Apache-2.0
#include "profile/problems.hpp"

#include <algorithm>
#include <charconv>
#include <numeric>

namespace profile {

namespace {

constexpr std::size_t maxPointerBytes = 400;

std::string summary(const std::string& source, const std::vector<Problem>& problems)
{
    const Problem& first = problems.front();
    std::string text = source;
    if (first.line != 0) {
        text += ", line " + std::to_string(first.line);
    }
    text += ": " + (first.pointer.empty() ? "" : sys::printable(first.pointer, maxPointerBytes) + ": ") + first.message;
    if (problems.size() > 1) {
        text += " (and " + std::to_string(problems.size() - 1) + " more: see oci-landlock check)";
    }
    return text;
}

char folded(char c)
{
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

// Edit distance in which case and '_' cost nothing: read-file, readFile and READ_FILE all mean read_file.
std::size_t distance(std::string_view a, std::string_view b)
{
    const auto plain = [](std::string_view text) {
        std::string out;
        for (const char c : text) {
            if (c != '_' && c != '-') {
                out += folded(c);
            }
        }
        return out;
    };
    const std::string from = plain(a);
    const std::string to = plain(b);
    std::vector<std::size_t> row(to.size() + 1);
    std::iota(row.begin(), row.end(), 0);
    for (std::size_t i = 1; i <= from.size(); ++i) {
        std::size_t diagonal = row[0]++;
        for (std::size_t k = 1; k <= to.size(); ++k) {
            const std::size_t replace = diagonal + (from[i - 1] == to[k - 1] ? 0 : 1);
            diagonal = row[k];
            row[k] = std::min({row[k] + 1, row[k - 1] + 1, replace});
        }
    }
    return row.back();
}

}  // namespace

Invalid::Invalid(std::string source, std::vector<Problem> problems)
    : sys::Error(summary(source, problems)),
      source_(std::move(source)),
      problems_(std::move(problems))
{
}

void Problems::add(std::string pointer, std::string message, unsigned line)
{
    if (!full()) {
        found_.push_back({std::move(pointer), line, std::move(message)});
    }
}

void Problems::check(std::string_view source) const
{
    if (found_.empty()) {
        return;
    }
    std::vector<Problem> all = found_;
    if (full()) {
        all.push_back({"", 0, "stopped after " + std::to_string(limit_) + " problems"});
    }
    throw Invalid(std::string(source), std::move(all));
}

std::string join(const std::string& pointer, std::string_view name)
{
    std::string out = pointer + "/";
    for (const char c : name) {
        out += c == '~' ? "~0" : c == '/' ? "~1" : std::string(1, c);
    }
    return out;
}

std::string join(const std::string& pointer, std::size_t index)
{
    char digits[20];
    const std::string_view number(digits, std::to_chars(digits, std::end(digits), index).ptr);
    std::string out;
    out.reserve(pointer.size() + 1 + number.size());
    return out.append(pointer).append(1, '/').append(number);
}

std::string inQuotes(std::string_view text)
{
    return "\"" + sys::printable(text, 80) + "\"";
}

std::string_view nearest(std::string_view word, const std::vector<std::string_view>& candidates)
{
    if (word.size() > 64) {
        return "";
    }
    std::string_view best;
    std::size_t least = std::max<std::size_t>(word.size() / 3, 1) + 1;
    for (const std::string_view candidate : candidates) {
        const std::size_t d = distance(word, candidate);
        if (d < least) {
            least = d;
            best = candidate;
        }
    }
    return best;
}

std::string suggestion(std::string_view word, const std::vector<std::string_view>& candidates)
{
    const std::string_view best = nearest(word, candidates);
    return best.empty() ? "" : "; did you mean " + inQuotes(best) + "?";
}

}  // namespace profile
