#include "cpu.h"

#ifdef BIGRAIN_X86_LEVELS
#include <cpuid.h>
#endif
#ifdef BIGRAIN_AMX
#include <sys/syscall.h>
#include <unistd.h>

#include "level_amx.h"
#endif

namespace bigrain {

#ifdef BIGRAIN_X86_LEVELS
static bool has_f16c() {  // not every compiler knows its name
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(1, &a, &b, &c, &d) && (c >> 29 & 1);
}

// __builtin_cpu_supports also asks whether the operating system saves the registers.
static bool has_avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
         __builtin_cpu_supports("popcnt") && __builtin_cpu_supports("bmi") &&
         __builtin_cpu_supports("bmi2") && has_f16c();
}

static bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vnni");
}
#endif

#ifdef BIGRAIN_AMX
// Linux lets a process use the tiles once it has asked.
static bool has_amx() {
  constexpr unsigned kTiles = 1u << 24 | 1u << 25;  // AMX-TILE, AMX-INT8
  constexpr long kAsk = 0x1023, kTileData = 18;     // ARCH_REQ_XCOMP_PERM
  unsigned a = 0, b = 0, c = 0, d = 0;
  return has_avx512() && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & kTiles) == kTiles &&
         syscall(SYS_arch_prctl, kAsk, kTileData) == 0;
}

static const Level& level_amx() {
  static const Level level = [] {
    Level found = level_avx512;
    found.name = "amx";
    found.scan = amx_scan;
    found.scan_room = amx_scan_room;
    return found;
  }();
  return level;
}
#endif

std::vector<const Level*> supported_levels() {
  std::vector<const Level*> levels{&level_baseline};
#ifdef BIGRAIN_X86_LEVELS
  __builtin_cpu_init();
  if (has_avx2()) levels.push_back(&level_avx2);
  if (has_avx512()) levels.push_back(&level_avx512);
#endif
#ifdef BIGRAIN_AMX
  static const bool amx = has_amx();
  if (amx) levels.push_back(&level_amx());
#endif
  return levels;
}

}  // namespace bigrain
