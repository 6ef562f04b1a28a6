// SPDX-License-Identifier: Apache-2.0
// Stands in for tracer.cpp as long as that is not there: every hook is refused.
#include "applier/inject/tracer.hpp"

namespace applier::inject {

int trace(Held, sys::Fd)
{
    return 1;
}

}  // namespace applier::inject
