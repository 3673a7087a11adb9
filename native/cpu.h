// Which levels this processor and operating system can run.
#pragma once
#include <vector>

#include "kernels.h"

namespace bigrain {
std::vector<const Level*> supported_levels();  // plainest first
}
