// The order between operations of streams, by vector clocks with a component per stream. An operation comes after
// another if its clock includes it, or, if both are nodes of one graph, if a path leads from the other to it.
// SPDX-License-Identifier: MIT
#include <algorithm>

#include "tracer.hpp"

namespace simt::trace {
namespace {

void join(Clock& to, const Clock& from) {
  if (to.size() < from.size()) to.resize(from.size());
  for (std::size_t i = 0; i < from.size(); ++i) to[i] = std::max(to[i], from[i]);
}
std::uint32_t at(const Clock& c, std::size_t i) { return i < c.size() ? c[i] : 0; }

}  // namespace

std::size_t Tracer::submitted(const void* stream, bool legacy, bool blocking) {
  Stream& s = streams_[stream];
  if (s.component == 0 && s.clock.empty()) {
    s.component = static_cast<std::uint32_t>(submitted_.size());
    submitted_.push_back(0);
    begun_.push_back(0);
  }
  s.legacy = legacy;
  s.blocking = blocking;
  join(s.clock, host_);
  if (legacy || blocking)  // the legacy stream and blocking streams wait for each other
    for (auto& [other, of] : streams_)
      if (legacy ? of.blocking : of.legacy) join(s.clock, of.clock);
  if (s.clock.size() <= s.component) s.clock.resize(s.component + 1);
  const std::uint32_t number = s.clock[s.component] = ++submitted_[s.component];
  pending_.emplace(++operations_, Pending{s.component, number, s.clock});
  return operations_;
}

void Tracer::starts(std::size_t operation, const char* name) {
  const auto it = pending_.find(operation);
  if (it == pending_.end()) return;
  operation_ = {};
  operation_.component = it->second.component;
  operation_.number = it->second.number;
  clock_ = std::move(it->second.clock);
  pending_.erase(it);
  begun_[operation_.component] = std::max(begun_[operation_.component], operation_.number);
  ancestors_.clear();
  after_everything_ = true;
  for (std::size_t i = 0; i < begun_.size(); ++i) after_everything_ = after_everything_ && at(clock_, i) >= begun_[i];
  begin_operation(name);
}

void Tracer::begin_operation(const char* name) {
  operation_.start = ++now_;
  operation_.name = name;
  operation_.grid = operation_.block = dim3(1, 1, 1);
  history_.push_back(operation_);
  kernel_name_ = name;
  kernel_ = nullptr;
  block_ = nobody;
}

void Tracer::graph_begins(const void*) {
  ancestors_.clear();
  graph_after_everything_ = after_everything_;
}

void Tracer::graph_node(std::size_t i, const std::vector<std::size_t>& after) {
  std::vector<bool> mine(i + 1);
  for (std::size_t j : after)
    for (std::size_t k = 0; k < ancestors_[j].size(); ++k) mine[k] = mine[k] || ancestors_[j][k];
  after_everything_ =
      graph_after_everything_ && static_cast<std::size_t>(std::count(mine.begin(), mine.end(), true)) == i;
  mine[i] = true;
  ancestors_.push_back(std::move(mine));
  operation_.node = static_cast<std::uint32_t>(i);
  begin_operation("a node of a graph");
}

void Tracer::graph_ends() {
  operation_.node = nobody;
  ancestors_.clear();
}

void Tracer::recorded(const void* event, const void* stream) { events_[event] = streams_[stream].clock; }
void Tracer::stream_waits(const void* stream, const void* event) {
  Stream& s = streams_[stream];
  if (s.component == 0 && s.clock.empty()) {
    s.component = static_cast<std::uint32_t>(submitted_.size());
    submitted_.push_back(0);
    begun_.push_back(0);
    s.clock.resize(s.component + 1);
  }
  join(s.clock, events_[event]);
}
void Tracer::host_waits_for_stream(const void* stream) {
  const Stream& s = streams_[stream];
  join(host_, s.clock);
  if (s.legacy)
    for (const auto& [other, of] : streams_)
      if (of.blocking) join(host_, of.clock);
}
void Tracer::host_waits_for_event(const void* event) { join(host_, events_[event]); }
void Tracer::host_waits_for_all() {
  for (const auto& [stream, s] : streams_) join(host_, s.clock);
}

const Operation& Tracer::operation_at(Time time) const {
  const auto after =
      std::upper_bound(history_.begin(), history_.end(), time, [](Time t, const Operation& o) { return t < o.start; });
  return after == history_.begin() ? history_.front() : *std::prev(after);
}

bool Tracer::happened_before(Time time) const {
  if (after_everything_) return true;
  const Operation& o = operation_at(time);
  if (o.component == operation_.component && o.number == operation_.number)  // nodes of the same graph
    return o.node == operation_.node || o.node == nobody || operation_.node == nobody ||
           (o.node < ancestors_.back().size() && ancestors_.back()[o.node]);
  return at(clock_, o.component) >= o.number;
}

}  // namespace simt::trace
