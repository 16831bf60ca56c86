#include "node/endpoint/endpoint_metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include "absl/strings/str_cat.h"

namespace roost {
namespace {

const char* nameOf(HubRoute::Kind kind) {
  switch (kind) {
    case HubRoute::Kind::kFile:
      return "file";
    case HubRoute::Kind::kInfo:
    case HubRoute::Kind::kRevision:
      return "revision";
    case HubRoute::Kind::kTree:
    case HubRoute::Kind::kPathsInfo:
      return "tree";
    case HubRoute::Kind::kRefs:
      return "refs";
    case HubRoute::Kind::kRoost:
      return "own";
    case HubRoute::Kind::kXetToken:
    case HubRoute::Kind::kTelemetry:
    case HubRoute::Kind::kHarnesses:
    case HubRoute::Kind::kOther:
      break;
  }
  return "other";
}

const char* nameOf(EndpointMetrics::InnerPart how) {
  switch (how) {
    case EndpointMetrics::InnerPart::kProved:
      return "proved";
    case EndpointMetrics::InnerPart::kWaited:
      return "waited";
    case EndpointMetrics::InnerPart::kPassedOn:
      break;
  }
  return "passed_on";
}

const char* nameOf(EndpointMetrics::PipRequest kind) {
  switch (kind) {
    case EndpointMetrics::PipRequest::kProjects:
      return "projects";
    case EndpointMetrics::PipRequest::kPage:
      return "page";
    case EndpointMetrics::PipRequest::kFile:
      return "file";
    case EndpointMetrics::PipRequest::kMetadata:
      break;
  }
  return "metadata";
}

const char* nameOf(EndpointMetrics::PipSource source) {
  switch (source) {
    case EndpointMetrics::PipSource::kCache:
      return "cache";
    case EndpointMetrics::PipSource::kPeers:
      return "peers";
    case EndpointMetrics::PipSource::kIndex:
      break;
  }
  return "index";
}

}  // namespace

struct EndpointMetrics::Families {
  using Counters = prometheus::Family<prometheus::Counter>;
  Counters& counters(const char* name, const char* help) {
    return prometheus::BuildCounter().Name(name).Help(help).Register(registry);
  }
  void gauge(const char* name, const char* help, double value) {
    prometheus::BuildGauge().Name(name).Help(help).Register(registry).Add({}).Set(value);
  }
  // A counter that somebody else counts.
  void follow(Counters& family, const prometheus::Labels& labels, uint64_t value) {
    prometheus::Counter& counter = family.Add(labels);
    counter.Increment(static_cast<double>(value) - counter.Value());
  }

  prometheus::Registry registry{prometheus::Registry::InsertBehavior::Merge};
  Counters& requests = counters("roost_endpoint_requests_total", "Requests of clients");
  Counters& innerParts =
      counters("roost_endpoint_inner_ranges_total",
               "Ranges inside files that were still arriving, by how they were answered");
  Counters& kept = counters("roost_endpoint_unnamed_files_total",
                            "Files without the hub's hash that passed through whole");
  Counters& pipRequests = counters("roost_pip_requests_total", "Requests to the pip index");
  Counters& pipBytes =
      counters("roost_pip_bytes_total", "Bytes of files of the pip index, by where they were");
  Counters& bytes = counters("roost_transfer_bytes_total", "Content bytes, by where they went");
  Counters& swarmBytes =
      counters("roost_swarm_bytes_total", "Of these, to and from peers by the swarm");
};

EndpointMetrics::EndpointMetrics() : families_(std::make_unique<Families>()) {
  for (const InnerPart how : {InnerPart::kProved, InnerPart::kWaited, InnerPart::kPassedOn}) {
    families_->innerParts.Add({{"how", nameOf(how)}});
  }
  for (const char* how : {"kept", "not_kept"}) families_->kept.Add({{"how", how}});
  for (const PipSource source : {PipSource::kCache, PipSource::kPeers, PipSource::kIndex}) {
    families_->pipBytes.Add({{"source", nameOf(source)}});
  }
}
EndpointMetrics::~EndpointMetrics() = default;

void EndpointMetrics::request(HubRoute::Kind kind, int status) {
  families_->requests.Add({{"kind", nameOf(kind)}, {"status", absl::StrCat(status / 100, "xx")}})
      .Increment();
}

void EndpointMetrics::innerPart(InnerPart how) {
  families_->innerParts.Add({{"how", nameOf(how)}}).Increment();
}

void EndpointMetrics::kept(bool isKept) {
  families_->kept.Add({{"how", isKept ? "kept" : "not_kept"}}).Increment();
}

void EndpointMetrics::pipRequest(PipRequest kind, int status) {
  families_->pipRequests.Add({{"kind", nameOf(kind)}, {"status", absl::StrCat(status / 100, "xx")}})
      .Increment();
}

void EndpointMetrics::pipBytes(PipSource source, uint64_t bytes) {
  families_->pipBytes.Add({{"source", nameOf(source)}}).Increment(static_cast<double>(bytes));
}

std::string EndpointMetrics::text(const Measures& now) {
  Families& f = *families_;
  f.follow(f.bytes, {{"way", "from_hub"}}, now.bytesFromHub);
  f.follow(f.bytes, {{"way", "from_peers"}}, now.bytesFromPeers);
  f.follow(f.bytes, {{"way", "copied_from_peers"}}, now.bytesCopied);
  f.follow(f.bytes, {{"way", "to_peers"}}, now.bytesToPeers);
  if (now.swarm) {
    f.follow(f.swarmBytes, {{"way", "in"}}, now.swarm->bytesIn);
    f.follow(f.swarmBytes, {{"way", "out"}}, now.swarm->bytesOut);
    f.gauge("roost_swarm_torrents", "Files that are in the swarm",
            static_cast<double>(now.swarm->torrents));
    f.gauge("roost_swarm_peers", "Connections of the swarm", static_cast<double>(now.swarm->peers));
  }
  f.gauge("roost_blobs", "Complete files that this node holds", static_cast<double>(now.blobs));
  f.gauge("roost_blob_bytes", "Their bytes", static_cast<double>(now.blobBytes));
  f.gauge("roost_fetches", "Files that are arriving", static_cast<double>(now.fetches));
  f.gauge("roost_endpoint_readers", "Clients that read files which are arriving",
          static_cast<double>(now.readers));
  f.gauge("roost_poisoned_blobs", "Files of which a client may have wrong bytes",
          static_cast<double>(now.poisoned));
  f.gauge("roost_nodes", "Members that can be reached, with this one",
          static_cast<double>(now.nodes));
  f.gauge("roost_hub_rest_seconds", "For so long the hub wants to be left alone",
          absl::ToDoubleSeconds(now.hubRest));
  return prometheus::TextSerializer().Serialize(f.registry.Collect());
}

}  // namespace roost
