// SPDX-License-Identifier: Apache-2.0
#include "profile/variable.hpp"

#include <algorithm>

#include "profile/problems.hpp"

namespace profile {

namespace {

bool isLetter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool isNameCharacter(char c)
{
    return isLetter(c) || (c >= '0' && c <= '9') || c == '_';
}

void addText(std::vector<Token>& tokens, std::string_view text)
{
    if (text.empty()) {
        return;
    }
    if (tokens.empty() || tokens.back().variable) {
        tokens.emplace_back();
    }
    tokens.back().text += text;
}

}  // namespace

std::string nameError(std::string_view name)
{
    if (name.empty()) {
        return "a variable name cannot be empty";
    }
    if (!isLetter(name.front()) || !std::all_of(name.begin(), name.end(), isNameCharacter)) {
        return inQuotes(name) + " is no variable name; allowed: a letter (a-z, A-Z), then letters, digits and '_'";
    }
    return "";
}

std::string literal(std::string_view path)
{
    std::string out;
    for (const char c : path) {
        out += c == '$' ? "$$" : std::string(1, c);
    }
    return out;
}

Template Template::parse(std::string_view text, std::string& error)
{
    Template out;
    std::size_t references = 0;
    for (std::size_t i = 0; i < text.size();) {
        const std::size_t dollar = std::min(text.find('$', i), text.size());
        addText(out.tokens_, text.substr(i, dollar - i));
        const std::string_view rest = text.substr(dollar);
        if (rest.starts_with("${")) {
            const std::size_t close = rest.find('}');
            if (close == std::string_view::npos) {
                error = "the variable reference in " + inQuotes(text) +
                        " is not closed; write ${name}, or $$ for a dollar sign";
                return out;
            }
            const std::string_view name = rest.substr(2, close - 2);
            if (error = nameError(name); !error.empty()) {
                return out;
            }
            if (++references > maxReferences) {
                error = "more than " + std::to_string(maxReferences) + " variables in one path";
                return out;
            }
            out.tokens_.push_back({.variable = true, .text = std::string(name)});
            i = dollar + close + 1;
        } else {
            addText(out.tokens_, rest.substr(0, 1));
            i = dollar + (rest.starts_with("$$") ? 2 : 1);
        }
    }
    return out;
}

std::string Template::undefined(const Variables& variables) const
{
    for (const Token& token : tokens_) {
        if (token.variable && !variables.contains(token.text)) {
            return token.text;
        }
    }
    return "";
}

std::size_t Template::count(const Variables& variables) const
{
    if (tokens_.empty()) {
        return 0;
    }
    std::size_t count = 1;
    bool overflow = false;
    for (const Token& token : tokens_) {
        if (token.variable) {
            const std::size_t values = variables.at(token.text).size();
            if (values == 0) {
                return 0;
            }
            overflow = overflow || __builtin_mul_overflow(count, values, &count);
        }
    }
    return overflow ? SIZE_MAX : count;
}

std::vector<std::string> Template::expand(const Variables& variables) const
{
    std::vector<std::string> out;
    if (count(variables) == 0) {
        return out;
    }
    out.emplace_back();
    for (const Token& token : tokens_) {
        if (!token.variable) {
            for (std::string& path : out) {
                path += token.text;
            }
            continue;
        }
        std::vector<std::string> longer;
        for (const std::string& path : out) {
            for (const std::string& value : variables.at(token.text)) {
                longer.push_back(path + value);
            }
        }
        out = std::move(longer);
    }
    return out;
}

}  // namespace profile
