// Messages: source lines of code addresses, findings, the table of kernels, and violations of the gates.
// SPDX-License-Identifier: MIT
#include <link.h>
#include <unistd.h>

#include <algorithm>
#include <cinttypes>
#include <cstring>
#include <fstream>
#include <sstream>

#include "gates.hpp"
#include "tracer.hpp"

namespace simt::trace {
namespace {

struct Object {
  std::string path;
  std::uintptr_t base = 0;
};

Object object_of(const void* code) {
  struct Asked {
    std::uintptr_t at;
    Object found;
  } asked{reinterpret_cast<std::uintptr_t>(code), {}};
  dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* data) {
        Asked& a = *static_cast<Asked*>(data);
        for (int i = 0; i < info->dlpi_phnum; ++i) {
          const ElfW(Phdr)& h = info->dlpi_phdr[i];
          if (h.p_type != PT_LOAD || a.at - (info->dlpi_addr + h.p_vaddr) >= h.p_memsz) continue;
          a.found = {info->dlpi_name, info->dlpi_addr};
          return 1;
        }
        return 0;
      },
      &asked);
  if (asked.found.path.empty()) {
    char self[4096];
    const ssize_t n = readlink("/proc/self/exe", self, sizeof(self));
    asked.found.path = n > 0 ? std::string(self, static_cast<std::size_t>(n)) : "";
  }
  return asked.found;
}

struct Frame {
  std::string function, file, line;
};
using Frames = std::vector<Frame>;  // the chain of inlined functions, innermost first

// Calls addr2line once per object file for all addresses.
std::map<const void*, Frames> look_up(const std::vector<const void*>& codes) {
  std::map<const void*, Frames> found;
  std::map<std::string, std::vector<const void*>> by_object;
  for (const void* c : codes) by_object[object_of(c).path].push_back(c);
  for (const auto& [path, of] : by_object) {
    char list[] = "/tmp/simt-trace-XXXXXX";
    const int file = mkstemp(list);
    if (file < 0) continue;
    std::string text;
    for (const void* c : of) {
      char number[32];
      std::snprintf(number, sizeof(number), "0x%" PRIxPTR "\n",
                    reinterpret_cast<std::uintptr_t>(c) - object_of(c).base);
      text += number;
    }
    const bool written = write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size());
    close(file);
    FILE* const pipe = written ? popen(("addr2line -a -i -f -C -e '" + path + "' < " + list).c_str(), "r") : nullptr;
    if (pipe) {
      std::vector<std::string> lines;
      std::string line;
      for (int c; (c = std::fgetc(pipe)) != EOF;) {
        if (c != '\n') {
          line.push_back(static_cast<char>(c));
          continue;
        }
        lines.push_back(std::move(line));
        line.clear();
      }
      pclose(pipe);
      std::size_t at = 0;
      for (std::size_t i = 0; i < of.size() && at < lines.size(); ++i) {
        ++at;  // the address
        while (at + 1 < lines.size() && lines[at].rfind("0x", 0) != 0) {
          const std::string& where = lines[at + 1];
          const std::size_t colon = where.rfind(':');
          std::string number = where.substr(colon + 1);
          number = number.substr(0, number.find(' '));
          found[of[i]].push_back({lines[at], where.substr(0, colon), number});
          at += 2;
        }
      }
    }
    unlink(list);
  }
  return found;
}

bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

// Files that are not useful as the place of an access: wrappers of instructions, the stand-in, the standard library.
bool is_wrapper(const std::string& file) {
  return ends_with(file, "cuda/arch.cuh") || file.find("simt/include/") != file.npos || file.rfind("/usr/", 0) == 0 ||
         file == "??";
}

std::string short_name(const std::string& path) { return path.substr(path.rfind('/') + 1); }

std::string place_of(const Frames& frames) {
  for (const Frame& f : frames)
    if (!is_wrapper(f.file)) return short_name(f.file) + ":" + f.line;
  return frames.empty() ? "an unknown place" : short_name(frames[0].file) + ":" + frames[0].line;
}

// "void a::b<c>::kernel<4, d<e> >(f, g)" -> "kernel"
std::string function_of(const Frames& frames) {
  if (frames.empty()) return "?";
  const std::string& all = frames.back().function;
  std::string name;
  int depth = 0;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const char c = all[i];
    if (all.compare(i, 21, "(anonymous namespace)") == 0) {
      i += 20;
      continue;
    }
    if (c == '(' && depth == 0 && !name.empty()) break;
    if (c == '<') ++depth;
    if (depth == 0) name = c == ' ' || c == ':' ? std::string() : name + c;
    if (c == '>') --depth;
  }
  return name.empty() ? all : name;
}

double ratio(std::uint64_t a, std::uint64_t b) {
  return b == 0 ? 1.0 : static_cast<double>(a) / static_cast<double>(b);
}

}  // namespace

void Tracer::resolve() {
  std::vector<const void*> codes;
  for (Site s = 0; s < codes_.size(); ++s)
    if (!places_.count(s) && codes_[s]) codes.push_back(static_cast<const char*>(codes_[s]) - 1);  // inside the call
  const auto found = codes.empty() ? std::map<const void*, Frames>{} : look_up(codes);
  for (Site s = 0; s < codes_.size(); ++s) {
    if (places_.count(s)) continue;
    if (!codes_[s]) {
      places_[s] = names_[s] ? names_[s] : "nowhere";
      continue;
    }
    const auto it = found.find(static_cast<const char*>(codes_[s]) - 1);
    places_[s] = it == found.end() ? "an unknown place" : place_of(it->second);
  }
}

std::vector<Finding> Tracer::findings() {
  resolve();
  std::vector<Finding> all;
  std::map<std::tuple<Kind, std::string, std::string, std::string>, std::size_t>
      known;  // instances of a template count as one
  for (const Found& f : found_) {
    const auto [it, is_new] = known.try_emplace({f.kind, f.kernel, places_[f.site], places_[f.other_site]}, all.size());
    if (!is_new) {
      all[it->second].times += f.times;
      continue;
    }
    std::string text = f.kernel.empty() ? "" : "kernel " + f.kernel + ": ";
    for (char c : f.text) {
      if (c == '\1')
        text += places_[f.site];
      else if (c == '\2')
        text += places_[f.other_site];
      else
        text += c;
    }
    all.push_back({f.kind, f.kernel, std::move(text), f.times});
  }
  return all;
}

std::vector<Kernel> Tracer::kernels() {
  resolve();
  std::vector<const void*> functions;
  for (const auto& [key, k] : kernels_) functions.push_back(k.function);
  const auto found = look_up(functions);
  std::map<std::pair<std::string, std::string>, Kernel> all;
  std::map<std::pair<std::string, std::string>, std::map<std::string, Counts>> lines;
  for (const auto& [key, from] : kernels_) {
    const auto it = found.find(from.function);
    const std::string function = it == found.end() ? "?" : function_of(it->second);
    Kernel& k = all[{from.name, function}];
    k.name = from.name;
    k.function = function;
    k.launches += from.launches;
    k.unique_read += from.unique_read;
    k.unique_written += from.unique_written;
    k.threads = std::max(k.threads, from.threads);
    k.shared = std::max(k.shared, from.shared);
    for (const auto& [site, counts] : from.lines) {
      k.counts.add(counts);
      lines[{from.name, function}][places_[site]].add(counts);
    }
  }
  std::vector<Kernel> list;
  for (auto& [key, k] : all) {
    for (auto& [place, counts] : lines[key]) k.lines.push_back({place, counts});
    list.push_back(std::move(k));
  }
  return list;
}

void Tracer::clear() {
  found_.clear();
  index_.clear();
  kernels_.clear();
}

std::vector<Finding> findings() { return tracer().findings(); }
std::vector<Kernel> kernels() { return tracer().kernels(); }
Kernel kernel(const std::string& name) {
  Kernel all;
  all.name = name;
  for (Kernel& k : kernels()) {
    if (k.name != name) continue;
    all.function = k.function;
    all.launches += k.launches;
    all.unique_read += k.unique_read;
    all.unique_written += k.unique_written;
    all.threads = std::max(all.threads, k.threads);
    all.shared = std::max(all.shared, k.shared);
    all.counts.add(k.counts);
    for (Line& l : k.lines) all.lines.push_back(std::move(l));
  }
  return all;
}
void set_counting(bool on) { tracer().counting = on; }
void clear() { tracer().clear(); }
std::size_t findings_so_far() { return tracer().found(); }

void print(std::FILE* to) {
  std::fprintf(to, "%-28s %-26s %8s %11s %6s %6s %11s %6s %10s %10s %7s %9s %8s\n", "launched as", "kernel", "launches",
               "requests", "/ideal", "placed", "shared req.", "/ideal", "MB read", "written", "reread", "mma",
               "atomics");
  for (const Kernel& k : kernels()) {
    const Counts& c = k.counts;
    std::fprintf(to,
                 "%-28s %-26s %8" PRIu64 " %11" PRIu64 " %6.2f %6.2f %11" PRIu64 " %6.2f %10.3f %10.3f %7.2f %9" PRIu64
                 " %8" PRIu64 "\n",
                 k.name.c_str(), k.function.c_str(), k.launches, c.requests, ratio(c.sectors, c.ideal_sectors),
                 ratio(c.sectors, c.placed_sectors), c.shared_requests, ratio(c.wavefronts, c.ideal_wavefronts),
                 static_cast<double>(c.bytes_read) * 1e-6, static_cast<double>(c.bytes_written) * 1e-6,
                 ratio(c.bytes_read, k.unique_read), c.products, c.atomics);
    for (const Line& l : k.lines) {
      const double sectors = ratio(l.counts.sectors, l.counts.placed_sectors);
      const double wavefronts = ratio(l.counts.wavefronts, l.counts.ideal_wavefronts);
      if (sectors <= 1.05 && wavefronts <= 1.0) continue;
      std::fprintf(to, "    %-51s %8s %11" PRIu64 " %6.2f %6.2f %11" PRIu64 " %6.2f\n", l.place.c_str(), "",
                   l.counts.requests, ratio(l.counts.sectors, l.counts.ideal_sectors), sectors,
                   l.counts.shared_requests, wavefronts);
    }
  }
}

// --- gates --------------------------------------------------------------------------------------------------------------
std::vector<Allowed> read_exceptions(const std::string& path) {
  std::vector<Allowed> all;
  std::ifstream file(path);
  if (!file) throw std::runtime_error("simt: expected a table of exceptions, got none at " + path);
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    if (line.empty() || line[0] == '#') continue;
    std::istringstream words(line);
    Allowed a;
    words >> a.kernel >> a.what >> a.limit;
    std::getline(words >> std::ws, a.reason);
    if (!words.eof() || a.reason.empty() || (a.what != "sectors" && a.what != "wavefronts"))
      throw std::runtime_error("simt: " + path + ":" + std::to_string(number) +
                               ": expected KERNEL sectors|wavefronts LIMIT REASON, got '" + line + "'");
    all.push_back(std::move(a));
  }
  return all;
}

std::vector<std::string> broken_gates(const std::vector<Allowed>& exceptions) {
  std::vector<std::string> all;
  for (const Kernel& k : kernels()) {
    const auto check = [&](const char* what, double got, double limit) {
      for (const Allowed& a : exceptions)
        if (a.what == what && (a.kernel == k.name || a.kernel == k.function)) limit = std::max(limit, a.limit);
      if (got <= limit) return;
      char text[300];
      std::snprintf(text, sizeof(text), "%s (%s): expected at most %.2f times the ideal %s, got %.3f", k.name.c_str(),
                    k.function.c_str(), limit, what, got);
      all.push_back(text);
    };
    check("sectors", ratio(k.counts.sectors, k.counts.placed_sectors), 1.05);
    check("wavefronts", ratio(k.counts.wavefronts, k.counts.ideal_wavefronts), 1.0);
  }
  return all;
}

}  // namespace simt::trace
