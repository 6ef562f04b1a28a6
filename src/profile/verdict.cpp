// SPDX-License-Identifier: Apache-2.0
#include "profile/verdict.hpp"

namespace profile {

Verdict fileVerdict(const Layer& layer, std::uint64_t right, const std::vector<PlacedRule>& rules,
                    const std::vector<Object>& way)
{
    Verdict verdict{(layer.handledFs & right) != 0};
    for (const Object& object : way) {
        for (const PlacedRule& rule : rules) {
            if (verdict.handled && !verdict.rule && rule.object == object && (rule.granted & right) != 0) {
                verdict.rule = rule.rule;
            }
        }
    }
    return verdict;
}

Verdict portVerdict(const Layer& layer, std::uint64_t right, std::uint64_t port)
{
    Verdict verdict{(layer.handledNet & right) != 0};
    for (std::size_t i = 0; i < layer.ports.size() && verdict.handled && !verdict.rule; ++i) {
        if (layer.ports[i].port == port && (layer.ports[i].access & right) != 0) {
            verdict.rule = i;
        }
    }
    return verdict;
}

Verdict scopeVerdict(const Layer& layer, std::uint64_t right)
{
    return {(layer.scoped & right) != 0};
}

}  // namespace profile
