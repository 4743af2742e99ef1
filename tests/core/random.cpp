// Random numbers: the published test vectors of Philox, different keys, a uniform shuffle.
// SPDX-License-Identifier: MIT
#include "tenon/core/random.hpp"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>
#include <vector>

#include "catch.hpp"

using namespace tenon;

namespace {
bool equal(random::Four a, random::Four b) {
  return a.v[0] == b.v[0] && a.v[1] == b.v[1] && a.v[2] == b.v[2] && a.v[3] == b.v[3];
}
}  // namespace

TEST_CASE("philox gives the authors' known answers") {
  CHECK(equal(random::philox({{0, 0, 0, 0}}, 0, 0), {{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}}));
  CHECK(equal(random::philox({{~0u, ~0u, ~0u, ~0u}}, ~0u, ~0u), {{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}}));
  CHECK(equal(random::philox({{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}}, 0xa4093822, 0x299f31d0),
              {{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}}));
}

TEST_CASE("every part of the key matters") {
  const random::Key base{5, random::Use::dropout, 3, 9};
  std::vector<random::Four> all;
  const auto add = [&](random::Key k, std::uint64_t sample, std::uint32_t block) {
    all.push_back(k.words(sample, block));
  };
  add(base, 1, 2);
  add({6, random::Use::dropout, 3, 9}, 1, 2);
  add({5 + (1ull << 32), random::Use::dropout, 3, 9}, 1, 2);
  add({5, random::Use::augment, 3, 9}, 1, 2);
  add({5, random::Use::dropout, 4, 9}, 1, 2);
  add({5, random::Use::dropout, 3, 10}, 1, 2);
  add(base, 2, 2);
  add(base, 1 + (1ull << 32), 2);
  add(base, 1, 3);
  add(base, 2, 1);
  for (std::size_t i = 0; i < all.size(); ++i)
    for (std::size_t j = 0; j < i; ++j) CHECK_FALSE(equal(all[i], all[j]));
}

TEST_CASE("unit is in [0, 1), and its mean and spread are those of the uniform distribution") {
  CHECK(random::unit(0) == 0);
  CHECK(random::unit(~0u) < 1);
  const random::Key key{1, random::Use::user, 0, 0};
  const int n = 100000;
  double s = 0, q = 0;
  for (int i = 0; i < n; ++i) {
    const double u = random::unit(key.words(static_cast<std::uint64_t>(i / 4), 0).v[i % 4]);
    s += u;
    q += u * u;
  }
  CHECK(std::abs(s / n - 0.5) < 5 * std::sqrt(1.0 / 12 / n));
  CHECK(std::abs(q / n - 1.0 / 3) < 5 * std::sqrt(4.0 / 45 / n));
}

TEST_CASE("Permutation is a bijection for every length") {
  for (std::uint64_t n = 1; n < 300; ++n) {
    const random::Permutation p{{7, random::Use::shuffle, 0, 1}, n};
    std::vector<bool> seen(n);
    bool good = true;
    for (std::uint64_t i = 0; i < n; ++i) {
      const std::uint64_t j = p(i);
      good = good && j < n && !seen[j];
      if (good) seen[j] = true;
    }
    INFO("n " << n);
    CHECK(good);
  }
  for (const std::uint64_t n : {4096ull, 4097ull, 60000ull}) {
    const random::Permutation p{{7, random::Use::shuffle, 0, 1}, n};
    std::set<std::uint64_t> seen;
    for (std::uint64_t i = 0; i < n; ++i) seen.insert(p(i));
    CHECK(seen.size() == n);
    CHECK(*seen.rbegin() == n - 1);
  }
}

TEST_CASE("Permutation works beyond 32 bits") {
  const std::uint64_t n = (1ull << 40) + 3;
  const random::Permutation p{{7, random::Use::shuffle, 0, 1}, n};
  std::set<std::uint64_t> seen;
  bool large = false;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    const std::uint64_t j = p(i * 1000003);
    CHECK(j < n);
    seen.insert(j);
    large = large || j > (1ull << 39);
  }
  CHECK(seen.size() == 1000);
  CHECK(large);
}

TEST_CASE("epochs and seeds shuffle differently, and every place is as likely") {
  const int n = 10, keys = 5000;
  std::vector<int> where(n * n);
  int fixed = 0;
  for (int k = 0; k < keys; ++k) {
    const random::Permutation p{
        {static_cast<std::uint64_t>(k / 2), random::Use::shuffle, 0, static_cast<std::uint32_t>(k % 2)}, n};
    for (int i = 0; i < n; ++i) {
      const int j = static_cast<int>(p(static_cast<std::uint64_t>(i)));
      ++where[i * n + j];
      fixed += i == j;
    }
  }
  const double mean = keys / double(n), spread = std::sqrt(mean * (1 - 1.0 / n));
  for (const int count : where) CHECK(std::abs(count - mean) < 5 * spread);
  CHECK(std::abs(fixed - keys) < 5 * std::sqrt(keys));  // on average one fixed point
}

namespace {

// Chi-square of the counts of equally likely outcomes, as a deviation from its mean in standard deviations.
double excess(const std::vector<int>& counts, double mean) {
  double chi2 = 0;
  for (const int c : counts) chi2 += (c - mean) * (c - mean) / mean;
  const double freedom = static_cast<double>(counts.size()) - 1;
  return (chi2 - freedom) / std::sqrt(2 * freedom);
}

random::Permutation permutation_of(int key, int n) {  // keys as of successive epochs and seeds
  return {{static_cast<std::uint64_t>(key / 4), random::Use::shuffle, 0, static_cast<std::uint32_t>(key % 4)},
          static_cast<std::uint64_t>(n)};
}

}  // namespace

TEST_CASE("every order of few elements is as likely") {
  for (int n = 2, orders = 2; n <= 7; ++n, orders *= n) {
    const int mean = n < 6 ? 400 : 40;
    std::vector<int> counts(static_cast<std::size_t>(orders));
    for (int k = 0; k < mean * orders; ++k) {
      const random::Permutation p = permutation_of(k, n);
      std::size_t rank = 0;  // the rank of this order among all orders
      std::vector<int> left;
      for (int i = 0; i < n; ++i) left.push_back(i);
      for (int i = 0; i < n; ++i) {
        const auto found =
            std::find(left.begin(), left.end(), static_cast<int>(p(static_cast<std::uint64_t>(i)))) - left.begin();
        rank = rank * left.size() + static_cast<std::size_t>(found);
        left.erase(left.begin() + found);
      }
      ++counts.at(rank);
    }
    INFO("n " << n);
    CHECK(excess(counts, mean) < 5);
  }
}

TEST_CASE("every pair of places is as likely for any two elements") {
  for (const int n : {3, 4, 5, 6, 8, 9, 12, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 100}) {
    const int pairs = n * (n - 1), mean = n < 20 ? 200 : n < 50 ? 50 : 25;
    for (const auto& [a, b] : {std::pair{0, 1}, {0, n / 2}, {n - 2, n - 1}, {n / 3, (2 * n) / 3}}) {
      if (a == b) continue;
      std::vector<int> counts(static_cast<std::size_t>(n * n));
      for (int k = 0; k < mean * pairs; ++k) {
        const random::Permutation p = permutation_of(k, n);
        ++counts[static_cast<std::size_t>(p(static_cast<std::uint64_t>(a))) * static_cast<std::size_t>(n) +
                 static_cast<std::size_t>(p(static_cast<std::uint64_t>(b)))];
      }
      std::vector<int> unequal;  // two elements are never at the same place
      for (int i = 0; i < n; ++i)
        for (int j = 0; j < n; ++j) {
          const int count = counts[static_cast<std::size_t>(i * n + j)];
          if (i == j) REQUIRE(count == 0);
          if (i != j) unequal.push_back(count);
        }
      INFO("n " << n << ", elements " << a << " and " << b);
      CHECK(excess(unequal, mean) < 5);
    }
  }
}

TEST_CASE("the order of many elements is as it always was") {  // the bits of trained models depend on it
  const random::Permutation p{{7, random::Use::shuffle, 0, 1}, 257}, q{{7, random::Use::shuffle, 0, 1}, 60000};
  std::vector<std::uint64_t> first;
  for (std::uint64_t i = 0; i < 4; ++i) first.insert(first.end(), {p(i), q(i)});
  CHECK(first == std::vector<std::uint64_t>{230, 27457, 124, 43571, 37, 57693, 92, 7929});
}

TEST_CASE("neighbours do not stay neighbours") {
  const std::uint64_t n = 60000;
  const random::Permutation p{{1, random::Use::shuffle, 0, 0}, n};
  int close = 0;
  for (std::uint64_t i = 0; i + 1 < n; ++i) {
    const auto a = static_cast<std::int64_t>(p(i)), b = static_cast<std::int64_t>(p(i + 1));
    close += std::abs(a - b) <= 10;
  }
  CHECK(std::abs(close - 20) < 25);  // expected: 2 * 10 / n of n pairs
}
