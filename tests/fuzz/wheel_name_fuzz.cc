// What a file in pip's cache says that it is: a name of it can stand in a path, and in a line.
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "cache/unique_fd.h"
#include "cache/wheel_name.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const roost::UniqueFd fd(memfd_create("wheel", MFD_CLOEXEC));
  if (!fd || write(fd.get(), data, size) != static_cast<ssize_t>(size)) return 0;
  if (const auto name = roost::wheelNameOf(fd.get(), size)) {
    for (const std::string* text : {&name->project, &name->version, &name->file}) {
      if (text->find_first_of(std::string("/\n\0", 3)) != std::string::npos) std::abort();
    }
  }
  (void)roost::wheelTags({reinterpret_cast<const char*>(data), size});
  return 0;
}
