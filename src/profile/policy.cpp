// SPDX-License-Identifier: Apache-2.0
#include "profile/policy.hpp"

#include <algorithm>
#include <bit>
#include <iterator>
#include <nlohmann/json.hpp>

#include "profile/path.hpp"

namespace profile {

namespace {

using landlock::Group;
using nlohmann::json;

std::optional<Group> groupOf(std::string_view name)
{
    if (name == "abi.all") {
        return Group::all;
    }
    if (name == "abi.read_execute") {
        return Group::readExecute;
    }
    return name == "abi.read_write" ? std::optional(Group::readWrite) : std::nullopt;
}

template <typename Use>
void eachBit(std::uint64_t mask, Use use)
{
    for (; mask != 0; mask &= mask - 1) {
        use(mask & -mask);
    }
}

class PolicyReader {
public:
    PolicyReader(const std::string& at, Problems& problems) : at_(at), problems_(problems) {}

    Policy read(const json& document)
    {
        if (const auto abi = document.find("abi"); abi != document.end()) {
            policy_.abi = abi->get<unsigned>();
        }
        each(document, "variable", [this](const json& item, const std::string& at) { readVariable(item, at); });
        each(document, "ruleset", [this](const json& item, const std::string& at) { readRuleset(item, at); });
        each(document, "pathBeneath", [this](const json& item, const std::string& at) { readPaths(item, at); });
        each(document, "netPort", [this](const json& item, const std::string& at) { readPorts(item, at); });
        inferQuiet();
        return std::move(policy_);
    }

private:
    template <typename Use>
    void each(const json& document, const char* name, Use use)
    {
        const auto list = document.find(name);
        if (list == document.end()) {
            return;
        }
        const std::string at = join(at_, name);
        for (std::size_t i = 0; i < list->size(); ++i) {
            use((*list)[i], join(at, i));
        }
    }

    void readVariable(const json& item, const std::string& at)
    {
        const std::string& name = item.at("name").get_ref<const std::string&>();
        if (const std::string error = nameError(name); !error.empty()) {
            problems_.add(join(at, "name"), error);
            return;
        }
        std::set<std::string>& values = policy_.variables[name];
        if (const auto literal = item.find("literal"); literal != item.end()) {
            for (const json& value : *literal) {
                values.insert(value.get_ref<const std::string&>());
            }
        }
    }

    void readRuleset(const json& item, const std::string& at)
    {
        policy_.handledOf(Kind::fs) |= readAccess(item, "handledAccessFs", Kind::fs, at);
        policy_.handledOf(Kind::net) |= readAccess(item, "handledAccessNet", Kind::net, at);
        policy_.handledOf(Kind::scope) |= readAccess(item, "scoped", Kind::scope, at);
        policy_.quietOf(Kind::fs) |= readAccess(item, "quietAccessFs", Kind::fs, at);
        policy_.quietOf(Kind::net) |= readAccess(item, "quietAccessNet", Kind::net, at);
        policy_.quietOf(Kind::scope) |= readAccess(item, "quietScoped", Kind::scope, at);
    }

    std::uint64_t readAccess(const json& item, const char* field, Kind kind, const std::string& at)
    {
        const auto list = item.find(field);
        if (list == item.end()) {
            return 0;
        }
        const std::string listAt = join(at, field);
        std::uint64_t access = 0;
        for (std::size_t i = 0; i < list->size(); ++i) {
            const std::uint64_t mask = readRight((*list)[i], kind, listAt, i);
            eachBit(mask & ~access, [&](std::uint64_t bit) {
                if (!policy_.asked.contains({kind, bit})) {
                    policy_.asked.emplace(std::pair(kind, bit), join(listAt, i));
                }
            });
            access |= mask;
        }
        return access;
    }

    std::uint64_t readRight(const json& item, Kind kind, const std::string& listAt, std::size_t index)
    {
        if (item.is_number()) {
            const auto value = item.is_number_unsigned() ? item.get<std::uint64_t>() : 0;
            if (!std::has_single_bit(value)) {
                problems_.add(join(listAt, index),
                              item.dump() + " is no single right; write its value in landlock.h, a power of two");
            }
            return value;
        }
        const std::string& name = item.get_ref<const std::string&>();
        const std::optional<Group> group = groupOf(name);
        if (!group) {
            const landlock::Right* right = landlock::findRight(kind, name);
            return right != nullptr ? right->mask() : 0;
        }
        if (!policy_.abi) {
            problems_.add(join(listAt, index),
                          inQuotes(name) + " needs to know for which ABI; add \"abi\" to the policy");
            return 0;
        }
        return landlock::groupRights(*group, kind, *policy_.abi);
    }

    void readPaths(const json& item, const std::string& at)
    {
        const std::uint64_t access = readAccess(item, "allowedAccess", Kind::fs, at);
        const bool quiet = item.value("quiet", false);
        quietPaths_ = quietPaths_ || quiet;
        const json& parents = item.at("parent");
        const std::string parentsAt = join(at, "parent");
        auto next = policy_.paths.end();
        for (std::size_t i = 0; i < parents.size(); ++i) {
            const std::string& path = parents[i].get_ref<const std::string&>();
            std::string error;
            if (!isPlain(path)) {
                Template::parse(path, error);
            }
            if (!error.empty()) {
                problems_.add(join(parentsAt, i), error);
            } else {
                addRule(policy_.paths, next, path, access, quiet, join(parentsAt, i));
            }
        }
        policy_.handledOf(Kind::fs) |= access;
    }

    void readPorts(const json& item, const std::string& at)
    {
        const std::uint64_t access = readAccess(item, "allowedAccess", Kind::net, at);
        const bool quiet = item.value("quiet", false);
        quietPorts_ = quietPorts_ || quiet;
        const json& ports = item.at("port");
        const std::string portsAt = join(at, "port");
        auto next = policy_.ports.end();
        for (std::size_t i = 0; i < ports.size(); ++i) {
            addRule(policy_.ports, next, ports[i].get<std::uint64_t>(), access, quiet, join(portsAt, i));
        }
        policy_.handledOf(Kind::net) |= access;
    }

    // `next`: where a list that is sorted goes on, so that most need no search.
    template <typename Rules, typename Key>
    static void addRule(Rules& rules, typename Rules::iterator& next, const Key& key, std::uint64_t access, bool quiet,
                        std::string pointer)
    {
        // A group may hold no right at all on its ABI; the specification drops such rules.
        if (access == 0 && !quiet) {
            return;
        }
        const auto at = rules.try_emplace(next, key);
        next = std::next(at);
        Policy::Rule& rule = at->second;
        rule.access |= access;
        rule.quiet |= quiet;
        if (rule.pointer.empty()) {
            rule.pointer = std::move(pointer);
        }
    }

    // A right that is not handled is never denied, so there is nothing to be quiet about.
    void inferQuiet()
    {
        const auto infer = [this](Kind kind, bool quietRules) {
            if (quietRules && policy_.quietOf(kind) == 0) {
                policy_.quietOf(kind) = policy_.handledOf(kind);
            }
            policy_.quietOf(kind) &= policy_.handledOf(kind);
        };
        infer(Kind::fs, quietPaths_);
        infer(Kind::net, quietPorts_);
        infer(Kind::scope, false);
    }

    const std::string& at_;
    Problems& problems_;
    Policy policy_;
    bool quietPaths_ = false;
    bool quietPorts_ = false;
};

// One pointer for each document.
void addPointer(std::string& pointers, const std::string& pointer)
{
    const std::string document = pointer.substr(0, pointer.find('#') + 1);
    if ((", " + pointers).find(", " + (document.empty() ? "/" : document)) == std::string::npos) {
        pointers += ", " + pointer;
    }
}

template <typename Rules>
void composeRules(Rules& rules, const Rules& others, std::uint64_t handled, bool quiet)
{
    for (const auto& [key, other] : others) {
        if ((other.access & handled) == 0 && !other.quiet) {
            continue;
        }
        const auto [at, isNew] = rules.try_emplace(key, other);
        if (!isNew) {
            at->second.access |= other.access;
            at->second.quiet |= other.quiet;
            at->second.optional &= other.optional;
            addPointer(at->second.pointer, other.pointer);
        }
    }
    for (auto& [key, rule] : rules) {
        rule.access &= handled;
        rule.quiet = rule.quiet && quiet;
    }
    std::erase_if(rules, [](const auto& item) { return item.second.access == 0 && !item.second.quiet; });
}

class Resolver {
public:
    Resolver(Policy& policy, const std::string& at, unsigned abi, Budget& budget, std::vector<Dropped>& dropped,
             Problems& problems)
        : policy_(policy),
          at_(at),
          abi_(abi),
          budget_(budget),
          dropped_(dropped),
          problems_(problems)
    {
    }

    Layer resolve()
    {
        layer_.handledFs = mask(Kind::fs);
        layer_.handledNet = mask(Kind::net);
        layer_.scoped = mask(Kind::scope);
        resolveQuiet();
        layer_.paths.reserve(policy_.paths.size());
        for (auto& [path, rule] : policy_.paths) {
            resolvePath(path, rule);
        }
        joinSame();
        for (const auto& [port, rule] : policy_.ports) {
            resolvePort(port, rule);
        }
        checkUse();
        return std::move(layer_);
    }

private:
    std::uint64_t mask(Kind kind)
    {
        const std::uint64_t asked = policy_.handledOf(kind);
        const std::uint64_t accepted = landlock::acceptedRights(kind, abi_);
        eachBit(asked & ~accepted, [&](std::uint64_t bit) {
            const landlock::Right* right = landlock::findRight(kind, bit);
            const auto where = policy_.asked.find({kind, bit});
            dropped_.push_back({landlock::describe(kind, bit), right != nullptr ? right->abi : 0u,
                                where != policy_.asked.end() ? where->second : at_});
        });
        return asked & accepted;
    }

    void resolveQuiet()
    {
        if (abi_ >= landlock::quietAbi) {
            layer_.quietFs = policy_.quietOf(Kind::fs) & layer_.handledFs;
            layer_.quietNet = policy_.quietOf(Kind::net) & layer_.handledNet;
            layer_.quietScoped = policy_.quietOf(Kind::scope) & layer_.scoped;
        } else if ((policy_.quiet[0] | policy_.quiet[1] | policy_.quiet[2]) != 0) {
            dropped_.push_back({"quiet rules", landlock::quietAbi, at_});
        }
    }

    void resolvePath(const std::string& path, Policy::Rule& rule)
    {
        rule.access &= layer_.handledFs;
        rule.quiet = rule.quiet && layer_.quietFs != 0;
        if (isPlain(path)) {
            if (spendPaths(1, rule)) {
                addPath(path, rule, std::move(rule.pointer));
            }
            return;
        }
        std::string error;
        const Template parsed = Template::parse(path, error);
        if (const std::string name = parsed.undefined(policy_.variables); !name.empty()) {
            problems_.add(rule.pointer, undefined(name));
            return;
        }
        if (!spendPaths(parsed.count(policy_.variables), rule)) {
            return;
        }
        for (const std::string& expanded : parsed.expand(policy_.variables)) {
            if (!addPath(expanded, rule, rule.pointer)) {
                return;
            }
        }
    }

    // Whether there is anything to add.
    bool spendPaths(std::size_t count, const Policy::Rule& rule)
    {
        return budget_.paths.spend(count, rule.pointer) && (rule.access != 0 || rule.quiet);
    }

    bool addPath(const std::string& expanded, const Policy::Rule& from, std::string pointer)
    {
        std::string path = normalisedPath(expanded);
        if (path.empty() || path.size() > maxPathBytes) {
            problems_.add(pointer, path.empty() ? "the path is empty once its variables are put in"
                                                : "the path is longer than " + std::to_string(maxPathBytes) + " bytes");
            return false;
        }
        if (!budget_.pathBytes.spend(path.size(), pointer)) {
            return false;
        }
        layer_.paths.push_back({std::move(path), from.access, std::move(pointer), from.quiet, from.optional});
        return true;
    }

    // By path, and one rule for each. As they are written they came in that order, so most lists have it already.
    void joinSame()
    {
        std::vector<PathRule>& paths = layer_.paths;
        if (std::ranges::adjacent_find(paths, std::ranges::greater_equal(), &PathRule::path) == paths.end()) {
            return;
        }
        std::ranges::stable_sort(paths, {}, &PathRule::path);
        std::vector<PathRule> joined;
        for (PathRule& rule : paths) {
            if (joined.empty() || joined.back().path != rule.path) {
                joined.push_back(std::move(rule));
                continue;
            }
            PathRule& same = joined.back();
            same.optional = same.optional && rule.optional;
            same.access |= rule.access;
            same.quiet = same.quiet || rule.quiet;
            addPointer(same.pointer, rule.pointer);
        }
        paths = std::move(joined);
    }

    void resolvePort(std::uint64_t port, const Policy::Rule& rule)
    {
        if (!budget_.ports.spend(1, rule.pointer)) {
            return;
        }
        const std::uint64_t access = rule.access & layer_.handledNet;
        const bool quiet = rule.quiet && layer_.quietNet != 0;
        if (access != 0 || quiet) {
            layer_.ports.push_back({port, access, rule.pointer, quiet});
        }
    }

    std::string undefined(const std::string& name) const
    {
        std::vector<std::string_view> names;
        std::string list;
        for (const auto& [known, values] : policy_.variables) {
            names.push_back(known);
            list += (list.empty() ? "" : ", ") + known;
        }
        const std::string hint = suggestion(name, names);
        return "the variable " + inQuotes(name) + " is not defined" +
               (!hint.empty()  ? hint
                : list.empty() ? "; the policy has no variables"
                               : "; defined: " + sys::printable(list));
    }

    void checkUse()
    {
        if ((layer_.handledFs | layer_.handledNet | layer_.scoped) != 0) {
            return;
        }
        const bool asked = (policy_.handled[0] | policy_.handled[1] | policy_.handled[2]) != 0;
        problems_.add(at_, asked ? "nothing of this policy can be enforced on Landlock ABI " + std::to_string(abi_) +
                                       firstAbi()
                                 : "the policy restricts nothing; add a ruleset or rules with rights of its ABI");
    }

    // From which on something of it can be; a right without a name has none.
    std::string firstAbi() const
    {
        unsigned first = 0;
        for (const landlock::Right& right : landlock::rights) {
            if ((policy_.handledOf(right.kind) & right.mask()) != 0 && (first == 0 || right.abi < first)) {
                first = right.abi;
            }
        }
        return first == 0 ? ""
                          : "; it needs ABI " + std::to_string(first) + ", Linux " +
                                std::string(landlock::kernelRelease(first));
    }

    Policy& policy_;
    const std::string& at_;
    unsigned abi_;
    Budget& budget_;
    std::vector<Dropped>& dropped_;
    Problems& problems_;
    Layer layer_;
};

}  // namespace

bool Allowance::spend(std::size_t count, const std::string& pointer)
{
    asked = count > SIZE_MAX - asked ? SIZE_MAX : asked + count;
    if (asked > most && over.empty()) {
        over = pointer;
    }
    return asked <= most;
}

Policy readPolicy(const json& document, const std::string& pointer, Problems& problems)
{
    return PolicyReader(pointer, problems).read(document);
}

void addVariables(Policy& policy, const Policy& other)
{
    for (const auto& [name, values] : other.variables) {
        policy.variables[name].insert(values.begin(), values.end());
    }
}

void compose(Policy& policy, const Policy& other)
{
    for (std::size_t i = 0; i < policy.handled.size(); ++i) {
        policy.handled[i] &= other.handled[i];
        policy.quiet[i] &= other.quiet[i] & policy.handled[i];
    }
    composeRules(policy.paths, other.paths, policy.handledOf(Kind::fs), policy.quietOf(Kind::fs) != 0);
    composeRules(policy.ports, other.ports, policy.handledOf(Kind::net), policy.quietOf(Kind::net) != 0);
    addVariables(policy, other);
    policy.asked.insert(other.asked.begin(), other.asked.end());
    if (other.abi) {
        policy.abi = policy.abi ? std::min(*policy.abi, *other.abi) : other.abi;
    }
}

Layer resolve(Policy policy, const std::string& pointer, unsigned abi, Budget& budget, std::vector<Dropped>& dropped,
              Problems& problems)
{
    return Resolver(policy, pointer, abi, budget, dropped, problems).resolve();
}

}  // namespace profile
