// dataset_info.json of a finished directory, as far as it says which Arrow files belong to it
// (info.py; naming.py, filenames_for_dataset_split()).
//
// Threads: any (pure).
#ifndef ROOST_CACHE_DATASETS_INFO_H_
#define ROOST_CACHE_DATASETS_INFO_H_

#include <set>
#include <string>

#include "absl/strings/string_view.h"

namespace roost {

// Whether `names` has every file of every split, so that the library can load them. Also true if
// the text does not say which those are, as of old versions; not if it is no JSON object.
bool hasAllSplits(absl::string_view info, const std::set<std::string>& names);

}  // namespace roost

#endif  // ROOST_CACHE_DATASETS_INFO_H_
