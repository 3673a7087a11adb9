// Many small reads of one file.
#include "reading.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

namespace bigrain {
namespace {

// Reads until `length` bytes are there or the file ends; -1 on an error.
ssize_t read_whole(int fd, uint8_t* out, size_t length, off_t offset) {
  size_t done = 0;
  while (done < length) {
    const ssize_t got = pread(fd, out + done, length - done, offset + static_cast<off_t>(done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return -1;
    if (!got) break;
    done += static_cast<size_t>(got);
  }
  return static_cast<ssize_t>(done);
}

#ifdef RWF_NOWAIT
// What the page cache has, without waiting; false if that is not all.
bool read_cached(int fd, uint8_t* out, size_t length, off_t offset) {
  const iovec to{out, length};
  return preadv2(fd, &to, 1, offset, RWF_NOWAIT) == static_cast<ssize_t>(length);
}
#else
bool read_cached(int, uint8_t*, size_t, off_t) { return false; }
#endif

}  // namespace

int64_t read_stretches(int fd, const int64_t* stretches, size_t n, uint8_t* out) {
  struct Waiting {
    size_t stretch;
    uint8_t* out;
  };
  std::vector<Waiting> waiting;
  std::vector<int64_t> joined;  // of neighbours, which are read together
  joined.reserve(2 * n);
  for (size_t i = 0; i < n; ++i) {
    const int64_t offset = stretches[2 * i], length = stretches[2 * i + 1];
    if (i && joined.end()[-2] + joined.back() == offset)
      joined.back() += length;
    else
      joined.insert(joined.end(), {offset, length});
  }
  stretches = joined.data();
  n = joined.size() / 2;
  std::vector<size_t> got(n);
  for (size_t i = 0; i < n; ++i) {
    const off_t offset = static_cast<off_t>(stretches[2 * i]);
    const size_t length = static_cast<size_t>(stretches[2 * i + 1]);
    if (read_cached(fd, out, length, offset))
      got[i] = length;
    else
      waiting.push_back({i, out});
    out += length;
  }
#ifdef POSIX_FADV_WILLNEED
  if (waiting.size() > 1)
    for (const Waiting& w : waiting)
      posix_fadvise(fd, static_cast<off_t>(stretches[2 * w.stretch]),
                    static_cast<off_t>(stretches[2 * w.stretch + 1]), POSIX_FADV_WILLNEED);
#endif
  for (const Waiting& w : waiting) {
    const ssize_t read = read_whole(fd, w.out, static_cast<size_t>(stretches[2 * w.stretch + 1]),
                                    static_cast<off_t>(stretches[2 * w.stretch]));
    if (read < 0) return -1;
    got[w.stretch] = static_cast<size_t>(read);
  }
  int64_t total = 0;  // up to the first stretch that the file does not hold
  for (size_t i = 0; i < n; ++i) {
    total += static_cast<int64_t>(got[i]);
    if (got[i] < static_cast<size_t>(stretches[2 * i + 1])) break;
  }
  return total;
}

}  // namespace bigrain
