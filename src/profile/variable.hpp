// SPDX-License-Identifier: Apache-2.0
// ${name} in paths.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace profile {

inline constexpr std::size_t maxReferences = 32;  // variables in one path

using Variables = std::map<std::string, std::set<std::string>>;

// "" when `name` is a good variable name, else what is wrong with it.
std::string nameError(std::string_view name);

struct Token {
    bool variable = false;
    std::string text;  // of the variable: its name
};

// Such a text stands for itself.
inline bool isPlain(std::string_view text)
{
    return !text.empty() && !text.contains('$');
}

// A path as a document has it, which stands for `path` alone, whatever is in that.
std::string literal(std::string_view path);

// A path as the document has it, cut into text and variables. "$$" is a dollar sign; a "$" before anything but "{" is
// one, too.
class Template {
public:
    // Sets `error` when the text is no good template.
    static Template parse(std::string_view text, std::string& error);

    const std::vector<Token>& tokens() const { return tokens_; }

    // The first variable in it that `variables` lacks, or "".
    std::string undefined(const Variables& variables) const;

    // How many strings it stands for: the product of the sizes of its variables; SIZE_MAX when it is beyond counting.
    // An empty template stands for none.
    std::size_t count(const Variables& variables) const;

    // Those strings, in order; count() of them.
    std::vector<std::string> expand(const Variables& variables) const;

private:
    std::vector<Token> tokens_;
};

}  // namespace profile
