#include "node/endpoint/pip_page.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "cluster/hub_urls.h"
#include "node/endpoint/pip_html.h"
#include "node/endpoint/pip_route.h"
#include "protocol/limits.h"
#include "protocol/percent.h"

namespace roost {

using nlohmann::json;

namespace {

constexpr char kJsonV1[] = "application/vnd.pypi.simple.v1+json";
constexpr char kHtmlV1[] = "application/vnd.pypi.simple.v1+html";
constexpr absl::string_view kOtherHashes[] = {"sha512", "sha384", "sha224", "md5"};

// It becomes a part of our URLs and of folders.
bool isFileName(absl::string_view name) {
  if (name.empty() || name.size() > kPipNameBytesMax || name.front() == '.') return false;
  return std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return absl::ascii_isalnum(c) || absl::StrContains("._+!~-", static_cast<char>(c));
  });
}

// One line of text for an attribute or a header.
bool isText(absl::string_view text) {
  return text.size() <= kPipTextBytesMax &&
         std::none_of(text.begin(), text.end(),
                      [](unsigned char c) { return absl::ascii_iscntrl(c); });
}

std::optional<BlobId> sha256Of(absl::string_view hex) {
  const auto id = BlobId::parseHex(absl::AsciiStrToLower(hex));
  if (!id.ok() || id->algorithm() != HashAlgorithm::kSha256) return std::nullopt;
  return *id;
}

bool isHex(absl::string_view text) {
  return !text.empty() && text.size() <= 128 &&
         std::all_of(text.begin(), text.end(), absl::ascii_isxdigit);
}

void takeHash(PipFile& file, absl::string_view name, absl::string_view hex) {
  if (name == "sha256") {
    if (const auto id = sha256Of(hex)) file.sha256 = id;
    return;
  }
  const bool known =
      std::find(std::begin(kOtherHashes), std::end(kOtherHashes), name) != std::end(kOtherHashes);
  if (known && isHex(hex)) file.otherHashes.emplace_back(name, absl::AsciiStrToLower(hex));
}

// The last segment of a URL's path, as text; empty if it cannot be read.
std::string lastSegment(absl::string_view url) {
  url = url.substr(0, url.find_first_of("?#"));
  const size_t slash = url.rfind('/');
  const absl::string_view last = slash == absl::string_view::npos ? url : url.substr(slash + 1);
  return percentDecoded(last).value_or("");
}

// Sets the file's URL and what its fragment says; false: it cannot be used.
bool takeUrl(PipFile& file, absl::string_view base, absl::string_view link) {
  if (link.empty() || link.size() > kPipTextBytesMax) return false;
  const size_t hash = link.find('#');
  const absl::string_view fragment = hash == absl::string_view::npos ? "" : link.substr(hash + 1);
  const auto url = followed(base, link.substr(0, hash));
  if (!url.ok()) return false;
  file.url = *url;
  for (absl::string_view part : absl::StrSplit(fragment, '&')) {
    const size_t equals = part.find('=');
    if (equals != absl::string_view::npos) {
      takeHash(file, part.substr(0, equals), part.substr(equals + 1));
    }
  }
  return true;
}

// What is said of a file twice, or of more files than a page may have, is left out.
void addFile(PipPage& page, PipFile file) {
  if (!isFileName(file.name) || page.files.size() >= kPipFilesMax) return;
  if (file.sha256) file.otherHashes.clear();
  // Its address would be that of another file's metadata.
  if (absl::EndsWith(file.name, kMetadataSuffix)) return;
  page.files.push_back(std::move(file));
}

// ---- JSON

std::string textAt(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_string()) return "";
  const std::string& text = found->get_ref<const std::string&>();
  return isText(text) ? text : "";
}

std::optional<BlobId> metadataOf(const json& object) {
  for (const char* key : {"core-metadata", "data-dist-info-metadata", "dist-info-metadata"}) {
    const auto found = object.find(key);
    if (found == object.end()) continue;
    if (!found->is_object()) return std::nullopt;
    return sha256Of(textAt(*found, "sha256"));
  }
  return std::nullopt;
}

void takeJsonFile(PipPage& page, const json& entry, absl::string_view base) {
  if (!entry.is_object()) return;
  PipFile file;
  file.name = textAt(entry, "filename");
  if (!takeUrl(file, base, textAt(entry, "url"))) return;
  if (const auto hashes = entry.find("hashes"); hashes != entry.end() && hashes->is_object()) {
    for (const auto& [name, value] : hashes->items()) {
      if (value.is_string()) takeHash(file, name, value.get_ref<const std::string&>());
    }
  }
  if (const auto size = entry.find("size"); size != entry.end() && size->is_number_unsigned()) {
    const uint64_t bytes = size->get<uint64_t>();
    if (bytes <= kBlobBytesMax) file.size = bytes;
  }
  file.requiresPython = textAt(entry, "requires-python");
  if (const auto yanked = entry.find("yanked"); yanked != entry.end()) {
    if (yanked->is_string()) file.yanked = textAt(entry, "yanked");
    if (yanked->is_boolean() && yanked->get<bool>()) file.yanked = "";
  }
  file.metadata = metadataOf(entry);
  file.uploadTime = textAt(entry, "upload-time");
  addFile(page, std::move(file));
}

absl::StatusOr<PipPage> parseJson(absl::string_view body, PipPage page, absl::string_view base) {
  const json parsed = json::parse(body, nullptr, false);
  if (!parsed.is_object()) return absl::InvalidArgumentError("it is not JSON");
  const auto meta = parsed.find("meta");
  const std::string version =
      meta != parsed.end() && meta->is_object() ? textAt(*meta, "api-version") : "";
  if (!absl::StartsWith(version, "1.")) {
    return absl::InvalidArgumentError("its api-version is not 1.x");
  }
  const auto files = parsed.find("files");
  if (files == parsed.end() || !files->is_array()) {
    return absl::InvalidArgumentError("it has no list of files");
  }
  for (const json& entry : *files) takeJsonFile(page, entry, base);
  if (const auto versions = parsed.find("versions");
      versions != parsed.end() && versions->is_array()) {
    for (const json& entry : *versions) {
      if (page.versions.size() >= kPipVersionsMax || !entry.is_string()) continue;
      const std::string& text = entry.get_ref<const std::string&>();
      if (isText(text)) page.versions.push_back(text);
    }
  }
  if (const auto status = parsed.find("project-status");
      status != parsed.end() && status->is_object()) {
    page.status = textAt(*status, "status");
    page.statusReason = textAt(*status, "reason");
  }
  return page;
}

// ---- HTML

void takeAnchor(PipPage& page, const HtmlTag& tag, absl::string_view text, absl::string_view base) {
  const std::string* link = tag.find("href");
  if (link == nullptr) return;
  PipFile file;
  if (!takeUrl(file, base, absl::StripAsciiWhitespace(*link))) return;
  file.name = lastSegment(*link);
  if (const std::string shown(absl::StripAsciiWhitespace(text)); isFileName(shown)) {
    file.name = shown;
  }
  const auto attribute = [&](absl::string_view name) -> std::optional<std::string> {
    const std::string* value = tag.find(name);
    if (value == nullptr || !isText(*value)) return std::nullopt;
    return *value;
  };
  file.requiresPython = attribute("data-requires-python").value_or("");
  file.yanked = attribute("data-yanked");
  auto metadata = attribute("data-core-metadata");
  if (!metadata) metadata = attribute("data-dist-info-metadata");
  if (metadata) {
    absl::string_view value = *metadata;
    if (absl::ConsumePrefix(&value, "sha256=")) file.metadata = sha256Of(value);
  }
  addFile(page, std::move(file));
}

absl::StatusOr<PipPage> parseHtml(absl::string_view body, PipPage page, absl::string_view url) {
  std::string base(url);
  bool isPage = false;
  HtmlReader reader(body);
  while (const auto tag = reader.next()) {
    isPage = true;
    if (tag->name == "base") {
      const std::string* link = tag->find("href");
      if (link == nullptr) continue;
      if (const auto next = followed(url, absl::StripAsciiWhitespace(*link)); next.ok()) {
        base = *next;
      }
    } else if (tag->name == "meta") {
      const std::string* name = tag->find("name");
      const std::string* content = tag->find("content");
      if (name == nullptr || content == nullptr) continue;
      if (*name == "pypi:repository-version" && !absl::StartsWith(*content, "1.")) {
        return absl::InvalidArgumentError("its repository version is not 1.x");
      }
      if (*name == "pypi:project-status" && isText(*content)) page.status = *content;
      if (*name == "pypi:project-status-reason" && isText(*content)) page.statusReason = *content;
    } else if (tag->name == "a") {
      takeAnchor(page, *tag, reader.text(), base);
    }
  }
  if (!isPage) return absl::InvalidArgumentError("it is not HTML");
  return page;
}

// ---- As this agent says it

std::string addressOf(const PipPage& page, const PipFile& file) {
  return absl::StrCat("../../files/", page.project, "/", file.sha256 ? file.sha256->hex() : "-",
                      "/", percentEncoded(file.name));
}

std::string htmlText(absl::string_view text) {
  return absl::StrReplaceAll(
      text, {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}, {"'", "&#39;"}});
}

}  // namespace

std::optional<std::string> pipProjectName(absl::string_view name) {
  std::string result;
  for (const char c : name) {
    if (c == '-' || c == '_' || c == '.') {
      if (result.empty() || result.back() != '-') result.push_back('-');
    } else if (absl::ascii_isalnum(static_cast<unsigned char>(c))) {
      result.push_back(absl::ascii_tolower(static_cast<unsigned char>(c)));
    } else {
      return std::nullopt;
    }
  }
  const bool fits = !result.empty() && result.size() <= 96;  // as names of repos
  if (!fits || result.front() == '-' || result.back() == '-') return std::nullopt;
  return result;
}

std::string metadataUrlOf(const PipFile& file) {
  const size_t end = std::min(file.url.find('?'), file.url.size());
  return absl::StrCat(file.url.substr(0, end), kMetadataSuffix, file.url.substr(end));
}

const PipFile* PipPage::find(absl::string_view sha256, absl::string_view name) const {
  for (const PipFile& file : files) {
    if (file.name == name && sha256 == (file.sha256 ? file.sha256->hex() : "-")) return &file;
  }
  return nullptr;
}

absl::StatusOr<PipPage> parsePipPage(absl::string_view body, absl::string_view type,
                                     absl::string_view project, absl::string_view url) {
  if (body.size() > kPipPageBytesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("it is larger than ", kPipPageBytesMax >> 20, " MiB"));
  }
  PipPage page;
  page.project = std::string(project);
  const std::string lower = absl::AsciiStrToLower(type);
  if (absl::StrContains(lower, "json")) return parseJson(body, std::move(page), url);
  if (absl::StrContains(lower, "html")) return parseHtml(body, std::move(page), url);
  return absl::InvalidArgumentError(
      absl::StrCat("its type is neither HTML nor JSON but ", quoted(type)));
}

std::string pipPageJson(const PipPage& page) {
  json files = json::array();
  bool allSizes = true;
  for (const PipFile& file : page.files) {
    json entry{{"filename", file.name}, {"url", addressOf(page, file)}};
    json hashes = json::object();
    if (file.sha256) hashes["sha256"] = file.sha256->hex();
    for (const auto& [name, hex] : file.otherHashes) hashes[name] = hex;
    entry["hashes"] = std::move(hashes);
    if (!file.requiresPython.empty()) entry["requires-python"] = file.requiresPython;
    if (file.size) entry["size"] = *file.size;
    allSizes = allSizes && file.size;
    if (!file.uploadTime.empty()) entry["upload-time"] = file.uploadTime;
    if (!file.yanked) entry["yanked"] = false;
    if (file.yanked) entry["yanked"] = file.yanked->empty() ? json(true) : json(*file.yanked);
    if (file.metadata && file.sha256) {
      const json metadata{{"sha256", file.metadata->hex()}};
      entry["core-metadata"] = metadata;
      entry["data-dist-info-metadata"] = metadata;
    }
    files.push_back(std::move(entry));
  }
  // From 1.1 on every file has its size.
  const bool is11 = allSizes && !page.versions.empty();
  json document{{"meta", {{"api-version", is11 ? "1.1" : "1.0"}}},
                {"name", page.project},
                {"files", std::move(files)}};
  if (!page.versions.empty()) document["versions"] = page.versions;
  if (!page.status.empty()) {
    document["project-status"] = {{"status", page.status}};
    if (!page.statusReason.empty()) document["project-status"]["reason"] = page.statusReason;
  }
  return document.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string pipPageHtml(const PipPage& page) {
  std::string out =
      "<!DOCTYPE html>\n<html>\n<head>\n"
      "<meta name=\"pypi:repository-version\" content=\"1.0\">\n";
  if (!page.status.empty()) {
    absl::StrAppend(&out, "<meta name=\"pypi:project-status\" content=\"", htmlText(page.status),
                    "\">\n");
    if (!page.statusReason.empty()) {
      absl::StrAppend(&out, "<meta name=\"pypi:project-status-reason\" content=\"",
                      htmlText(page.statusReason), "\">\n");
    }
  }
  absl::StrAppend(&out, "<title>Links for ", page.project, "</title>\n</head>\n<body>\n<h1>",
                  "Links for ", page.project, "</h1>\n");
  for (const PipFile& file : page.files) {
    absl::StrAppend(&out, "<a href=\"", addressOf(page, file));
    if (file.sha256) {
      absl::StrAppend(&out, "#sha256=", file.sha256->hex());
    } else if (!file.otherHashes.empty()) {
      absl::StrAppend(&out, "#", file.otherHashes.front().first, "=",
                      file.otherHashes.front().second);
    }
    absl::StrAppend(&out, "\"");
    if (!file.requiresPython.empty()) {
      absl::StrAppend(&out, " data-requires-python=\"", htmlText(file.requiresPython), "\"");
    }
    if (file.yanked) absl::StrAppend(&out, " data-yanked=\"", htmlText(*file.yanked), "\"");
    if (file.metadata && file.sha256) {
      const std::string hash = absl::StrCat("sha256=", file.metadata->hex());
      absl::StrAppend(&out, " data-core-metadata=\"", hash, "\" data-dist-info-metadata=\"", hash,
                      "\"");
    }
    absl::StrAppend(&out, ">", htmlText(file.name), "</a><br>\n");
  }
  out += "</body>\n</html>\n";
  return out;
}

PipChoice pipFormOf(absl::string_view accept) {
  PipChoice best{PipForm::kHtml, "text/html; charset=utf-8"};
  double bestQuality = 0;
  for (absl::string_view range : absl::StrSplit(accept, ',')) {
    const std::vector<absl::string_view> parts = absl::StrSplit(range, ';');
    const std::string type = absl::AsciiStrToLower(absl::StripAsciiWhitespace(parts[0]));
    double quality = 1;
    for (size_t i = 1; i < parts.size(); ++i) {
      absl::string_view parameter = absl::StripAsciiWhitespace(parts[i]);
      if (absl::ConsumePrefix(&parameter, "q=") && !absl::SimpleAtod(parameter, &quality)) {
        quality = 0;
      }
    }
    std::optional<PipChoice> choice;
    if (type == kJsonV1 || type == "application/vnd.pypi.simple.latest+json") {
      choice = PipChoice{PipForm::kJson, kJsonV1};
    } else if (type == kHtmlV1 || type == "application/vnd.pypi.simple.latest+html") {
      choice = PipChoice{PipForm::kHtml, kHtmlV1};
    } else if (type == "text/html" || type == "*/*" || type == "text/*") {
      choice = PipChoice{PipForm::kHtml, "text/html; charset=utf-8"};
    }
    if (choice && quality > bestQuality) {
      best = *choice;
      bestQuality = quality;
    }
  }
  return best;
}

}  // namespace roost
