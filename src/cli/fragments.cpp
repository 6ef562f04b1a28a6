// SPDX-License-Identifier: Apache-2.0
#include "cli/fragments.hpp"

#include <algorithm>
#include <map>

#include "sys/error.hpp"

namespace cli {

namespace {

class Gathering {
public:
    Gathering(const FindFragment& find,
              const std::function<std::vector<profile::Use>(const profile::Fragment&)>& usesOf)
        : find_(find),
          usesOf_(usesOf)
    {
    }

    // Adds the fragment and all that it uses. Throws Invalid.
    void add(const std::string& source, const profile::Use& use)
    {
        way_.clear();
        try {
            gather(use.fragment);
        } catch (const sys::Error& error) {
            std::string way;
            for (const std::string& name : way_) {
                way += (way.empty() ? "" : " > ") + sys::printable(name, profile::maxFragmentName);
            }
            throw profile::Invalid(source, {{use.pointer, 0,
                                             "entry " + sys::printable(use.entry, profile::maxFragmentName) +
                                                 ": fragment " + way + ": " + error.what()}});
        }
    }

    std::vector<profile::Fragment> take()
    {
        std::vector<profile::Fragment> all;
        for (auto& [name, known] : known_) {
            all.push_back(std::move(known.fragment));
        }
        return all;
    }

private:
    struct Known {
        profile::Fragment fragment;
        std::size_t depth = 0;  // from there on: 1 when it uses none
    };

    // Its depth. On the way out of an error, way_ is the way to it.
    std::size_t gather(const std::string& name)
    {
        const bool circle = std::ranges::find(way_, name) != way_.end();
        way_.push_back(name);
        if (circle) {
            throw sys::Error("it uses itself; take one of these uses out");
        }
        const auto found = known_.find(name);
        if (way_.size() - 1 + (found == known_.end() ? 1 : found->second.depth) > profile::maxUseDepth) {
            throw sys::Error("fragments use fragments more than " + std::to_string(profile::maxUseDepth) + " deep");
        }
        if (found != known_.end()) {
            way_.pop_back();
            return found->second.depth;
        }
        if (known_.size() == profile::maxFragments) {
            throw sys::Error(profile::moreFragments());
        }
        ProfileFile file = find_(name);
        bytes_ += file.text.size();
        if (bytes_ > profile::maxFragmentBytes) {
            throw sys::Error("the fragments of the profile are larger than " +
                             std::to_string(profile::maxFragmentBytes) + " bytes together");
        }
        Known& known = known_[name];
        known = {{name, std::move(file.path), std::move(file.text)}, 1};
        for (const profile::Use& use : usesOf_(known.fragment)) {
            known.depth = std::max(known.depth, 1 + gather(use.fragment));
        }
        way_.pop_back();
        return known.depth;
    }

    const FindFragment& find_;
    const std::function<std::vector<profile::Use>(const profile::Fragment&)>& usesOf_;
    std::map<std::string, Known> known_;
    std::vector<std::string> way_;
    std::size_t bytes_ = 0;
};

}  // namespace

profile::Profile loadWithFragments(const FindFragment& find, const std::string& source, const std::string& text,
                                   const std::function<profile::Profile(const std::vector<profile::Fragment>&)>& load,
                                   const std::function<std::vector<profile::Use>(const profile::Fragment&)>& usesOf)
{
    profile::Profile profile = load({});
    std::vector<profile::UsedFragment> used;
    if (!profile.uses.empty()) {
        Gathering gathering(find, usesOf);
        for (const profile::Use& use : profile.uses) {
            gathering.add(source, use);
        }
        const std::vector<profile::Fragment> fragments = gathering.take();
        profile = load(fragments);
        if (!profile.uses.empty()) {
            throw sys::Error(source + ": its fragments were not taken");
        }
        for (const profile::Fragment& fragment : fragments) {
            used.push_back({fragment.name, fragment.path, sys::digest(fragment.text)});
        }
    }
    profile.digest = digestOf(text, used);
    profile.fragments = std::move(used);
    return profile;
}

sys::Digest digestOf(const std::string& text, const std::vector<profile::UsedFragment>& fragments)
{
    if (fragments.empty()) {
        return sys::digest(text);
    }
    std::string list = sys::toText(sys::digest(text)) + "\n";
    for (const profile::UsedFragment& fragment : fragments) {
        list += sys::toText(fragment.digest) + " " + fragment.name + "\n";
    }
    return sys::digest(list);
}

}  // namespace cli
