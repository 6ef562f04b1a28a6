// SPDX-License-Identifier: Apache-2.0
// What the process does that answers.
#pragma once

#include <chrono>

#include "serve/page.hpp"

namespace serve {

// So many connections at once, and so long each. Who comes when there are as many takes the place of the oldest.
inline constexpr std::size_t maxConnections = 64;
inline constexpr std::chrono::seconds patience{30};

// What comes through `channel`: a descriptor of a file with "1" for a sound text, else "0", and the text; it is
// answered by a byte. Returns when the channel ends. Throws sys::Error.
void answerAll(int listener, int channel, const Form& form);

}  // namespace serve
